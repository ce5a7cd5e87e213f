// Long rows that lie side by side in memory (an axis that is not the last): a row to each lane, without transposing them.
//
// What `Sum` keeps a lane is kept here a place: entry k of a row is added where it would be added if the row lay ready,
// so the bits are the same. Only rows that need no care are done; if one of a strip does, the caller turns the strip.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

// The sums of `Sum<V>`, one a lane; place j is its lane j.
template <class V>
struct Places;
template <>
struct Places<F32> {
    F64 at[2][16] = {};

    SOFTMAXES_INLINE void add_group(int j, const Wide<F32, 4>& e) {
        const F32 sum = add(add(e.v[0], e.v[1]), add(e.v[2], e.v[3]));
        for (int p = 0; p < 2; ++p) at[p][j] = add(at[p][j], part(sum, p));
    }
    Double2 fold(int p) const {
        F64 s[8];
        for (int j = 0; j < 8; ++j) s[j] = add(at[p][j], at[p][j + 8]);
        return fold_places(s);
    }
};
template <>
struct Places<F64> {
    F64 sum[8] = {}, error[8] = {};

    SOFTMAXES_INLINE void add_group(int j, const Wide<F64, 4>& e) {
        const Double2 s = two_sum(sum[j], add(add(e.v[0], e.v[1]), add(e.v[2], e.v[3])));
        sum[j] = s.high;
        error[j] = add(error[j], s.low);
    }
    Double2 fold(int) const { return fold_places(sum, error); }
};

// What the end of a row needs, for a row to each lane.
template <class V>
struct Ends {
    static constexpr int parts = parts_of<V>, half = F64::lanes;
    V top;
    Double2 total[parts];
    F64 log_sum[parts], value[parts];  // what is above the maximum, and the log-sum itself

    // Returns whether no row needs care.
    bool settle(const Places<V>& places, Operation operation, const AsIs<V>& view) {
        using T = typename V::scalar;
        const bool soft = operation == Operation::softmax, reduced = operation == Operation::logsumexp;
        const double share = soft && !careful_quotients<V> ? 2.0 : known_share<V>;
        V lost;
        const V term = view.term(top, &lost);
        T tops[V::lanes];
        double sum[V::lanes], largest[V::lanes], log_sums[V::lanes];
        store(tops, top);
        for (int p = 0; p < parts; ++p) {
            total[p] = places.fold(p);
            const F64 e = part(term, p), rest = add(sub(total[p].high, e), total[p].low);
            log_sum[p] = log1p(div(rest, add(e, part(lost, p))));
            value[p] = add(part(top, p), log_sum[p]);
            store(sum + p * half, total[p].high);
            store(largest + p * half, e);
            store(log_sums + p * half, value[p]);
        }
        bool easy = true;
        for (int r = 0; r < V::lanes; ++r) {
            easy &= is_plain_row<V>(tops[r], sum[r]) & (largest[r] < sum[r] * share);
            easy &= !reduced | (log_sums[r] >= 4.0) | (log_sums[r] <= -4.0);
        }
        return easy;
    }
};

// Do one or four vectors of rows, job.x_stride and job.out_stride being 1; what a second pass needs waits in job.scratch.
// Returns false, with nothing written, where this is not the way.
template <class V>
bool strip_kernel(const Rows<typename V::scalar>& job) {
    using T = typename V::scalar;
    constexpr int lanes = V::lanes, together = 4, parts = parts_of<V>;
    const int groups = static_cast<int>(job.rows) / lanes, n = static_cast<int>(job.columns);
    if (job.rows % lanes || groups > 4 || n <= short_row<T> || n > chunk || !is_plain(job)) return false;
    const bool soft = job.operation == Operation::softmax, keep = job.operation != Operation::logsumexp;
    const AsIs<V> view{plain_frame<V>()};
    const V nothing = broadcast<V>(static_cast<T>(-infinity));
    Places<V> places[4];
    Ends<V> ends[4];
    for (Ends<V>& end : ends) end.top = nothing;
    for (int first = 0; first < n; first += lanes * together) {
        for (int j = 0; j < lanes && first + j < n; ++j) {
            for (int g = 0; g < groups; ++g) {
                Wide<V, together> v{nothing, nothing, nothing, nothing};
                for (int i = 0, k = first + j; i < together && k < n; ++i, k += lanes) {
                    const T* entry = job.x + k * job.x_step + g * lanes;
                    v.v[i] = load(entry);
                    __builtin_prefetch(entry + 2 * job.x_step);
                }
                const auto e = view.term(v);
                places[g].add_group(j, e);
                for (int i = 0, k = first + j; i < together && k < n; ++i, k += lanes) {
                    ends[g].top = max(v.v[i], ends[g].top);
                    if (keep) store(job.scratch + (k * groups + g) * lanes, soft ? e.v[i] : v.v[i]);
                }
            }
        }
    }
    for (int g = 0; g < groups; ++g)
        if (!ends[g].settle(places[g], job.operation, view)) return false;

    // Write f(entry, group) of all that was kept.
    const auto give = [&](const auto& f) {
        for (int k = 0; k < n; ++k)
            for (int g = 0; g < groups; ++g)
                store(job.out + k * job.out_step + g * lanes, f(load(job.scratch + (k * groups + g) * lanes), g));
    };
    if (soft) {
        Reciprocal<V> inverse[4];
        F64 factor[parts];
        for (F64& one : factor) one = broadcast<F64>(1);
        for (int g = 0; g < groups; ++g) inverse[g] = reciprocals(ends[g].total, factor);
        give([&](V e, int g) { return fma(e, inverse[g].high, mul(e, inverse[g].low)); });
    } else if (keep) {
        V log_sum[4];
        for (int g = 0; g < groups; ++g) log_sum[g] = from_parts(ends[g].log_sum);
        give([&](V x, int g) { return view.logarithm(x, ends[g].top, log_sum[g]); });
    } else {
        for (int g = 0; g < groups; ++g) {
            F64 value[parts];
            for (int p = 0; p < parts; ++p) {
                value[p] = ends[g].value[p];
                if (sizeof(T) == 8) value[p] = add(value[p], newton_step<V>(value[p], ends[g].total[p]));
            }
            store(job.out + g * lanes, from_parts(value));
        }
    }
    return true;
}

}  // namespace
