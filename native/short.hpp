// Short rows: a row to each lane, so that a pass over them takes as many vectors as a row has entries, and what is done
// once a row (largest entry, reciprocal, logarithm) is done for all lanes at once.
//
// Sums are taken with care, and without the largest entry: the logarithm of a sum and the gradient at a likely target
// need what is left beside it, and here that costs one comparison an entry.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

using softmaxes::short_row;

// A vector of the working type as vectors of float64, and back.
template <class V>
constexpr int parts_of = V::lanes / F64::lanes;
inline F64 part(F32 a, int p) { return p ? high_half(a) : low_half(a); }
inline F64 part(F64 a, int) { return a; }

inline F64 from_parts(const F64 (&a)[1]) { return a[0]; }
inline F32 from_parts(const F64 (&a)[2]) {
    double wide[F32::lanes];
    float narrow[F32::lanes];
    store(wide, a[0]);
    store(wide + F64::lanes, a[1]);
    for (int i = 0; i < F32::lanes; ++i) narrow[i] = static_cast<float>(wide[i]);
    return load(narrow);
}

// `reciprocal` with a total and a factor a lane.
inline Reciprocal<F32> reciprocals(const Double2 (&total)[2], const F64 (&factor)[2]) {
    F64 high[2], low[2];
    for (int p = 0; p < 2; ++p) high[p] = div(factor[p], add(total[p].high, total[p].low));
    const F32 first = from_parts(high);
    for (int p = 0; p < 2; ++p) low[p] = sub(high[p], part(first, p));
    return {first, from_parts(low)};
}
inline Reciprocal<F64> reciprocals(const Double2 (&total)[1], const F64 (&factor)[1]) {
    const F64 one = broadcast<F64>(1), minus = broadcast<F64>(-1), inverse = div(one, total[0].high);
    const F64 left = sub(fma(mul(inverse, minus), total[0].high, one), mul(inverse, total[0].low));
    const F64 scaled = mul(inverse, factor[0]), lost = fma(inverse, factor[0], mul(scaled, minus));
    return {scaled, fma(mul(inverse, left), factor[0], lost)};
}

// One sum a lane.
template <class V>
struct LaneSums;
template <>
struct LaneSums<F32> {
    F64 sum[2] = {broadcast<F64>(0), broadcast<F64>(0)};
    F32 lost = broadcast<F32>(0);

    SOFTMAXES_INLINE void include(F32 e, F32 rest) {
        for (int p = 0; p < 2; ++p) sum[p] = add(sum[p], part(e, p));
        lost = add(lost, rest);
    }
    Double2 of(int p) const { return {sum[p], part(lost, p)}; }
};
template <>
struct LaneSums<F64> {
    F64 sum = broadcast<F64>(0), lost = broadcast<F64>(0);

    SOFTMAXES_INLINE void include(F64 e, F64 rest) {
        const Double2 s = two_sum(sum, e);
        sum = s.high;
        lost = add(lost, add(s.low, rest));
    }
    Double2 of(int) const { return {sum, lost}; }
};

// Lines of memory that will be wanted next, one for each entry of the rows.
template <class T>
struct Lines {
    const T* first = nullptr;
    std::ptrdiff_t step = 0;
};

// Those of rows of n entries that lie one after another, or side by side.
template <class V, class T = typename V::scalar>
inline Lines<T> lines_of(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t step, std::int64_t n) {
    return {rows, step != 1 ? step : stride == n ? V::lanes : 0};
}

template <class V>
struct ShortRows {
    using T = typename V::scalar;
    static constexpr int lanes = V::lanes, parts = parts_of<V>, together = 4;

    V logits[short_row<T>], terms[short_row<T>];  // entry k of every row
    V top, top_term, top_lost;
    Double2 others[parts], total[parts];  // the sum without the largest term, and with it
    Lines<T> next, results;  // asked for while there is arithmetic to do
    int count, columns, padded;
    bool single[lanes];  // rows that are set apart, to be done one by one
    alignas(64) T tops[lanes];

    // Bring up to `lanes` rows into the lanes. Lanes without a row hold zeros; entries behind the last are impossible.
    void take(const T* x, std::ptrdiff_t stride, std::ptrdiff_t step, int rows, std::int64_t n) {
        count = rows;
        columns = static_cast<int>(n);
        padded = (columns + together - 1) / together * together;
        const V zero = broadcast<V>(0);
        if (step == 1 && rows > 1) {
            for (int first = 0; first < columns; first += lanes) {
                const int here = columns - first < lanes ? columns - first : lanes;
                V block[lanes];
                for (int r = 0; r < lanes; ++r)
                    block[r] = r < rows ? load_first(x + r * stride + first, here, zero) : zero;
                transpose(block);
                for (int k = 0; k < here; ++k) logits[first + k] = block[k];
            }
        } else {
            for (int k = 0; k < columns; ++k) logits[k] = load_first(x + k * step, rows, zero);
        }
        next = lines_of<V>(x + (step == 1 ? rows * stride : 2 * lanes), stride, step, n);
        for (int k = columns; k < padded; ++k) logits[k] = broadcast<V>(static_cast<T>(-infinity));
        top = logits[0];
        for (int k = 1; k < columns; ++k) top = max(logits[k], top);
        store(tops, top);
    }

    // `a` in the lanes where entry k is below the largest, or NaN; 0 in the others.
    SOFTMAXES_INLINE V below_top(V a, int k) const {
        constexpr T least = sizeof(T) == 4 ? static_cast<T>(__FLT_DENORM_MIN__) : static_cast<T>(__DBL_DENORM_MIN__);
        return drop_below(a, sub(top, logits[k]), broadcast<V>(least));
    }

    // Terms and sums. Without care a sum is that of the terms as they are, so that no quotient by it exceeds 1.
    template <bool careful, class View>
    void sum(const View& view) {
        LaneSums<V> sums;
        const V one = broadcast<V>(1), zero = broadcast<V>(0);
        V smaller = zero;  // the number of entries below the largest
        for (int k = 0; k < padded; k += together) {
            const auto x = side_by_side<V, together>([&](int g) { return logits[k + g]; });
            Wide<V, together> rest;
            const auto e = view.term(x, careful ? &rest : nullptr);
#pragma GCC unroll 4
            for (int g = 0; g < together; ++g) {
                __builtin_prefetch(next.first + (k + g) * next.step);
                __builtin_prefetch(results.first + (k + g) * results.step, 1);
                terms[k + g] = e.v[g];
                sums.include(below_top(e.v[g], k + g), careful ? below_top(rest.v[g], k + g) : zero);
                smaller = add(smaller, below_top(one, k + g));
            }
        }
        top_lost = zero;
        top_term = view.term(top, careful ? &top_lost : nullptr);
        for (int p = 0; p < parts; ++p) {
            const F64 ties = sub(broadcast<F64>(padded - 1), part(smaller, p));
            const F64 e = part(top_term, p), lost = part(top_lost, p);
            const Double2 s = sums.of(p), t = two_sum(s.high, mul(ties, e)), u = two_sum(e, t.high);
            others[p] = {t.high, add(t.low, fma(ties, lost, s.low))};
            total[p] = {u.high, add(u.low, add(lost, others[p].low))};
        }
    }

    // Set apart the rows whose sum or maximum is out of bounds, infinite or NaN.
    void set_apart(T highest, double least_sum) {
        alignas(64) double sum[lanes];
        for (int p = 0; p < parts; ++p) store(sum + p * F64::lanes, total[p].high);
        for (int r = 0; r < count; ++r)
            single[r] = !((tops[r] <= highest) & (tops[r] > -infinity) & (sum[r] >= least_sum) & (sum[r] < infinity));
    }

    F64 rest(int p) const { return add(others[p].high, others[p].low); }
    F64 whole(int p) const { return add(total[p].high, total[p].low); }
    F64 exact_top(int p) const { return add(part(top_term, p), part(top_lost, p)); }
    // The part of a row's log-sum above its maximum.
    F64 log_sum(int p) const { return log1p(div(rest(p), exact_top(p))); }

    SOFTMAXES_INLINE V quotient(int k, const Reciprocal<V>& r) const {
        return fma(terms[k], r.high, mul(terms[k], r.low));
    }

    // Write f(k), entry k of every row; a row that is set apart is written anew, from what `logits_of` gives.
    template <class Function>
    void give(T* out, std::ptrdiff_t stride, std::ptrdiff_t step, Function f) const {
        if (step != 1 || count == 1) {
            for (int k = 0; k < columns; ++k) store_first(out + k * step, f(k), count);
            return;
        }
        for (int first = 0; first < columns; first += lanes) {
            const int here = columns - first < lanes ? columns - first : lanes;
            V block[lanes];
            for (int k = 0; k < lanes; ++k) block[k] = k < here ? f(first + k) : broadcast<V>(0);
            transpose(block);
            for (int r = 0; r < count; ++r) store_first(out + r * stride + first, block[r], here);
        }
    }
    void logits_of(int r, T* row) const {
        for (int k = 0; k < columns; ++k) {
            T lane[lanes];
            store(lane, logits[k]);
            row[k] = lane[r];
        }
    }
};

}  // namespace
