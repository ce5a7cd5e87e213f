// A pass over a row: terms e^x summed in one order, with care where a term rules the row; and what is read off the sum.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

template <class T>
constexpr T nan_of = static_cast<T>(__builtin_nan(""));

// How a logit x becomes the exponent y (and its rounding error) that exp_term takes, and the logarithm of its share, l
// being the part of the log-sum above the maximum. P is a vector or several.
template <class V>
struct AsIs {
    Frame<V> frame;
    V logarithm(V x, V maximum, V l) const { return sub(sub(x, maximum), l); }
    template <class P>
    SOFTMAXES_INLINE P term(const P& x, P* rest = nullptr) const { return exp_term<P>(x, frame, nullptr, rest); }
};
template <class V>
struct Shifted {
    Frame<V> frame;
    V logarithm(V x, V maximum, V l) const { return sub(sub(x, maximum), l); }
    template <class P>
    SOFTMAXES_INLINE P term(const P& x, P* rest = nullptr) const { return exp_term<P>(sub(x, frame.shift), frame, nullptr, rest); }
};
template <class V>
struct Tempered {
    Frame<V> frame;  // its shift is 0: y is a product, taken from the maximum
    V maximum, beta_high, beta_low;

    // y + low = (x - maximum) * beta
    template <class P>
    SOFTMAXES_INLINE P exponent(const P& x, P& low) const {
        const P d = sub(x, maximum), back = sub(d, x);
        const P lost = sub(sub(x, sub(d, back)), add(back, maximum));
        const P y = mul(d, beta_high);
        const P product = fma(d, beta_high, mul(y, broadcast<V>(-1)));
        const P all = fma(d, beta_low, fma(lost, beta_high, product));
        low = zero_below(all, y, frame.threshold);  // beyond it the parts may be NaN, and do not count
        return y;
    }
    V logarithm(V x, V, V l) const {
        V low;
        const V y = exponent(x, low);
        return sub(y, sub(l, low));
    }
    template <class P>
    SOFTMAXES_INLINE P term(const P& x, P* rest = nullptr) const {
        P low;
        const P y = exponent(x, low);
        return exp_term<P>(y, frame, &low, rest);
    }
};

// What a pass over a row does besides summing.
struct Pass {
    bool careful, keep_terms, keep_top;
    bool fetch = false;  // ask for the lines that a later pass will write, while there is arithmetic to do
};
constexpr Pass careful_sum{true, false, false}, careful_terms{true, true, false}, plain_terms{false, true, false};

// Sum the terms of up to `chunk` entries; write them out and follow the maximum where asked. A short last group takes
// as many operations as a whole one: vectors one after another would wait for each other.
template <Pass pass, class V, class View>
inline Sum<V> sum_chunk(const typename V::scalar* x, std::int64_t n, const View& view, V& top,
                        typename V::scalar* terms) {
    constexpr int lanes = V::lanes, group = 4;
    const V nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity));
    Sum<V> sum;
    V tops[group] = {top, top, top, top};
    // the entries from x + i on, four vectors at a time, of which only the first `left` entries are there
    const auto include = [&](std::int64_t i, const Wide<V, group>& v, int left) __attribute__((always_inline)) {
        Wide<V, group> rest;
        const auto e = view.term(v, pass.careful ? &rest : nullptr);
#pragma GCC unroll 4
        for (int g = 0; g < group; ++g, left -= lanes) {
            if (pass.keep_top) tops[g] = max(v.v[g], tops[g]);
            if (pass.fetch) __builtin_prefetch(terms + i + g * lanes, 1);
            if (!pass.keep_terms || left <= 0) continue;
            if (left >= lanes) store(terms + i + g * lanes, e.v[g]);
            else store_first(terms + i + g * lanes, e.v[g], left);
        }
        if (pass.careful) sum.add_group(e, rest);
        else sum.add_group(e);
    };
    std::int64_t i = 0;
    for (; i + lanes * group <= n; i += lanes * group)
        include(i, side_by_side<V, group>([&](int g) { return load(x + i + g * lanes); }), lanes * group);
    if (i < n) {
        const int left_over = static_cast<int>(n - i);
        const auto some = [&](int g) {
            const int left = left_over - g * lanes;
            if (left <= 0) return nothing;
            return left >= lanes ? load(x + i + g * lanes) : load_first(x + i + g * lanes, left, nothing);
        };
        include(i, side_by_side<V, group>(some), left_over);
    }
    if (pass.keep_top) top = max(max(tops[0], tops[1]), max(tops[2], tops[3]));
    return sum;
}

template <Pass pass, class V, class View>
inline Total sum_terms(const typename V::scalar* x, std::int64_t n, const View& view, V& top,
                       typename V::scalar* terms) {
    using T = typename V::scalar;
    Total total{0.0, 0.0};
    for (std::int64_t i = 0; i < n; i += chunk) {
        const std::int64_t m = n - i < chunk ? n - i : chunk;
        T* here = pass.keep_terms ? terms + i : nullptr;
        total = merge(total, sum_chunk<pass, V>(x + i, m, view, top, here).fold());
    }
    return total;
}

// A term rules its row from this share on.
constexpr double ruling_share = 0.125;

// The sum without entry `left_out`: what log1p and p - 1 need when that entry carries nearly everything.
template <class V, class View>
inline Total sum_others(const typename V::scalar* x, std::int64_t n, std::int64_t left_out, const View& view) {
    V top = broadcast<V>(0);
    const Total before = sum_terms<careful_sum, V>(x, left_out, view, top, nullptr);
    const Total after = sum_terms<careful_sum, V>(x + left_out + 1, n - left_out - 1, view, top, nullptr);
    return merge(before, after);
}

// A term as the vector code computes it, and what rounding took from it.
struct Term {
    double value, lost;
};

template <class V, class View>
inline Term one_term(typename V::scalar x, const View& view) {
    V lost;
    const V e = view.term(broadcast<V>(x), &lost);
    typename V::scalar lanes[V::lanes], lost_lanes[V::lanes];
    store(lanes, e);
    store(lost_lanes, lost);
    return {static_cast<double>(lanes[0]), static_cast<double>(lost_lanes[0])};
}

// Below this share, what a row holds beside a term is known well enough by subtracting it from a sum without care.
template <class V>
constexpr double known_share = sizeof(typename V::scalar) == 4 ? ruling_share : 0.5;

// The sum of all but the entry `value`, whose term is known; it is looked for only when it must be: where its share is
// too large for a subtraction from the total.
template <class V, class View>
inline double rest_of_row(const typename V::scalar* x, std::int64_t n, typename V::scalar value, Term term,
                          Total total, bool careful, const View& view) {
    constexpr bool narrow = sizeof(typename V::scalar) == 4;
    const double share = careful ? (narrow ? 0.9 : 0.75) : known_share<V>;
    if (term.value < total.high * share)
        return (total.high - term.value) + (careful ? total.low - term.lost : total.low);
    std::int64_t i = 0;
    while (!(x[i] == value)) ++i;
    const Total exact = sum_others<V>(x, n, i, view);
    return exact.high + exact.low;
}

inline double log1p(double r) {
    double lane[F64::lanes];
    store(lane, log1p(broadcast<F64>(r)));
    return lane[0];
}

// 1 / total (times a factor) as two numbers of the working type, so that one fused step rounds a quotient once.
template <class V>
struct Reciprocal {
    V high, low;
};
inline Reciprocal<F32> reciprocal(F32, Total total, double factor) {
    const double inverse = factor / (total.high + total.low);
    const float high = static_cast<float>(inverse);
    return {broadcast<F32>(high), broadcast<F32>(static_cast<float>(inverse - static_cast<double>(high)))};
}
inline Reciprocal<F64> reciprocal(F64, Total total, double factor) {
    const double high = 1.0 / total.high;
    const double low = high * (__builtin_fma(-high, total.high, 1.0) - high * total.low);
    const double scaled = high * factor;
    return {broadcast<F64>(scaled), broadcast<F64>(__builtin_fma(high, factor, -scaled) + low * factor)};
}

// out = f(x), entry by entry. Stores start at a cache line: one that straddles two lines costs as much as two.
template <class V, class Function>
inline void map_row(const typename V::scalar* x, typename V::scalar* out, std::int64_t n, Function f) {
    constexpr std::int64_t line = 64, size = sizeof(typename V::scalar);
    const std::int64_t ahead = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(out) % line) / size;
    std::int64_t i = 0;
    if (ahead > 0 && n >= 4 * V::lanes) {
        const int head = static_cast<int>(ahead);
        store_first(out, f(load_first(x, head, broadcast<V>(0))), head);
        i = ahead;
    }
    for (; i + V::lanes <= n; i += V::lanes) store(out + i, f(load(x + i)));
    if (i < n) {
        const int left = static_cast<int>(n - i);
        store_first(out + i, f(load_first(x + i, left, broadcast<V>(0))), left);
    }
}

template <class T>
inline void replace_in_row(T* row, std::int64_t n, T old_value, T new_value) {
    for (std::int64_t i = 0; i < n; ++i) row[i] = row[i] == old_value ? new_value : row[i];
}

template <class V>
inline void divide_row(const typename V::scalar* terms, typename V::scalar* out, std::int64_t n, Reciprocal<V> r) {
    map_row<V>(terms, out, n, [&](V e) { return fma(e, r.high, mul(e, r.low)); });
}

// float32 probabilities divide by a sum taken with care (the promise is 2 ULP), float64 ones by the sum of the terms as
// they are (the promise is 4): there the rounding of a term is over one unit, and care could lift a quotient above 1.
template <class V>
constexpr bool careful_quotients = sizeof(typename V::scalar) == 4;

// In a row whose sum was taken with care, give the largest entries the quotient of their exact term: 1 for a lone one.
template <class V>
inline void settle_top(typename V::scalar* out, std::int64_t n, Term term, Total total, Reciprocal<V> inverse) {
    using T = typename V::scalar;
    const V e = broadcast<V>(static_cast<T>(term.value));
    T lanes[V::lanes];
    store(lanes, fma(e, inverse.high, mul(e, inverse.low)));
    const double exact = (term.value + term.lost) / (total.high + total.low);
    replace_in_row(out, n, lanes[0], static_cast<T>(exact));
}

template <class T>
inline void fill_row(T* out, std::int64_t n, T value) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = value;
}

// The maximum, NaN if any entry is NaN.
template <class V>
inline typename V::scalar maximum_of(const typename V::scalar* x, std::int64_t n) {
    using T = typename V::scalar;
    const V nothing = broadcast<V>(static_cast<T>(-infinity));
    V top = nothing;
    for (std::int64_t i = 0; i < n; i += V::lanes) {
        const V v = n - i >= V::lanes ? load(x + i) : load_first(x + i, static_cast<int>(n - i), nothing);
        if (any_nan(v)) return nan_of<T>;
        top = max(v, top);
    }
    return largest_lane(top);
}

// Rows with +inf have a limit: the +inf entries share everything.
template <class T>
inline std::int64_t count_infinite(const T* x, std::int64_t n) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) count += x[i] == static_cast<T>(infinity);
    return count;
}

}  // namespace
