// The kernels of softmax, log_softmax and logsumexp: rows of logits in; probabilities, their logarithms, log-sums out.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

using softmaxes::Empty;
using softmaxes::Operation;
using softmaxes::Rows;

// The log-sum of a row from its sum taken with care, near a first guess: y + (s e^-y - 1).
inline double refined(double guess, Total total, int lift) {
    F64 rest;
    const F64 e = AsIs<F64>{plain_frame<F64>()}.term(broadcast<F64>(-guess), &rest);
    const double high = __builtin_ldexp(first_lane(e), -lift - Constants<double>::lift);
    const double low = __builtin_ldexp(first_lane(rest), -lift - Constants<double>::lift);
    const double product = total.high * high;
    const double lost = __builtin_fma(total.high, high, -product) + (total.high * low + total.low * high);
    return guess + ((product - 1.0) + lost);
}

// The log-sum of a row from its maximum and the log of what is above it. Where the two cancel, what rounding took from
// the terms is missed: then the sum is taken with care (good down to an eighth), and below that in twice the precision.
// The Newton steps s e^-y - 1 of a group of rows from y = maximum + logarithm: what the rounding of the logarithm took.
template <class V>
inline void newton_steps(const Group<V>& group, double* step) {
    alignas(64) double guess[16] = {}, sum[16], sum_lost[16];
    for (int r = 0; r < 16; ++r) {
        const bool counts = r < group.count && !group.single[r];
        guess[r] = counts ? static_cast<double>(group.tops[r]) + group.log_sum[r] : 0.0;
        sum[r] = counts ? __builtin_ldexp(group.totals[r].high, -Constants<typename V::scalar>::lift) : 1.0;
        sum_lost[r] = counts ? __builtin_ldexp(group.totals[r].low, -Constants<typename V::scalar>::lift) : 0.0;
    }
    const F64 unlift = broadcast<F64>(__builtin_ldexp(1.0, -Constants<double>::lift));
    const AsIs<F64> view{plain_frame<F64>()};
    for (int r = 0; r < group.count; r += F64::lanes) {
        const F64 y = load(guess + r), s = load(sum + r);
        F64 lost;
        const F64 e = mul(view.term(mul(y, broadcast<F64>(-1)), &lost), unlift);
        const F64 p = mul(s, e), p_lost = fma(s, e, mul(p, broadcast<F64>(-1)));
        const F64 rest = add(p_lost, fma(s, mul(lost, unlift), mul(load(sum_lost + r), e)));
        store(step + r, add(sub(p, broadcast<F64>(1)), rest));
    }
}

template <class V, class View>
inline typename V::scalar logsumexp_of(const typename V::scalar* x, std::int64_t n, typename V::scalar maximum,
                                       double log_sum, double step, const View& view) {
    using T = typename V::scalar;
    const double value = static_cast<double>(maximum) + log_sum;
    if (n == 1) return maximum;
    if (value >= 4.0 || value <= -4.0) return static_cast<T>(value + step);
    if (value < 0.125 && value > -0.125) {
        // two tiny parts of one sign are carried best as they are
        const bool tiny = value < 0x1p-40 && value > -0x1p-40;
        return static_cast<T>(tiny && maximum > static_cast<T>(-0x1p-44) ? value : logsumexp_precise(x, n));
    }
    V top = broadcast<V>(0);
    const Total total = sum_terms<careful_sum, V>(x, n, view, top, nullptr);
    return static_cast<T>(refined(value, total, Constants<T>::lift));
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

// ---- a single row, from its maximum: any value, any temperature ----

template <class V, class View>
inline void finish_single(const Rows<typename V::scalar>& job, const typename V::scalar* x, typename V::scalar* out,
                          typename V::scalar maximum, const View& view) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns;
    V top = broadcast<V>(0);
    if (job.operation == Operation::softmax) {
        T* terms = n <= job.scratch_size ? job.scratch : out;
        if constexpr (careful_quotients<V>) {
            const Total total = sum_terms<careful_terms, V>(x, n, view, top, terms);
            const Term term = one_term<V>(maximum, view);
            const Reciprocal<V> inverse = reciprocal(V{}, total, 1.0);
            divide_row<V>(terms, out, n, inverse);
            if (term.value >= total.high * ruling_share) settle_top<V>(out, n, term, total, inverse);
        } else {
            divide_row<V>(terms, out, n, reciprocal(V{}, sum_terms<plain_terms, V>(x, n, view, top, terms), 1.0));
        }
        return;
    }
    const Total total = sum_terms<careful_sum, V>(x, n, view, top, nullptr);
    const Term term = one_term<V>(maximum, view);
    const double rest = rest_of_row<V>(x, n, maximum, term, total, true, view);
    const double log_sum = log1p(rest / (term.value + term.lost));
    if (job.operation == Operation::logsumexp) {
        *out = logsumexp_of<V>(x, n, maximum, log_sum, 0.0, AsIs<V>{plain_frame<V>()});
        return;
    }
    const V m = broadcast<V>(maximum), l = broadcast<V>(static_cast<T>(log_sum));
    if constexpr (requires { view.beta_high; }) {
        map_row<V>(x, out, n, [&](V v) {
            V low;
            const V y = view.exponent(v, low);
            return sub(y, sub(l, low));
        });
    } else {
        map_row<V>(x, out, n, [&](V v) { return sub(sub(v, m), l); });
    }
}

// Returns whether the row has a possible class.
template <class V>
inline bool single_row(const Rows<typename V::scalar>& job, const typename V::scalar* x, typename V::scalar* out) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns;
    const T maximum = maximum_of<V>(x, n);
    const bool reduced = job.operation == Operation::logsumexp, log = job.operation == Operation::log_softmax;
    if (maximum != maximum) {
        fill_row(out, reduced ? 1 : n, nan_of<T>);
        return true;
    }
    if (maximum == static_cast<T>(-infinity)) {
        const double uniform = log ? -log1p(static_cast<double>(n - 1)) : 1.0 / static_cast<double>(n);
        const double zero = log ? -infinity : 0.0;
        const double value = reduced                       ? -infinity
                             : job.empty == Empty::zero    ? zero
                             : job.empty == Empty::uniform ? uniform
                                                           : nan_of<double>;
        fill_row(out, reduced ? 1 : n, static_cast<T>(value));
        return false;
    }
    if (maximum == static_cast<T>(infinity)) {
        if (reduced) {
            *out = maximum;
            return true;
        }
        const double count = static_cast<double>(count_infinite(x, n));
        const T share = static_cast<T>(log ? -log1p(count - 1) : 1.0 / count);
        const T none = static_cast<T>(log ? -infinity : 0.0);
        for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] == maximum ? share : none;
        return true;
    }
    if (job.beta_high == 1.0 && job.beta_low == 0.0) {
        finish_single<V>(job, x, out, maximum, Shifted<V>{frame_at<V>(maximum)});
    } else {
        const T high = static_cast<T>(job.beta_high);
        const T low = static_cast<T>((job.beta_high - static_cast<double>(high)) + job.beta_low);
        const Tempered<V> view{frame_of<V>(0, 0), broadcast<V>(maximum), broadcast<V>(high), broadcast<V>(low)};
        finish_single<V>(job, x, out, maximum, view);
    }
    return true;
}

// ---- rows in groups ----

template <class V>
inline void softmax_group(const Rows<typename V::scalar>& job, Group<V>& group, std::int64_t first) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns, padded = (n + V::lanes - 1) / V::lanes * V::lanes;
    const T* x = job.x + first * job.x_stride;
    T* out = job.out + first * job.out_stride;
    // Terms wait in the output, whose lines then arrive while there is arithmetic to do; in place they would overwrite
    // logits that a row done from its maximum still needs, so they wait in the scratch.
    const bool in_place = job.x == job.out;
    T* terms = in_place ? job.scratch : out;
    const std::ptrdiff_t stride = in_place ? padded : job.out_stride;
    group.template take<Group<V>::Use::keep>(x, job.x_stride, group.count, n, careful_quotients<V> && n <= short_row, terms, stride);
    for (int r = 0; r < group.count; ++r) {
        if (group.single[r]) continue;
        const bool ruled = careful_quotients<V> && group.care_if_ruled(r, x + r * job.x_stride, n);
        const Reciprocal<V> inverse = reciprocal(V{}, group.totals[r], 1.0);
        divide_row<V>(terms + r * stride, out + r * job.out_stride, n, inverse);
        if (ruled) settle_top<V>(out + r * job.out_stride, n, group.top(r), group.totals[r], inverse);
    }
}

template <class V>
inline void log_group(const Rows<typename V::scalar>& job, Group<V>& group, std::int64_t first, bool fetch) {
    const std::int64_t n = job.columns;
    const auto* x = job.x + first * job.x_stride;
    if (fetch)
        group.template take<Group<V>::Use::fetch>(x, job.x_stride, group.count, n, false,
                                                  job.out + first * job.out_stride, job.out_stride);
    else
        group.template take<Group<V>::Use::none>(x, job.x_stride, group.count, n, n <= short_row, nullptr, 0);
    group.take_logs(x, job.x_stride, n);
    alignas(64) double step[16] = {};
    if constexpr (sizeof(typename V::scalar) == 8)
        if (job.operation == Operation::logsumexp) newton_steps(group, step);
    for (int r = 0; r < group.count; ++r) {
        if (group.single[r]) continue;
        const auto* row = x + r * job.x_stride;
        auto* out = job.out + (first + r) * job.out_stride;
        if (job.operation == Operation::logsumexp) {
            *out = logsumexp_of<V>(row, n, group.tops[r], group.log_sum[r], step[r], group.view);
            continue;
        }
        const V m = broadcast<V>(group.tops[r]);
        const V l = broadcast<V>(static_cast<typename V::scalar>(group.log_sum[r]));
        map_row<V>(row, out, n, [&](V v) { return sub(sub(v, m), l); });
    }
}

template <class V>
std::int64_t rows_kernel(const Rows<typename V::scalar>& job) {
    const std::int64_t padded = (job.columns + V::lanes - 1) / V::lanes * V::lanes;
    const bool soft = job.operation == Operation::softmax, reduced = job.operation == Operation::logsumexp;
    std::int64_t without = 0;
    const auto alone = [&](std::int64_t row) {
        const bool has = single_row<V>(job, job.x + row * job.x_stride, job.out + row * job.out_stride);
        if (!has && without >= 0) without = job.empty == Empty::raise && !reduced ? -1 - row : without + 1;
    };
    const bool plain = job.beta_high == 1.0 && job.beta_low == 0.0;
    if (!plain || (soft && job.x == job.out && padded > job.scratch_size)) {
        for (std::int64_t row = 0; row < job.rows; ++row) alone(row);
        return without;
    }
    Group<V> group;
    // results that do not fit the nearer caches are fetched while the sums are taken, fewer rows at a time
    const bool fetch = job.operation == Operation::log_softmax && job.x != job.out && job.columns > short_row &&
                       job.rows * job.columns >= (1 << 20) / static_cast<std::int64_t>(sizeof(typename V::scalar));
    const std::int64_t size = soft ? group_size<V>(job.scratch_size, padded) : fetch ? 8 : V::lanes;
    for (std::int64_t first = 0; first < job.rows; first += size) {
        group.count = static_cast<int>(job.rows - first < size ? job.rows - first : size);
        if (soft) softmax_group<V>(job, group, first);
        else log_group<V>(job, group, first, fetch);
        for (int r = 0; r < group.count; ++r)
            if (group.single[r]) alone(first + r);
    }
    return without;
}

}  // namespace
