// A single row from its maximum: any value, any temperature, no possible class, or several infinite ones.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

using softmaxes::Empty;
using softmaxes::Operation;
using softmaxes::Rows;

template <class T>
inline bool is_plain(const Rows<T>& job) { return job.beta_high == 1.0 && job.beta_low == 0.0; }

// The view of logits at the temperature asked, from a maximum a lane.
template <class V>
inline Tempered<V> tempered(const Rows<typename V::scalar>& job, V maximum) {
    using T = typename V::scalar;
    const T high = static_cast<T>(job.beta_high);
    const T low = static_cast<T>((job.beta_high - static_cast<double>(high)) + job.beta_low);
    return {frame_of<V>(0, 0), maximum, broadcast<V>(high), broadcast<V>(low)};
}

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
        *out = logsumexp_of<V>(x, n, maximum, log_sum, 0.0);
        return;
    }
    const V m = broadcast<V>(maximum), l = broadcast<V>(static_cast<T>(log_sum));
    map_row<V>(x, out, n, [&](V v) { return view.logarithm(v, m, l); });
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
    if (is_plain(job)) {
        finish_single<V>(job, x, out, maximum, Shifted<V>{frame_at<V>(maximum)});
    } else {
        finish_single<V>(job, x, out, maximum, tempered(job, broadcast<V>(maximum)));
    }
    return true;
}

}  // namespace
