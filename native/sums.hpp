// Sums in one order, fixed by the length alone: lanes, then a tree over the lanes, then chunks in row order.
//
// float32 terms are added four vectors at a time in float32, the sums of four in float64. That is good while no term
// rules the row (the errors are many and small); a row with a ruling term is summed again with care: every term in
// float64 together with what its rounding took.
// float64 terms are added in a tree of four vectors (two roundings), and the trees by an error-free addition per lane:
// the sum is within 2.1 * 2^-53 of that of the terms. With care every addition is error-free and what rounding took
// from the terms is added too: within 2^-56.
#pragma once

#include <cstdint>

namespace {

constexpr double infinity = __builtin_inf();

constexpr std::int64_t chunk = 32768;  // entries after which lanes are folded

// an unevaluated sum high + low
struct Total {
    double high, low;
};

inline Total two_sum(double a, double b) {
    const double s = a + b, t = s - a;
    return {s, (a - (s - t)) + (b - t)};
}

inline Total merge(Total a, Total b) {
    const Total s = two_sum(a.high, b.high);
    return {s.high, s.low + (a.low + b.low)};
}

// The same with a sum a lane.
struct Double2 {
    F64 high, low;
};

inline Double2 two_sum(F64 a, F64 b) {
    const F64 s = add(a, b), t = sub(s, a);
    return {s, add(sub(a, sub(s, t)), sub(b, t))};
}

inline Double2 merge(Double2 a, Double2 b) {
    const Double2 s = two_sum(a.high, b.high);
    return {s.high, add(s.low, add(a.low, b.low))};
}

// The sum of eight numbers, or of eight vectors lane by lane.
inline double tree(const double (&s)[8]) { return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])); }
inline F64 tree(const F64 (&s)[8]) {
    return add(add(add(s[0], s[4]), add(s[2], s[6])), add(add(s[1], s[5]), add(s[3], s[7])));
}

template <class V>
struct Sum;

template <>
struct Sum<F32> {
    F64 low = broadcast<F64>(0), high = broadcast<F64>(0);
    F32 rest = broadcast<F32>(0);

    SOFTMAXES_INLINE void add_group(const Wide<F32, 4>& e) {
        const F32 sum = add(add(e.v[0], e.v[1]), add(e.v[2], e.v[3]));
        low = add(low, low_half(sum));
        high = add(high, high_half(sum));
    }
    SOFTMAXES_INLINE void add_group(const Wide<F32, 4>& e, const Wide<F32, 4>& lost) {
        const F64 a = add(low_half(e.v[0]), low_half(e.v[1])), b = add(low_half(e.v[2]), low_half(e.v[3]));
        const F64 c = add(high_half(e.v[0]), high_half(e.v[1])), d = add(high_half(e.v[2]), high_half(e.v[3]));
        low = add(low, add(a, b));
        high = add(high, add(c, d));
        rest = add(rest, add(add(lost.v[0], lost.v[1]), add(lost.v[2], lost.v[3])));
    }
    SOFTMAXES_INLINE F64 lanes() const { return add(add(low, low_half(rest)), add(high, high_half(rest))); }
    SOFTMAXES_INLINE Total fold() const {
        double s[8];
        store(s, lanes());
        return {tree(s), 0.0};
    }
};

template <>
struct Sum<F64> {
    F64 sum = broadcast<F64>(0), error = broadcast<F64>(0);

    SOFTMAXES_INLINE void add_group(const Wide<F64, 4>& e) {
        const F64 g = add(add(e.v[0], e.v[1]), add(e.v[2], e.v[3]));
        const F64 s = add(sum, g), t = sub(s, sum);
        error = add(error, add(sub(sum, sub(s, t)), sub(g, t)));
        sum = s;
    }
    SOFTMAXES_INLINE void add_group(const Wide<F64, 4>& e, const Wide<F64, 4>& lost) {
        for (int i = 0; i < 4; ++i) {
            const F64 s = add(sum, e.v[i]), t = sub(s, sum);
            error = add(error, add(sub(sum, sub(s, t)), sub(e.v[i], t)));
            sum = s;
        }
        error = add(error, add(add(lost.v[0], lost.v[1]), add(lost.v[2], lost.v[3])));
    }
    SOFTMAXES_INLINE Total fold() const {
        double s[8], e[8];
        store(s, sum);
        store(e, error);
        Total total{s[0], 0.0};
        for (int i = 1; i < 8; ++i) total = merge(total, {s[i], 0.0});
        total.low += tree(e);
        return total;
    }
};

// What `fold` gives, a row a lane: entry j holds lane j of every row's sums (and of what they lost).
inline Double2 fold_places(const F64 (&sum)[8]) { return {tree(sum), broadcast<F64>(0)}; }
inline Double2 fold_places(const F64 (&sum)[8], const F64 (&error)[8]) {
    const F64 zero = broadcast<F64>(0);
    Double2 total{sum[0], zero};
    for (int j = 1; j < 8; ++j) total = merge(total, {sum[j], zero});
    return {total.high, add(total.low, tree(error))};
}

// The sums of V::lanes rows, folded eight rows at a time: one transposition instead of as many folds as rows.
template <class V>
struct RowSums;
template <>
struct RowSums<F32> {
    F64 of[16];

    SOFTMAXES_INLINE void keep(int row, const Sum<F32>& s) { of[row] = s.lanes(); }
    SOFTMAXES_INLINE Double2 fold(int p) {
        F64 s[8];
        for (int j = 0; j < 8; ++j) s[j] = of[8 * p + j];
        transpose(s);
        return fold_places(s);
    }
};
template <>
struct RowSums<F64> {
    F64 sum[8], error[8];

    SOFTMAXES_INLINE void keep(int row, const Sum<F64>& s) {
        sum[row] = s.sum;
        error[row] = s.error;
    }
    SOFTMAXES_INLINE Double2 fold(int) {
        transpose(sum);
        transpose(error);
        return fold_places(sum, error);
    }
};

// Lane r of the result is the largest lane of tops[r]: one transposition instead of as many folds as rows.
template <class V>
inline V largest_lanes(V (&tops)[V::lanes]) {
    transpose(tops);
    for (int width = V::lanes / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) tops[i] = max(tops[i], tops[i + width]);
    return tops[0];
}

template <class V>
inline typename V::scalar largest_lane(V a) {
    typename V::scalar lane[V::lanes];
    store(lane, a);
    // a tree, because a chain of sixteen comparisons is what a short row would wait for
    for (int width = V::lanes / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
    return lane[0];
}

}  // namespace
