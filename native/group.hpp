// Rows one after another in the frame N = 0, their ends (divide, log) in groups of one a lane.
//
// Nearly every real row has its maximum in Constants::plain_low..plain_high, and there the frame N = 0 is exact: no pass
// for the maximum is needed. The few other rows (huge, tiny, infinite, NaN) are set apart afterwards and done one by one
// from their maximum.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

// A row whose maximum is at least plain_low has at least this sum.
template <class V>
inline double smallest_plain_sum() {
    using C = Constants<typename V::scalar>;
    return __builtin_ldexp(sizeof(typename V::scalar) == 4 ? 1.5229979744712628e-08 : 2.8e-96, C::lift);
}

// Whether the frame N = 0 is exact for a row with this maximum and this sum.
template <class V>
inline bool is_plain_row(typename V::scalar maximum, double sum) {
    return (maximum <= Constants<typename V::scalar>::plain_high) & (sum >= smallest_plain_sum<V>()) & (sum < infinity);
}

template <class V>
struct Group {
    using T = typename V::scalar;
    static constexpr int lanes = V::lanes;

    AsIs<V> view{plain_frame<V>()};
    int count;
    bool careful[lanes], single[lanes];
    alignas(64) T tops[lanes], top_terms[lanes], top_lost[lanes];
    alignas(64) double high[16], low[16];  // the sums
    alignas(64) double rest[16], log_sum[16];

    Term top(int r) const { return {static_cast<double>(top_terms[r]), static_cast<double>(top_lost[r])}; }
    Total total(int r) const { return {high[r], low[r]}; }

    // Sum `rows` rows of n entries; `terms` is where their terms are kept, or the lines to be fetched for later.
    enum class Use { none, keep, fetch };
    template <Use use>
    void take(const T* x, std::ptrdiff_t stride, int rows, std::int64_t n, T* terms, std::ptrdiff_t terms_stride) {
        constexpr Pass pass{false, use == Use::keep, true, use == Use::fetch};
        count = rows;
        V row_tops[lanes];
        for (int r = 0; r < lanes; ++r) {
            row_tops[r] = broadcast<V>(static_cast<T>(-infinity));
            high[r] = low[r] = 0.0;
            careful[r] = false;
        }
        for (std::int64_t i = 0; i < n; i += chunk) {
            const std::int64_t m = n - i < chunk ? n - i : chunk;
            RowSums<V> sums;
            for (int r = 0; r < rows; ++r) {
                T* to = use == Use::none ? nullptr : terms + r * terms_stride + i;
                sums.keep(r, sum_chunk<pass, V>(x + r * stride + i, m, view, row_tops[r], to));
            }
            for (int r = rows; r % F64::lanes != 0; ++r) sums.keep(r, Sum<V>{});
            for (int p = 0; p * F64::lanes < rows; ++p) {
                double *h = high + p * F64::lanes, *l = low + p * F64::lanes;
                const Double2 t = merge({load(h), load(l)}, sums.fold(p));
                store(h, t.high);
                store(l, t.low);
            }
        }
        const V largest = largest_lanes(row_tops);
        V lost;
        store(tops, largest);
        store(top_terms, view.term(largest, &lost));
        store(top_lost, lost);
        for (int r = 0; r < rows; ++r) single[r] = !is_plain_row<V>(tops[r], high[r]);
    }

    // Sum a row again with care if a term rules it; returns whether one does.
    bool care_if_ruled(int r, const T* x, std::int64_t n) {
        if (static_cast<double>(top_terms[r]) < high[r] * ruling_share) return false;
        V top = broadcast<V>(0);
        const Total total = sum_terms<careful_sum, V>(x, n, view, top, nullptr);
        high[r] = total.high;
        low[r] = total.low;
        return careful[r] = true;
    }

    // log(1 + rest / top) of every row: the part of its log-sum above its maximum.
    void take_logs(const T* x, std::ptrdiff_t stride, std::int64_t n) {
        alignas(64) double exact_top[16];
        for (int r = 0; r < 16; ++r) {
            exact_top[r] = 1.0;
            rest[r] = 0.0;
            if (r >= count || single[r]) continue;
            exact_top[r] = top(r).value + top(r).lost;
            rest[r] = rest_of_row<V>(x + r * stride, n, tops[r], top(r), total(r), careful[r], view);
        }
        for (int r = 0; r < count; r += F64::lanes) store(log_sum + r, log1p(div(load(rest + r), load(exact_top + r))));
    }

    // What the rounding of its logarithm took from every log-sum.
    void newton_steps(double* step) const {
        alignas(64) double value[16] = {};
        for (int r = 0; r < count; ++r)
            if (!single[r]) value[r] = static_cast<double>(tops[r]) + log_sum[r];
        for (int r = 0; r < count; r += F64::lanes)
            store(step + r, newton_step<V>(load(value + r), {load(high + r), load(low + r)}));
    }
};

constexpr std::int64_t nearest = 16384, nearer = 1 << 19;  // bytes: half of what caches of that name commonly hold

// The number of rows to a group, so that all their entries, in so many arrays, stay in a cache to their end.
template <class V>
inline std::int64_t group_size(std::int64_t padded, int arrays, std::int64_t cache = nearest, int most = V::lanes) {
    const std::int64_t fitting = cache / static_cast<std::int64_t>(padded * arrays * sizeof(typename V::scalar));
    return fitting > most ? most : fitting < 1 ? 1 : fitting;
}

// The same for rows that are read once: a lane each, but a row of several chunks by itself, that memory is read in order.
template <class V>
inline std::int64_t group_size_once(std::int64_t columns) { return columns <= chunk ? V::lanes : 1; }

// Do `rows` rows a group at a time, and alone those that the group sets apart.
template <class G, class Alone, class Give>
inline void in_groups(G& group, std::int64_t rows, std::int64_t size, const Alone& alone, const Give& give) {
    for (std::int64_t first = 0; first < rows; first += size) {
        give(first, static_cast<int>(rows - first < size ? rows - first : size));
        for (int r = 0; r < group.count; ++r)
            if (group.single[r]) alone(first + r, r);
    }
}

}  // namespace
