// Sixteen float32 or eight float64 lanes in one AVX-512 register.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct F32 {
    using scalar = float;
    static constexpr int lanes = 16;
    __m512 v;
};

struct F64 {
    using scalar = double;
    static constexpr int lanes = 8;
    __m512d v;
};

inline __mmask16 first16(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline __mmask8 first8(int n) { return static_cast<__mmask8>((1u << n) - 1u); }

template <class V>
V broadcast(typename V::scalar a);
template <>
inline F32 broadcast<F32>(float a) { return {_mm512_set1_ps(a)}; }
template <>
inline F64 broadcast<F64>(double a) { return {_mm512_set1_pd(a)}; }

inline F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline F64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
inline F32 load_first(const float* p, int n, F32 fill) { return {_mm512_mask_loadu_ps(fill.v, first16(n), p)}; }
inline F64 load_first(const double* p, int n, F64 fill) { return {_mm512_mask_loadu_pd(fill.v, first8(n), p)}; }
inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline void store(double* p, F64 a) { _mm512_storeu_pd(p, a.v); }
inline void store_first(float* p, F32 a, int n) { _mm512_mask_storeu_ps(p, first16(n), a.v); }
inline void store_first(double* p, F64 a, int n) { _mm512_mask_storeu_pd(p, first8(n), a.v); }

inline F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F64 add(F64 a, F64 b) { return {_mm512_add_pd(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F64 sub(F64 a, F64 b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F64 mul(F64 a, F64 b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline F64 div(F64 a, F64 b) { return {_mm512_div_pd(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
// max(a, b) is b where either is NaN
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F64 max(F64 a, F64 b) { return {_mm512_max_pd(a.v, b.v)}; }

inline bool any_nan(F32 a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q) != 0; }
inline bool any_nan(F64 a) { return _mm512_cmp_pd_mask(a.v, a.v, _CMP_UNORD_Q) != 0; }

inline F64 sqrt(F64 a) { return {_mm512_sqrt_pd(a.v)}; }

// whether some lane is above the bound, or NaN
inline bool any_above(F32 a, F32 bound) { return _mm512_cmp_ps_mask(a.v, bound.v, _CMP_NLE_UQ) != 0; }
inline bool any_above(F64 a, F64 bound) { return _mm512_cmp_pd_mask(a.v, bound.v, _CMP_NLE_UQ) != 0; }
// pack the lanes that are above the bound, or NaN; returns their number (lanes behind them are overwritten)
inline int keep_above(float* to, F32 a, F32 bound) {
    const __mmask16 kept = _mm512_cmp_ps_mask(a.v, bound.v, _CMP_NLE_UQ);
    _mm512_storeu_ps(to, _mm512_maskz_compress_ps(kept, a.v));
    return __builtin_popcount(kept);
}
inline int keep_above(double* to, F64 a, F64 bound) {
    const __mmask8 kept = _mm512_cmp_pd_mask(a.v, bound.v, _CMP_NLE_UQ);
    _mm512_storeu_pd(to, _mm512_maskz_compress_pd(kept, a.v));
    return __builtin_popcount(kept);
}

// 0 where x < threshold, else a (a NaN in x keeps its lane)
inline F32 drop_below(F32 a, F32 x, F32 threshold) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, threshold.v, _CMP_NLT_UQ), a.v)};
}
inline F64 drop_below(F64 a, F64 x, F64 threshold) {
    return {_mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x.v, threshold.v, _CMP_NLT_UQ), a.v)};
}
// the bits of a plus the lowest bits of z, moved up by a count
template <int up>
inline F32 add_bits(F32 a, F32 z) {
    const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(z.v), up);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), shifted))};
}
template <int up>
inline F64 add_bits(F64 a, F64 z) {
    const __m512i shifted = _mm512_slli_epi64(_mm512_castpd_si512(z.v), up);
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a.v), shifted))};
}
// table[lowest four bits of z]
inline F32 look_up(const float (&table)[16], F32 z) {
    return {_mm512_permutexvar_ps(_mm512_castps_si512(z.v), _mm512_loadu_ps(table))};
}

// a where x >= threshold, else 0 (also for a NaN)
inline F32 zero_below(F32 a, F32 x, F32 threshold) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, threshold.v, _CMP_GE_OQ), a.v)};
}
inline F64 zero_below(F64 a, F64 x, F64 threshold) {
    return {_mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x.v, threshold.v, _CMP_GE_OQ), a.v)};
}

inline F64 low_half(F32 a) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))}; }
inline F64 high_half(F32 a) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}; }

// split a > 0 into 2^k m with m in [sqrt(1/2), sqrt(2)): returns m, k as a number
inline F64 split_power(F64 a, F64& k) {
    const __m512i offset = _mm512_set1_epi64(0x3fe6a09e667f3bcd);
    const __m512i bits = _mm512_sub_epi64(_mm512_castpd_si512(a.v), offset);
    const __m512i exponent = _mm512_srai_epi64(bits, 52);
    k.v = _mm512_cvtepi64_pd(exponent);
    const __m512i mantissa = _mm512_sub_epi64(_mm512_castpd_si512(a.v), _mm512_slli_epi64(exponent, 52));
    return {_mm512_castsi512_pd(mantissa)};
}

inline __attribute__((always_inline)) void transpose(F32 (&r)[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
        t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
    }
    __m512 u[16];
    for (int i = 0; i < 16; i += 4) {
        for (int h = 0; h < 2; ++h) {
            const __m512d a = _mm512_castps_pd(t[i + h]), b = _mm512_castps_pd(t[i + h + 2]);
            u[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            u[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    __m512 w[16];
    for (int j = 0; j < 4; ++j) {
        w[j] = _mm512_shuffle_f32x4(u[j], u[j + 4], 0x88);
        w[j + 4] = _mm512_shuffle_f32x4(u[j], u[j + 4], 0xdd);
        w[j + 8] = _mm512_shuffle_f32x4(u[j + 8], u[j + 12], 0x88);
        w[j + 12] = _mm512_shuffle_f32x4(u[j + 8], u[j + 12], 0xdd);
    }
    for (int j = 0; j < 4; ++j) {
        r[j].v = _mm512_shuffle_f32x4(w[j], w[j + 8], 0x88);
        r[j + 4].v = _mm512_shuffle_f32x4(w[j + 4], w[j + 12], 0x88);
        r[j + 8].v = _mm512_shuffle_f32x4(w[j], w[j + 8], 0xdd);
        r[j + 12].v = _mm512_shuffle_f32x4(w[j + 4], w[j + 12], 0xdd);
    }
}
inline __attribute__((always_inline)) void transpose(F64 (&r)[8]) {
    __m512d t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i].v, r[i + 1].v);
        t[i + 1] = _mm512_unpackhi_pd(r[i].v, r[i + 1].v);
    }
    __m512d w[8];
    for (int j = 0; j < 2; ++j) {
        w[j] = _mm512_shuffle_f64x2(t[j], t[j + 2], 0x88);
        w[j + 2] = _mm512_shuffle_f64x2(t[j], t[j + 2], 0xdd);
        w[j + 4] = _mm512_shuffle_f64x2(t[j + 4], t[j + 6], 0x88);
        w[j + 6] = _mm512_shuffle_f64x2(t[j + 4], t[j + 6], 0xdd);
    }
    for (int j = 0; j < 2; ++j) {
        r[j].v = _mm512_shuffle_f64x2(w[j], w[j + 4], 0x88);
        r[j + 2].v = _mm512_shuffle_f64x2(w[j + 2], w[j + 6], 0x88);
        r[j + 4].v = _mm512_shuffle_f64x2(w[j], w[j + 4], 0xdd);
        r[j + 6].v = _mm512_shuffle_f64x2(w[j + 2], w[j + 6], 0xdd);
    }
}

inline F32 from_float16(const std::uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void to_float16(std::uint16_t* p, F32 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline F32 from_bfloat16(const std::uint16_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void to_bfloat16(std::uint16_t* p, F32 a) {
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    const __m512i value = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(value));
}

}  // namespace
