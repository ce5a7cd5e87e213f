// The kernels of softmax, log_softmax and logsumexp: rows of logits in; probabilities, their logarithms, log-sums out.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

// ---- short rows ----

template <class V, class View>
inline void give_short(const Rows<typename V::scalar>& job, ShortRows<V>& rows, std::int64_t first, const View& view,
                       typename V::scalar highest, double least_sum) {
    using T = typename V::scalar;
    constexpr int parts = parts_of<V>;
    T* out = job.out + first * job.out_stride;
    if (job.operation == Operation::softmax) {
        F64 factor[parts], exact[parts];
        for (F64& one : factor) one = broadcast<F64>(1);
        rows.template sum<careful_quotients<V>>(view);
        rows.set_apart(highest, least_sum);
        const Reciprocal<V> inverse = reciprocals(rows.total, factor);
        for (int p = 0; p < parts; ++p) exact[p] = div(rows.exact_top(p), rows.whole(p));
        const V largest = from_parts(exact);
        rows.give(out, job.out_stride, job.out_step, [&](int k) {
            const V q = rows.quotient(k, inverse);
            if constexpr (!careful_quotients<V>) return q;
            return add(rows.below_top(q, k), sub(largest, rows.below_top(largest, k)));
        });
        return;
    }
    rows.template sum<true>(view);
    rows.set_apart(highest, least_sum);
    F64 log_sum[parts];
    for (int p = 0; p < parts; ++p) log_sum[p] = rows.log_sum(p);
    if (job.operation == Operation::log_softmax) {
        const V l = from_parts(log_sum);
        rows.give(out, job.out_stride, job.out_step, [&](int k) { return view.logarithm(rows.logits[k], rows.top, l); });
        return;
    }
    alignas(64) double value[16], step[16];
    for (int p = 0; p < parts; ++p) {
        const F64 y = add(part(rows.top, p), log_sum[p]);
        store(value + p * F64::lanes, y);
        store(step + p * F64::lanes, newton_step<V>(y, rows.total[p]));
    }
    for (int r = 0; r < rows.count; ++r) {
        T row[short_row<T>];
        if (value[r] < 0.125 && value[r] > -0.125) rows.logits_of(r, row);
        out[r * job.out_stride] = settled_logsumexp(row, job.columns, rows.tops[r], value[r], step[r]);
    }
}

template <class V>
inline void short_group(const Rows<typename V::scalar>& job, ShortRows<V>& rows, std::int64_t first, int count) {
    using C = Constants<typename V::scalar>;
    rows.take(job.x + first * job.x_stride, job.x_stride, job.x_step, count, job.columns);
    if (job.operation != Operation::logsumexp)
        rows.results = lines_of<V>(job.out + first * job.out_stride, job.out_stride, job.out_step, job.columns);
    if (is_plain(job)) give_short(job, rows, first, AsIs<V>{plain_frame<V>()}, C::plain_high, smallest_plain_sum<V>());
    else give_short(job, rows, first, tempered(job, rows.top), C::highest, 0.0);
}

// ---- rows in groups ----

constexpr std::int64_t few_vectors = 128;  // entries of a row in which what straddles two cache lines counts

template <class V>
inline void softmax_group(const Rows<typename V::scalar>& job, Group<V>& group, std::int64_t first) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns, padded = (n + V::lanes - 1) / V::lanes * V::lanes;
    const T* x = job.x + first * job.x_stride;
    T* out = job.out + first * job.out_stride;
    // Terms wait in the output, whose lines then arrive while there is arithmetic to do. In place they would overwrite
    // logits that a row done from its maximum still needs; and where rows of few vectors start amid a cache line, what
    // straddles two lines costs more. Then they wait in the scratch.
    const bool straddling = n <= few_vectors && reinterpret_cast<std::uintptr_t>(out) % 64 != 0;
    const bool aside = job.x == job.out || straddling;
    T* terms = aside ? job.scratch : out;
    const std::ptrdiff_t stride = aside ? padded : job.out_stride;
    group.template take<Group<V>::Use::keep>(x, job.x_stride, group.count, n, terms, stride);
    for (int r = 0; r < group.count; ++r) {
        if (group.single[r]) continue;
        const bool ruled = careful_quotients<V> && group.care_if_ruled(r, x + r * job.x_stride, n);
        const Reciprocal<V> inverse = reciprocal(V{}, group.total(r), 1.0);
        divide_row<V>(terms + r * stride, out + r * job.out_stride, n, inverse);
        if (ruled) settle_top<V>(out + r * job.out_stride, n, group.top(r), group.total(r), inverse);
    }
}

template <class V>
inline void log_group(const Rows<typename V::scalar>& job, Group<V>& group, std::int64_t first, bool fetch) {
    const std::int64_t n = job.columns;
    const auto* x = job.x + first * job.x_stride;
    auto* out = job.out + first * job.out_stride;
    if (fetch) group.template take<Group<V>::Use::fetch>(x, job.x_stride, group.count, n, out, job.out_stride);
    else group.template take<Group<V>::Use::none>(x, job.x_stride, group.count, n, nullptr, 0);
    group.take_logs(x, job.x_stride, n);
    alignas(64) double step[16] = {};
    if constexpr (sizeof(typename V::scalar) == 8)
        if (job.operation == Operation::logsumexp) group.newton_steps(step);
    for (int r = 0; r < group.count; ++r) {
        if (group.single[r]) continue;
        const auto* row = x + r * job.x_stride;
        if (job.operation == Operation::logsumexp) {
            out[r * job.out_stride] = logsumexp_of<V>(row, n, group.tops[r], group.log_sum[r], step[r]);
            continue;
        }
        const V m = broadcast<V>(group.tops[r]);
        const V l = broadcast<V>(static_cast<typename V::scalar>(group.log_sum[r]));
        map_row<V>(row, out + r * job.out_stride, n, [&](V v) { return group.view.logarithm(v, m, l); });
    }
}

template <class V>
std::int64_t rows_kernel(const Rows<typename V::scalar>& job) {
    using T = typename V::scalar;
    const std::int64_t padded = (job.columns + V::lanes - 1) / V::lanes * V::lanes;
    const bool soft = job.operation == Operation::softmax, reduced = job.operation == Operation::logsumexp;
    std::int64_t without = 0;
    const auto from = [&](const T* x, std::int64_t row, T* out) {
        const bool has = single_row<V>(job, x, out);
        if (!has && without >= 0) without = job.empty == Empty::raise && !reduced ? -1 - row : without + 1;
    };
    const auto alone = [&](std::int64_t row, int = 0) {
        from(job.x + row * job.x_stride, row, job.out + row * job.out_stride);
    };
    if (job.columns <= short_row<T>) {
        ShortRows<V> rows;
        const auto apart = [&](std::int64_t row, int r) {
            T logits[short_row<T>], result[short_row<T>];
            rows.logits_of(r, logits);
            from(logits, row, result);
            T* out = job.out + row * job.out_stride;
            for (int k = 0; k < (reduced ? 1 : rows.columns); ++k) out[k * job.out_step] = result[k];
        };
        in_groups(rows, job.rows, V::lanes, apart,
                  [&](std::int64_t first, int count) { short_group<V>(job, rows, first, count); });
        return without;
    }
    if (!is_plain(job) || (soft && job.x == job.out && padded > job.scratch_size)) {
        for (std::int64_t row = 0; row < job.rows; ++row) alone(row);
        return without;
    }
    // results that do not fit the nearer caches are fetched while the sums are taken, fewer rows at a time; short rows
    // would pay more for their smaller groups than they gain
    const bool log = job.operation == Operation::log_softmax;
    const bool fetch = log && job.x != job.out && job.far && job.columns > few_vectors;
    const std::int64_t size = soft    ? group_size<V>(padded, job.columns <= few_vectors ? 3 : 2)
                              : fetch ? group_size<V>(padded, 2, nearer, 8)
                                      : group_size_once<V>(job.columns);
    Group<V> group;
    in_groups(group, job.rows, size, alone,
              [&](std::int64_t first, int count) {
                  group.count = count;
                  if (soft) softmax_group<V>(job, group, first);
                  else log_group<V>(job, group, first, fetch);
              });
    return without;
}

}  // namespace
