// The same sixteen float32 or eight float64 lanes in two AVX2 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct F32 {
    using scalar = float;
    static constexpr int lanes = 16;
    __m256 a, b;
};

struct F64 {
    using scalar = double;
    static constexpr int lanes = 8;
    __m256d a, b;
};

inline __m256i first32(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i first64(int n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

template <class V>
V broadcast(typename V::scalar a);
template <>
inline F32 broadcast<F32>(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
template <>
inline F64 broadcast<F64>(double a) { return {_mm256_set1_pd(a), _mm256_set1_pd(a)}; }

inline F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline F64 load(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
inline F32 load_first(const float* p, int n, F32 fill) {
    const __m256i lo = first32(n), hi = first32(n - 8);
    return {_mm256_blendv_ps(fill.a, _mm256_maskload_ps(p, lo), _mm256_castsi256_ps(lo)),
            _mm256_blendv_ps(fill.b, _mm256_maskload_ps(p + 8, hi), _mm256_castsi256_ps(hi))};
}
inline F64 load_first(const double* p, int n, F64 fill) {
    const __m256i lo = first64(n), hi = first64(n - 4);
    return {_mm256_blendv_pd(fill.a, _mm256_maskload_pd(p, lo), _mm256_castsi256_pd(lo)),
            _mm256_blendv_pd(fill.b, _mm256_maskload_pd(p + 4, hi), _mm256_castsi256_pd(hi))};
}
inline void store(float* p, F32 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline void store(double* p, F64 x) {
    _mm256_storeu_pd(p, x.a);
    _mm256_storeu_pd(p + 4, x.b);
}
inline void store_first(float* p, F32 x, int n) {
    _mm256_maskstore_ps(p, first32(n), x.a);
    _mm256_maskstore_ps(p + 8, first32(n - 8), x.b);
}
inline void store_first(double* p, F64 x, int n) {
    _mm256_maskstore_pd(p, first64(n), x.a);
    _mm256_maskstore_pd(p + 4, first64(n - 4), x.b);
}

inline F32 add(F32 x, F32 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F64 add(F64 x, F64 y) { return {_mm256_add_pd(x.a, y.a), _mm256_add_pd(x.b, y.b)}; }
inline F32 sub(F32 x, F32 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F64 sub(F64 x, F64 y) { return {_mm256_sub_pd(x.a, y.a), _mm256_sub_pd(x.b, y.b)}; }
inline F32 mul(F32 x, F32 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F64 mul(F64 x, F64 y) { return {_mm256_mul_pd(x.a, y.a), _mm256_mul_pd(x.b, y.b)}; }
inline F64 div(F64 x, F64 y) { return {_mm256_div_pd(x.a, y.a), _mm256_div_pd(x.b, y.b)}; }
inline F32 fma(F32 x, F32 y, F32 z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline F64 fma(F64 x, F64 y, F64 z) { return {_mm256_fmadd_pd(x.a, y.a, z.a), _mm256_fmadd_pd(x.b, y.b, z.b)}; }
// max(x, y) is y where either is NaN
inline F32 max(F32 x, F32 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline F64 max(F64 x, F64 y) { return {_mm256_max_pd(x.a, y.a), _mm256_max_pd(x.b, y.b)}; }

inline bool any_nan(F32 x) {
    return _mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q),
                                           _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))) != 0;
}
inline bool any_nan(F64 x) {
    return _mm256_movemask_pd(_mm256_or_pd(_mm256_cmp_pd(x.a, x.a, _CMP_UNORD_Q),
                                           _mm256_cmp_pd(x.b, x.b, _CMP_UNORD_Q))) != 0;
}

inline F64 sqrt(F64 x) { return {_mm256_sqrt_pd(x.a), _mm256_sqrt_pd(x.b)}; }

// whether some lane is above the bound, or NaN
inline bool any_above(F32 x, F32 bound) {
    return _mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(x.a, bound.a, _CMP_NLE_UQ),
                                           _mm256_cmp_ps(x.b, bound.b, _CMP_NLE_UQ))) != 0;
}
inline bool any_above(F64 x, F64 bound) {
    return _mm256_movemask_pd(_mm256_or_pd(_mm256_cmp_pd(x.a, bound.a, _CMP_NLE_UQ),
                                           _mm256_cmp_pd(x.b, bound.b, _CMP_NLE_UQ))) != 0;
}
// for every mask of eight lanes, the lanes that it keeps
struct Packings {
    std::uint8_t lane[256][8];
};
constexpr Packings packings = [] {
    Packings table{};
    for (int mask = 0; mask < 256; ++mask) {
        int count = 0;
        for (int i = 0; i < 8; ++i)
            if (mask >> i & 1) table.lane[mask][count++] = static_cast<std::uint8_t>(i);
    }
    return table;
}();
inline void pack_half(float* to, __m256 x, int mask) {
    const __m128i lanes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(packings.lane[mask]));
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(x, _mm256_cvtepu8_epi32(lanes)));
}
// pack the lanes that are above the bound, or NaN; returns their number (lanes behind them are overwritten)
inline int keep_above(float* to, F32 x, F32 bound) {
    const int a = _mm256_movemask_ps(_mm256_cmp_ps(x.a, bound.a, _CMP_NLE_UQ));
    const int b = _mm256_movemask_ps(_mm256_cmp_ps(x.b, bound.b, _CMP_NLE_UQ));
    if (!(a | b)) return 0;
    const int count = __builtin_popcount(static_cast<unsigned>(a));
    pack_half(to, x.a, a);
    pack_half(to + count, x.b, b);
    return count + __builtin_popcount(static_cast<unsigned>(b));
}
inline int keep_above(double* to, F64 x, F64 bound) {
    // a lane of float64 is two of float32
    const int a = _mm256_movemask_ps(_mm256_castpd_ps(_mm256_cmp_pd(x.a, bound.a, _CMP_NLE_UQ)));
    const int b = _mm256_movemask_ps(_mm256_castpd_ps(_mm256_cmp_pd(x.b, bound.b, _CMP_NLE_UQ)));
    if (!(a | b)) return 0;
    const int count = __builtin_popcount(static_cast<unsigned>(a)) / 2;
    pack_half(reinterpret_cast<float*>(to), _mm256_castpd_ps(x.a), a);
    pack_half(reinterpret_cast<float*>(to + count), _mm256_castpd_ps(x.b), b);
    return count + __builtin_popcount(static_cast<unsigned>(b)) / 2;
}

// 0 where x < threshold, else a (a NaN in x keeps its lane)
inline F32 drop_below(F32 a, F32 x, F32 threshold) {
    return {_mm256_and_ps(_mm256_cmp_ps(x.a, threshold.a, _CMP_NLT_UQ), a.a),
            _mm256_and_ps(_mm256_cmp_ps(x.b, threshold.b, _CMP_NLT_UQ), a.b)};
}
inline F64 drop_below(F64 a, F64 x, F64 threshold) {
    return {_mm256_and_pd(_mm256_cmp_pd(x.a, threshold.a, _CMP_NLT_UQ), a.a),
            _mm256_and_pd(_mm256_cmp_pd(x.b, threshold.b, _CMP_NLT_UQ), a.b)};
}
inline __m256 add_bits_half(__m256 a, __m256 z, int up) {
    const __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(z), up);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), shifted));
}
inline __m256d add_bits_half(__m256d a, __m256d z, int up) {
    const __m256i shifted = _mm256_slli_epi64(_mm256_castpd_si256(z), up);
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a), shifted));
}
// the bits of a plus the lowest bits of z, moved up by a count
template <int up>
inline F32 add_bits(F32 a, F32 z) { return {add_bits_half(a.a, z.a, up), add_bits_half(a.b, z.b, up)}; }
template <int up>
inline F64 add_bits(F64 a, F64 z) { return {add_bits_half(a.a, z.a, up), add_bits_half(a.b, z.b, up)}; }
inline __m256 look_up_half(const float* table, __m256 z) {
    const __m256i bits = _mm256_castps_si256(z);
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), bits);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), bits);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 28)));
}
// table[lowest four bits of z]
inline F32 look_up(const float (&table)[16], F32 z) { return {look_up_half(table, z.a), look_up_half(table, z.b)}; }

// a where x >= threshold, else 0 (also for a NaN)
inline F32 zero_below(F32 a, F32 x, F32 threshold) {
    return {_mm256_and_ps(a.a, _mm256_cmp_ps(x.a, threshold.a, _CMP_GE_OQ)),
            _mm256_and_ps(a.b, _mm256_cmp_ps(x.b, threshold.b, _CMP_GE_OQ))};
}
inline F64 zero_below(F64 a, F64 x, F64 threshold) {
    return {_mm256_and_pd(a.a, _mm256_cmp_pd(x.a, threshold.a, _CMP_GE_OQ)),
            _mm256_and_pd(a.b, _mm256_cmp_pd(x.b, threshold.b, _CMP_GE_OQ))};
}

inline F64 low_half(F32 x) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(x.a)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.a, 1))};
}
inline F64 high_half(F32 x) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(x.b)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.b, 1))};
}

// split x > 0 into 2^k m with m in [sqrt(1/2), sqrt(2)): returns m, k as a number
inline F64 split_power(F64 x, F64& k) {
    alignas(32) std::uint64_t bits[8];  // unsigned: lanes that nobody asks for hold anything
    alignas(32) double exponents[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(bits), _mm256_castpd_si256(x.a));
    _mm256_store_si256(reinterpret_cast<__m256i*>(bits + 4), _mm256_castpd_si256(x.b));
    for (int i = 0; i < 8; ++i) {
        const std::int64_t exponent = static_cast<std::int64_t>(bits[i] - 0x3fe6a09e667f3bcd) >> 52;
        exponents[i] = static_cast<double>(exponent);
        bits[i] -= static_cast<std::uint64_t>(exponent) << 52;
    }
    k = load(exponents);
    return {_mm256_castsi256_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(bits))),
            _mm256_castsi256_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(bits + 4)))};
}

inline void transpose8(__m256 (&r)[8]) {
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int j = 0; j < 4; ++j) {
        r[j] = _mm256_permute2f128_ps(u[j], u[j + 4], 0x20);
        r[j + 4] = _mm256_permute2f128_ps(u[j], u[j + 4], 0x31);
    }
}
inline void transpose4(__m256d (&r)[4]) {
    const __m256d a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const __m256d c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}
inline void transpose(F32 (&r)[16]) {
    __m256 block[4][8];
    for (int i = 0; i < 8; ++i) {
        block[0][i] = r[i].a;
        block[1][i] = r[i].b;
        block[2][i] = r[i + 8].a;
        block[3][i] = r[i + 8].b;
    }
    for (auto& b : block) transpose8(b);
    for (int i = 0; i < 8; ++i) {
        r[i] = {block[0][i], block[2][i]};
        r[i + 8] = {block[1][i], block[3][i]};
    }
}
inline void transpose(F64 (&r)[8]) {
    __m256d block[4][4];
    for (int i = 0; i < 4; ++i) {
        block[0][i] = r[i].a;
        block[1][i] = r[i].b;
        block[2][i] = r[i + 4].a;
        block[3][i] = r[i + 4].b;
    }
    for (auto& b : block) transpose4(b);
    for (int i = 0; i < 4; ++i) {
        r[i] = {block[0][i], block[2][i]};
        r[i + 4] = {block[1][i], block[3][i]};
    }
}

inline F32 from_float16(const std::uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline void to_float16(std::uint16_t* p, F32 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
inline __m256 from_bfloat16_half(const std::uint16_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline F32 from_bfloat16(const std::uint16_t* p) { return {from_bfloat16_half(p), from_bfloat16_half(p + 8)}; }
inline void to_bfloat16_half(std::uint16_t* p, __m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i value = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(value, value), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
inline void to_bfloat16(std::uint16_t* p, F32 x) {
    to_bfloat16_half(p, x.a);
    to_bfloat16_half(p + 8, x.b);
}

}  // namespace
