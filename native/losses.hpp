// Cross-entropy with integer targets, and its gradient in the same pass.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

using softmaxes::Losses;

template <class V, class View>
inline void finish_loss(const Losses<typename V::scalar>& job, std::int64_t row, const typename V::scalar* x,
                        typename V::scalar maximum, Total total, const View& view, typename V::scalar* terms) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns, y = job.target[row];
    const Term term = one_term<V>(maximum, view);
    const double rest = rest_of_row<V>(x, n, maximum, term, total, true, view);
    job.losses[row] = log1p(rest / (term.value + term.lost)) + (static_cast<double>(maximum) - static_cast<double>(x[y]));
    if (!job.gradient) return;
    T* out = job.gradient + row * job.gradient_stride;
    const double scale = job.row_scale ? job.row_scale[row] : 1.0;
    const double y_rest = x[y] == maximum ? rest : rest_of_row<V>(x, n, x[y], one_term<V>(x[y], view), total, true, view);
    divide_row<V>(terms, out, n, reciprocal(V{}, total, scale));
    out[y] = static_cast<T>(-scale * (y_rest / (total.high + total.low)));
}

template <class V>
inline void single_loss(const Losses<typename V::scalar>& job, std::int64_t row, const typename V::scalar* x) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns, y = job.target[row];
    T* out = job.gradient ? job.gradient + row * job.gradient_stride : nullptr;
    const double scale = job.row_scale ? job.row_scale[row] : 1.0;
    const T maximum = maximum_of<V>(x, n);
    if (maximum != maximum || maximum == static_cast<T>(-infinity)) {
        job.losses[row] = nan_of<double>;
        if (out) fill_row(out, n, nan_of<T>);
        return;
    }
    if (maximum == static_cast<T>(infinity)) {
        const double count = static_cast<double>(count_infinite(x, n));
        job.losses[row] = x[y] == maximum ? log1p(count - 1) : infinity;
        if (!out) return;
        const bool sure = x[y] == maximum;
        for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] == maximum ? static_cast<T>(scale / count) : T{0};
        out[y] = static_cast<T>(sure ? -scale * ((count - 1) / count) : -scale);
        return;
    }
    const Shifted<V> view{frame_at<V>(maximum)};
    V top = broadcast<V>(0);
    T* terms = out && n <= job.scratch_size ? job.scratch : out;
    if (!out) {
        finish_loss<V>(job, row, x, maximum, sum_terms<careful_sum, V>(x, n, view, top, nullptr), view, terms);
    } else if (terms != out || out != x) {
        finish_loss<V>(job, row, x, maximum, sum_terms<careful_terms, V>(x, n, view, top, terms), view, terms);
    } else {
        // in place and too long for the scratch: everything that reads the logits comes before they are overwritten
        Losses<T> value = job;
        value.gradient = nullptr;
        const Total total = sum_terms<careful_sum, V>(x, n, view, top, nullptr);
        finish_loss<V>(value, row, x, maximum, total, view, nullptr);
        const double y_rest = rest_of_row<V>(x, n, x[y], one_term<V>(x[y], view), total, true, view);
        sum_terms<careful_terms, V>(x, n, view, top, out);
        divide_row<V>(out, out, n, reciprocal(V{}, total, scale));
        out[y] = static_cast<T>(-scale * (y_rest / (total.high + total.low)));
    }
}

template <class V>
inline void short_losses(const Losses<typename V::scalar>& job, ShortRows<V>& rows, std::int64_t first, int count) {
    using T = typename V::scalar;
    constexpr int parts = parts_of<V>, half = F64::lanes;
    const AsIs<V> view{plain_frame<V>()};
    const T* x = job.x + first * job.x_stride;
    const std::int64_t* target = job.target + first;
    rows.take(x, job.x_stride, 1, count, job.columns);
    if (job.gradient)
        rows.results = lines_of<V>(job.gradient + first * job.gradient_stride, job.gradient_stride, 1, job.columns);
    rows.template sum<true>(view);
    rows.set_apart(Constants<T>::plain_high, smallest_plain_sum<V>());

    alignas(64) T targets[V::lanes] = {};
    alignas(64) double scale[V::lanes], losses[V::lanes];
    for (int r = 0; r < V::lanes; ++r) scale[r] = job.row_scale && r < count ? job.row_scale[first + r] : 1.0;
    for (int r = 0; r < count; ++r) targets[r] = x[r * job.x_stride + target[r]];
    const V y = load(targets);
    for (int p = 0; p < parts; ++p) store(losses + p * half, add(rows.log_sum(p), sub(part(rows.top, p), part(y, p))));
    for (int r = 0; r < count; ++r) job.losses[first + r] = losses[r];
    if (!job.gradient) return;

    // beside the largest entry the sum is known; beside another, which has at most half of it, by a subtraction
    V lost;
    const V term = view.term(y, &lost);
    F64 factor[parts];
    alignas(64) double beside_top[V::lanes], beside_other[V::lanes], whole[V::lanes];
    for (int p = 0; p < parts; ++p) {
        factor[p] = load(scale + p * half);
        store(beside_top + p * half, rows.rest(p));
        store(beside_other + p * half,
              add(sub(rows.total[p].high, part(term, p)), sub(rows.total[p].low, part(lost, p))));
        store(whole + p * half, rows.whole(p));
    }
    T* out = job.gradient + first * job.gradient_stride;
    const Reciprocal<V> inverse = reciprocals(rows.total, factor);
    rows.give(out, job.gradient_stride, 1, [&](int k) { return rows.quotient(k, inverse); });
    for (int r = 0; r < count; ++r) {
        const double beside = targets[r] == rows.tops[r] ? beside_top[r] : beside_other[r];
        out[r * job.gradient_stride + target[r]] = static_cast<T>(-scale[r] * (beside / whole[r]));
    }
}

template <class V>
inline void loss_group(const Losses<typename V::scalar>& job, Group<V>& group, std::int64_t first) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns, padded = (n + V::lanes - 1) / V::lanes * V::lanes;
    const T* x = job.x + first * job.x_stride;
    const std::int64_t* target = job.target + first;
    // as for softmax, terms wait in the output unless that is where the logits are
    const bool in_place = job.x == job.gradient;
    T* out = job.gradient ? job.gradient + first * job.gradient_stride : nullptr;
    T* terms = in_place ? job.scratch : out;
    const std::ptrdiff_t stride = in_place ? padded : job.gradient_stride;
    if (out) group.template take<Group<V>::Use::keep>(x, job.x_stride, group.count, n, terms, stride);
    else group.template take<Group<V>::Use::none>(x, job.x_stride, group.count, n, nullptr, 0);

    alignas(64) T targets[V::lanes] = {}, target_terms[V::lanes], target_lost[V::lanes];
    for (int r = 0; r < group.count; ++r) targets[r] = x[r * job.x_stride + target[r]];
    V lost;
    store(target_terms, group.view.term(load(targets), &lost));
    store(target_lost, lost);

    for (int r = 0; r < group.count; ++r)
        if (!group.single[r]) group.care_if_ruled(r, x + r * job.x_stride, n);
    group.take_logs(x, job.x_stride, n);
    for (int r = 0; r < group.count; ++r) {
        if (group.single[r]) continue;
        const Total total = group.total(r);
        job.losses[first + r] =
            group.log_sum[r] + (static_cast<double>(group.tops[r]) - static_cast<double>(targets[r]));
        if (!out) continue;
        const double scale = job.row_scale ? job.row_scale[first + r] : 1.0;
        const Term term{static_cast<double>(target_terms[r]), static_cast<double>(target_lost[r])};
        const double rest = targets[r] == group.tops[r] ? group.rest[r]
                                                        : rest_of_row<V>(x + r * job.x_stride, n, targets[r], term,
                                                                         total, group.careful[r], group.view);
        T* row = out + r * job.gradient_stride;
        divide_row<V>(terms + r * stride, row, n, reciprocal(V{}, total, scale));
        row[target[r]] = static_cast<T>(-scale * (rest / (total.high + total.low)));
    }
}

template <class V>
void losses_kernel(const Losses<typename V::scalar>& job) {
    using T = typename V::scalar;
    const std::int64_t padded = (job.columns + V::lanes - 1) / V::lanes * V::lanes;
    const auto alone = [&](std::int64_t row, int = 0) { single_loss<V>(job, row, job.x + row * job.x_stride); };
    if (job.columns <= short_row<T>) {
        ShortRows<V> rows;
        const auto apart = [&](std::int64_t row, int r) {
            T logits[short_row<T>];
            rows.logits_of(r, logits);
            single_loss<V>(job, row, logits);
        };
        in_groups(rows, job.rows, V::lanes, apart,
                  [&](std::int64_t first, int count) { short_losses<V>(job, rows, first, count); });
    } else if (job.x == job.gradient && padded > job.scratch_size) {
        for (std::int64_t row = 0; row < job.rows; ++row) alone(row);
    } else {
        Group<V> group;
        in_groups(group, job.rows, job.gradient ? group_size<V>(padded, 2) : group_size_once<V>(job.columns), alone,
                  [&](std::int64_t first, int count) {
                      group.count = count;
                      loss_group<V>(job, group, first);
                  });
    }
}

}  // namespace
