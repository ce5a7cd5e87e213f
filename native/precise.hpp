// The log-sum of a row from its maximum and the log of what is above it, and what is done where the two nearly cancel:
// down to an eighth the sum is taken with care, and below that in twice the precision.
//
// Then m + log s keeps few digits, and rounding every e^x once is already too much. Here terms, sum and logarithm are
// carried as unevaluated sums of two float64 (about 2^-100). Rows of up to sixteen entries whose result is smaller still
// (two entries at -log 2 give 2.3e-17) are done again in the compiler's 113-bit type.
#pragma once

#include <cstdint>

namespace {

inline Double2 quick_two_sum(F64 a, F64 b) {
    const F64 s = add(a, b);
    return {s, sub(b, sub(s, a))};
}
inline Double2 add(Double2 a, Double2 b) {
    const Double2 s = two_sum(a.high, b.high), t = two_sum(a.low, b.low);
    const Double2 u = quick_two_sum(s.high, add(s.low, t.high));
    return quick_two_sum(u.high, add(u.low, t.low));
}
inline Double2 mul(Double2 a, Double2 b) {
    const F64 p = mul(a.high, b.high);
    const F64 e = fma(a.high, b.high, mul(p, broadcast<F64>(-1)));
    return quick_two_sum(p, add(e, fma(a.high, b.low, mul(a.low, b.high))));
}

// e^x for -150 <= x <= 150 (0 below): x = m ln 2 + 16 r, expm1 of r by its series, doubled four times.
inline Double2 exp_double2(F64 x) {
    static constexpr double high[] = {0x1.0p-1,          0x1.5555555555555p-3, 0x1.5555555555555p-5,
                                      0x1.1111111111111p-7, 0x1.6c16c16c16c17p-10, 0x1.a01a01a01a01ap-13};
    static constexpr double low[] = {0.0,                 0x1.5555555555555p-57,  0x1.5555555555555p-59,
                                     0x1.1111111111111p-63, -0x1.f49f49f49f49fp-65, 0x1.a01a01a01a01ap-73};
    static constexpr double tail[] = {0x1.a01a01a01a01ap-16, 0x1.71de3a556c734p-19, 0x1.27e4fb7789f5cp-22,
                                      0x1.ae64567f544e4p-26, 0x1.1eed8eff8d898p-29, 0x1.6124613a86d09p-33};
    const F64 magic = broadcast<F64>(0x1.8p52), sixteenth = broadcast<F64>(0.0625);
    const F64 z = fma(x, broadcast<F64>(0x1.71547652b82fep+0), magic), m = sub(z, magic);
    const Double2 s = two_sum(fma(m, broadcast<F64>(-0x1.62e42fefap-1), x), mul(m, broadcast<F64>(-0x1.cf79abc9e3p-40)));
    const Double2 whole = quick_two_sum(s.high, fma(m, broadcast<F64>(-0x1.673007e5ed5e8p-81), s.low));
    const Double2 r{mul(whole.high, sixteenth), mul(whole.low, sixteenth)};
    F64 small = broadcast<F64>(tail[5]);
    for (int i = 4; i >= 0; --i) small = fma(small, r.high, broadcast<F64>(tail[i]));
    Double2 t{small, broadcast<F64>(0)};
    for (int i = 5; i >= 0; --i) t = add(mul(t, r), Double2{broadcast<F64>(high[i]), broadcast<F64>(low[i])});
    t = add(r, mul(mul(r, r), t));
    for (int i = 0; i < 4; ++i) t = add(Double2{add(t.high, t.high), add(t.low, t.low)}, mul(t, t));
    const Double2 e = add(Double2{broadcast<F64>(1), broadcast<F64>(0)}, t);
    const F64 power = add_bits<52>(broadcast<F64>(1), z), least = broadcast<F64>(-150);
    return {drop_below(mul(e.high, power), x, least), drop_below(mul(e.low, power), x, least)};
}

inline Double2 lane(Double2 a, int i) {
    double high[F64::lanes], low[F64::lanes];
    store(high, a.high);
    store(low, a.low);
    return {broadcast<F64>(high[i]), broadcast<F64>(low[i])};
}

inline double first_lane(F64 a) {
    double lanes[F64::lanes];
    store(lanes, a);
    return lanes[0];
}

template <class T>
inline F64 widened(const T* x, int n) {
    double wide[F64::lanes];
    for (int i = 0; i < F64::lanes; ++i) wide[i] = i < n ? static_cast<double>(x[i]) : -infinity;
    return load(wide);
}

#if defined(__SIZEOF_FLOAT128__)
using Quad = __float128;
#else
using Quad = long double;
#endif

inline Quad exp_quad(Quad x) {  // |x| < 200
    Quad r = x / 512, term = 1, sum = 0;
    for (int i = 1; i < 22; ++i) {
        term = term * r / i;
        sum += term;
    }
    for (int i = 0; i < 9; ++i) sum = 2 * sum + sum * sum;  // expm1 of twice the argument
    return 1 + sum;
}

template <class T>
inline double logsumexp_quad(const T* x, std::int64_t n, double guess) {
    Quad sum = 0;
    for (std::int64_t i = 0; i < n; ++i)
        if (x[i] > T{-150}) sum += exp_quad(static_cast<Quad>(x[i]));
    const Quad delta = sum * exp_quad(-static_cast<Quad>(guess)) - 1;
    return static_cast<double>(guess + (delta - delta * delta / 2));
}

// log sum e^x of a row with finite maximum between -100 and 10.
template <class T>
inline double logsumexp_precise(const T* x, std::int64_t n) {
    Double2 sum{broadcast<F64>(0), broadcast<F64>(0)};
    for (std::int64_t i = 0; i < n; i += F64::lanes)
        sum = add(sum, exp_double2(widened(x + i, static_cast<int>(n - i < F64::lanes ? n - i : F64::lanes))));
    Double2 total = lane(sum, 0);
    for (int i = 1; i < F64::lanes; ++i) total = add(total, lane(sum, i));
    // one Newton step from the logarithm of the leading part: log s = y + (s e^-y - 1) + O(2^-106)
    const double y = first_lane(log1p(sub(total.high, broadcast<F64>(1))));
    const Double2 ratio = mul(total, exp_double2(broadcast<F64>(-y)));
    const double delta = (first_lane(ratio.high) - 1.0) + first_lane(ratio.low);
    const double value = y + (delta - 0.5 * delta * delta);
    return n <= 16 && value < 0x1p-40 && value > -0x1p-40 ? logsumexp_quad(x, n, value) : value;
}

// The Newton step s e^-y - 1 of log-sums near y: what the rounding of a logarithm took. The sums carry the lift of V.
template <class V>
inline F64 newton_step(F64 y, Double2 sum) {
    const F64 minus = broadcast<F64>(-1), unlift = broadcast<F64>(__builtin_ldexp(1.0, -Constants<double>::lift));
    const F64 unlift_sum = broadcast<F64>(__builtin_ldexp(1.0, -Constants<typename V::scalar>::lift));
    F64 lost;
    const F64 e = mul(AsIs<F64>{plain_frame<F64>()}.term(mul(y, minus), &lost), unlift);
    const F64 s = mul(sum.high, unlift_sum);
    const F64 product = mul(s, e), product_lost = fma(s, e, mul(product, minus));
    const F64 low = fma(s, mul(lost, unlift), mul(mul(sum.low, unlift_sum), e));
    return add(sub(product, broadcast<F64>(1)), add(product_lost, low));
}

// The log-sum `value` of a row with the Newton step of a sum taken with care; below an eighth it needs more than that.
template <class T>
inline T settled_logsumexp(const T* x, std::int64_t n, T maximum, double value, double step) {
    if (n == 1) return maximum;
    if (value >= 0.125 || value <= -0.125) return static_cast<T>(value + step);
    // two tiny parts of one sign are carried best as they are
    const bool tiny = value < 0x1p-40 && value > -0x1p-40;
    return static_cast<T>(tiny && maximum > static_cast<T>(-0x1p-44) ? value : logsumexp_precise(x, n));
}

// The log-sum of a row from its maximum and the log of what is above it, and the Newton step of a sum without care.
template <class V>
inline typename V::scalar logsumexp_of(const typename V::scalar* x, std::int64_t n, typename V::scalar maximum,
                                       double log_sum, double step) {
    const double value = static_cast<double>(maximum) + log_sum;
    if (value >= 4.0 || value <= -4.0) return n == 1 ? maximum : static_cast<typename V::scalar>(value + step);
    V top = broadcast<V>(0);
    const Total total = sum_terms<careful_sum, V>(x, n, AsIs<V>{plain_frame<V>()}, top, nullptr);
    const Double2 sum{broadcast<F64>(total.high), broadcast<F64>(total.low)};
    return settled_logsumexp(x, n, maximum, value, first_lane(newton_step<V>(broadcast<F64>(value), sum)));
}

}  // namespace
