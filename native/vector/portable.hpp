// The same sixteen float32 or eight float64 lanes as plain arrays: any machine, the same bits, no hurry.
//
// fma is the correctly rounded one of the C library where the machine has no instruction for it; on aarch64 the
// compiler turns these loops into NEON.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace {

struct F32 {
    using scalar = float;
    static constexpr int lanes = 16;
    float v[16];
};

struct F64 {
    using scalar = double;
    static constexpr int lanes = 8;
    double v[8];
};

template <class V>
concept Vector = requires { V::lanes; };

template <Vector V, class Function>
inline V each(Function f) {
    V r;
    for (int i = 0; i < V::lanes; ++i) r.v[i] = f(i);
    return r;
}

template <Vector V>
inline V broadcast(typename V::scalar a) {
    return each<V>([&](int) { return a; });
}
inline F32 load(const float* p) { return each<F32>([&](int i) { return p[i]; }); }
inline F64 load(const double* p) { return each<F64>([&](int i) { return p[i]; }); }
inline F32 load_first(const float* p, int n, F32 fill) {
    return each<F32>([&](int i) { return i < n ? p[i] : fill.v[i]; });
}
inline F64 load_first(const double* p, int n, F64 fill) {
    return each<F64>([&](int i) { return i < n ? p[i] : fill.v[i]; });
}
template <Vector V>
inline void store(typename V::scalar* p, V a) {
    for (int i = 0; i < V::lanes; ++i) p[i] = a.v[i];
}
template <Vector V>
inline void store_first(typename V::scalar* p, V a, int n) {
    for (int i = 0; i < n; ++i) p[i] = a.v[i];
}

template <Vector V>
inline V add(V a, V b) { return each<V>([&](int i) { return a.v[i] + b.v[i]; }); }
template <Vector V>
inline V sub(V a, V b) { return each<V>([&](int i) { return a.v[i] - b.v[i]; }); }
template <Vector V>
inline V mul(V a, V b) { return each<V>([&](int i) { return a.v[i] * b.v[i]; }); }
template <Vector V>
inline V div(V a, V b) { return each<V>([&](int i) { return a.v[i] / b.v[i]; }); }
inline F32 fma(F32 a, F32 b, F32 c) {
    return each<F32>([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline F64 fma(F64 a, F64 b, F64 c) {
    return each<F64>([&](int i) { return __builtin_fma(a.v[i], b.v[i], c.v[i]); });
}
// max(a, b) is b where either is NaN
template <Vector V>
inline V max(V a, V b) { return each<V>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }

template <Vector V>
inline bool any_nan(V a) {
    bool any = false;
    for (int i = 0; i < V::lanes; ++i) any |= a.v[i] != a.v[i];
    return any;
}

inline F64 sqrt(F64 a) { return each<F64>([&](int i) { return __builtin_sqrt(a.v[i]); }); }

// whether some lane is above the bound, or NaN
template <Vector V>
inline bool any_above(V a, V bound) {
    bool any = false;
    for (int i = 0; i < V::lanes; ++i) any |= !(a.v[i] <= bound.v[i]);
    return any;
}
// pack the lanes that are above the bound, or NaN; returns their number (lanes behind them are overwritten)
template <Vector V>
inline int keep_above(typename V::scalar* to, V a, V bound) {
    int count = 0;
    for (int i = 0; i < V::lanes; ++i) {
        to[count] = a.v[i];
        count += !(a.v[i] <= bound.v[i]);
    }
    return count;
}

// 0 where x < threshold, else a (a NaN in x keeps its lane)
template <Vector V>
inline V drop_below(V a, V x, V threshold) {
    return each<V>([&](int i) { return x.v[i] < threshold.v[i] ? typename V::scalar{0} : a.v[i]; });
}
// the bits of a plus the lowest bits of z, moved up by a count
template <int up>
inline F32 add_bits(F32 a, F32 z) {
    return each<F32>([&](int i) {
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(a.v[i]) + (std::bit_cast<std::uint32_t>(z.v[i]) << up));
    });
}
template <int up>
inline F64 add_bits(F64 a, F64 z) {
    return each<F64>([&](int i) {
        return std::bit_cast<double>(std::bit_cast<std::uint64_t>(a.v[i]) + (std::bit_cast<std::uint64_t>(z.v[i]) << up));
    });
}
// table[lowest four bits of z]
inline F32 look_up(const float (&table)[16], F32 z) {
    return each<F32>([&](int i) { return table[std::bit_cast<std::uint32_t>(z.v[i]) & 15u]; });
}

// a where x >= threshold, else 0 (also for a NaN)
template <Vector V>
inline V zero_below(V a, V x, V threshold) {
    return each<V>([&](int i) { return x.v[i] >= threshold.v[i] ? a.v[i] : typename V::scalar{0}; });
}

inline F64 low_half(F32 a) { return each<F64>([&](int i) { return static_cast<double>(a.v[i]); }); }
inline F64 high_half(F32 a) { return each<F64>([&](int i) { return static_cast<double>(a.v[i + 8]); }); }

// split a > 0 into 2^k m with m in [sqrt(1/2), sqrt(2)): returns m, k as a number
inline F64 split_power(F64 a, F64& k) {
    return each<F64>([&](int i) {
        const auto bits = std::bit_cast<std::uint64_t>(a.v[i]);  // unsigned: lanes that nobody asks for hold anything
        const std::int64_t exponent = static_cast<std::int64_t>(bits - 0x3fe6a09e667f3bcd) >> 52;
        k.v[i] = static_cast<double>(exponent);
        return std::bit_cast<double>(bits - (static_cast<std::uint64_t>(exponent) << 52));
    });
}

template <Vector V>
inline void transpose(V (&r)[V::lanes]) {
    for (int i = 0; i < V::lanes; ++i) {
        for (int j = 0; j < i; ++j) {
            const auto a = r[i].v[j];
            r[i].v[j] = r[j].v[i];
            r[j].v[i] = a;
        }
    }
}

inline float half_to_float(std::uint16_t h) {
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
    const std::uint32_t rest = h & 0x7fffu;
    if (rest >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
    // a subnormal or normal half is its bits, read as a tiny float, times 2^112
    const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
}
inline std::uint16_t float_to_half(float f) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
    const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
    const std::uint32_t rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
    if (rest >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (rest < 0x38800000u) {
        // subnormal: adding 1/2 leaves the rounded half in the lowest bits
        const float sum = std::bit_cast<float>(rest) + 0.5f;
        return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - 0x3f000000u));
    }
    const std::uint32_t rounded = rest + 0xfffu + ((rest >> 13) & 1u);
    return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}
inline F32 from_float16(const std::uint16_t* p) { return each<F32>([&](int i) { return half_to_float(p[i]); }); }
inline void to_float16(std::uint16_t* p, F32 a) {
    for (int i = 0; i < 16; ++i) p[i] = float_to_half(a.v[i]);
}
inline F32 from_bfloat16(const std::uint16_t* p) {
    return each<F32>([&](int i) { return std::bit_cast<float>(static_cast<std::uint32_t>(p[i]) << 16); });
}
inline void to_bfloat16(std::uint16_t* p, F32 a) {
    for (int i = 0; i < 16; ++i) {
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(a.v[i]);
        p[i] = a.v[i] != a.v[i] ? std::uint16_t{0x7fc0}
                                : static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
}

}  // namespace
