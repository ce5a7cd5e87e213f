// The exponential in its integer frame.
//
// e^y = 2^n 2^(j/16) e^r in float32, 2^n e^r in float64, and the power of two is added to the exponent bits: terms of a
// row are kept as 2^(n - N + lift) e^r with one even integer N for the row, so that nothing is subtracted from a logit
// that would have to be rounded, and results that end up subnormal are rounded once, at the very end.
//
// Error of one term, relative, in units u of 2^-24 and 2^-53:
//   float32: |r| <= ln(2)/32. What rounding took from 2^(j/16) enters with the small part, so that only the last
//     operation rounds at the scale of the result: 1.03 u + 2^-29.2.
//   float64: t = e^r - 1 is rounded once and 1 + t once, worst near e^r = 0.71: 1.2 u + 2^-57.8.
// native/tables/coefficients.py makes the tables and measures the polynomials.
#pragma once

#include <cstdint>

namespace {

template <class T>
struct Constants;

template <>
struct Constants<float> {
    static constexpr int parts = 16;  // of a power of two
    static constexpr float log2e = 0x1.715476p+4f, ln2_high = 0x1.62ep-5f, ln2_low = 0x1.0bfbe8p-19f;  // for a part
    static constexpr float magic = 0x1.8p23f;     // 1.5 * 2^23: adding it leaves a rounded integer in the lowest bits
    static constexpr int lift = 76;               // power of two on every term
    static constexpr float reach = 86.0f;         // a term under e^-reach 2^-lift is dropped: it would leave the normals
    static constexpr float plain_low = -18.0f, plain_high = 34.0f;  // maxima for which N = 0 keeps all that matters
    static constexpr float highest = __FLT_MAX__;
    static constexpr float large = 256.0f;        // above, logits that matter are subtracted from the maximum exactly
    static constexpr float tail[] = {0x1.000222p-1f, 0x1.55564p-3f};
};

// 2^(j/16) less j sixteenths of an exponent step, and what rounding took from it, relative
constexpr std::uint32_t sixteenth_bits[16] = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532,
                                              0x3f75fed7, 0x3f75583f, 0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
                                              0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
constexpr float sixteenth_lost[16] = {
    0.0f,           0x1.8d96d4p-25f, -0x1.9c0c22p-27f, 0x1.964904p-25f,  0x1.125002p-25f,  0x1.370be4p-25f,
    -0x1.0a3550p-25f, -0x1.00d8acp-27f, 0x1.26055cp-26f, -0x1.05cb44p-25f, 0x1.67a1cap-28f, 0x1.a3b5e4p-28f,
    -0x1.f9c304p-27f, -0x1.6961b4p-28f, -0x1.a5217cp-28f, 0x1.61428ep-28f};

struct Sixteenths {
    float power[16];
};
constexpr Sixteenths sixteenths = [] {
    Sixteenths table{};
    for (int j = 0; j < 16; ++j) table.power[j] = __builtin_bit_cast(float, sixteenth_bits[j]);
    return table;
}();

template <>
struct Constants<double> {
    static constexpr int parts = 1;
    static constexpr double log2e = 0x1.71547652b82fep+0, ln2_high = 0x1.62e42fefap-1, ln2_low = 0x1.cf79abc9e3b3ap-40;
    static constexpr double magic = 0x1.8p52;
    static constexpr int lift = 400;
    static constexpr double reach = 707.0;
    static constexpr double plain_low = -220.0, plain_high = 400.0;
    static constexpr double highest = __DBL_MAX__;
    static constexpr double large = 2048.0;
    static constexpr double tail[] = {0x1.000000000000bp-1,  0x1.555555555550fp-3,  0x1.55555555502a0p-5,
                                      0x1.1111111122b4ap-7,  0x1.6c16c1852c01cp-10, 0x1.a01a014498ae6p-13,
                                      0x1.a01997c656a0fp-16, 0x1.71deec62e8918p-19, 0x1.28af42a60c9fap-22,
                                      0x1.add773f1864b3p-26};
};

// Where a row is looked at from: e^(x - shift) 2^(lift - N), dropped where x - shift < threshold.
template <class V>
struct Frame {
    V shift, magic, threshold;
    double scale;  // 2^(lift - N), what the terms carry
};

template <class V>
inline Frame<V> frame_of(typename V::scalar shift, int N) {
    using T = typename V::scalar;
    using C = Constants<T>;
    const int power = C::lift - N;
    return {broadcast<V>(shift), broadcast<V>(C::magic + static_cast<T>(C::parts * power)),
            broadcast<V>(static_cast<T>(-power * 0.6931471805599453) - C::reach), __builtin_ldexp(1.0, power)};
}

template <class V>
inline Frame<V> plain_frame() { return frame_of<V>(0, 0); }

// The frame of a row with a finite maximum: exact whether the maximum is large or small.
template <class V>
inline Frame<V> frame_at(typename V::scalar maximum) {
    using T = typename V::scalar;
    using C = Constants<T>;
    if (maximum >= C::large || maximum <= -C::large) return frame_of<V>(maximum, 0);
    return frame_of<V>(0, 2 * static_cast<int>(__builtin_rint(static_cast<double>(maximum) * 0.7213475204444817)));
}

// e^(y + low) 2^(lift - N): y = x - shift already taken, low tiny beside y; P is a vector or several side by side.
// z holds the number of parts in its lowest bits, m the same as a number less the frame's; y - m ln2_high is exact.
// `rest`, if given, becomes what rounding took from the term.
template <class P>
SOFTMAXES_INLINE P exp_term(const P& y, const P& z, const P& m, const P* low, P* rest, const Frame<F32>& f) {
    using C = Constants<float>;
    P lost = look_up(sixteenth_lost, z);
    if (low) lost = add(lost, *low);
    const P r = add(fma(m, broadcast<F32>(-C::ln2_high), y), fma(m, broadcast<F32>(-C::ln2_low), lost));
    const P t = fma(mul(r, r), fma(r, broadcast<F32>(C::tail[1]), broadcast<F32>(C::tail[0])), r);
    const P power = add_bits<19>(look_up(sixteenths.power, z), z);
    const P e = fma(power, t, power);
    if (rest) *rest = drop_below(fma(power, t, sub(power, e)), y, f.threshold);
    return drop_below(e, y, f.threshold);
}

// Here c = low - m ln2_low enters at the end, beside the square: the rounding of r only touches the square.
template <class P>
SOFTMAXES_INLINE P exp_term(const P& y, const P& z, const P& m, const P* low, P* rest, const Frame<F64>& f) {
    using C = Constants<double>;
    constexpr int degree = sizeof(C::tail) / sizeof(C::tail[0]) - 1;
    const P high = fma(m, broadcast<F64>(-C::ln2_high), y);
    const P c = low ? fma(m, broadcast<F64>(-C::ln2_low), *low) : mul(m, broadcast<F64>(-C::ln2_low));
    const P r = add(high, c);
    P q = fma(r, broadcast<F64>(C::tail[degree]), broadcast<F64>(C::tail[degree - 1]));
#pragma GCC unroll 10
    for (int i = degree - 2; i >= 0; --i) q = fma(q, r, broadcast<F64>(C::tail[i]));
    const P small = fma(mul(r, r), q, c), t = add(high, small), e = add(t, broadcast<F64>(1));
    if (rest) {
        const P lost = add(sub(t, sub(e, broadcast<F64>(1))), sub(small, sub(t, high)));
        const P power = add_bits<52>(side_by_side_like(z, broadcast<F64>(1)), z);
        *rest = drop_below(mul(lost, power), y, f.threshold);
    }
    return drop_below(add_bits<52>(e, z), y, f.threshold);
}

template <class P, class V>
SOFTMAXES_INLINE P exp_term(const P& y, const Frame<V>& f, const P* low, P* rest) {
    const P z = fma(y, broadcast<V>(Constants<typename V::scalar>::log2e), f.magic);
    return exp_term(y, z, sub(z, f.magic), low, rest, f);
}

}  // namespace
