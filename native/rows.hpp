// The kernels: rows of logits in; probabilities, log-probabilities, log-sums, losses and gradients out.
//
// A row takes two passes. The first adds up the terms e^x in the frame N = 0 and watches the maximum; for nearly every
// real row (maximum in Constants::plain_low..plain_high) that is exact, and no pass for the maximum is needed. The few
// other rows (huge, tiny, infinite, NaN, tempered) are then done one by one from their maximum; a power of two is all
// that can differ, so the bits do not depend on which way a row went. Rows go in groups of one per lane, so that what
// is done once a row (divide, log) is done for all lanes at once.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

using softmaxes::Empty;
using softmaxes::Losses;
using softmaxes::Operation;
using softmaxes::Rows;

template <class T>
constexpr T nan_of = static_cast<T>(__builtin_nan(""));

// How a logit x becomes the exponent y (and its rounding error) that exp_term takes. P is a vector or several.
template <class V>
struct AsIs {
    Frame<V> frame;
    template <class P>
    SOFTMAXES_INLINE P term(const P& x, P* rest = nullptr) const { return exp_term<P>(x, frame, nullptr, rest); }
};
template <class V>
struct Shifted {
    Frame<V> frame;
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
};
constexpr Pass fast_terms_top{false, true, true}, fast_top{false, false, true}, careful_terms{true, true, false},
    careful_terms_top{true, true, true}, careful_top{true, false, true}, careful_sum{true, false, false},
    plain_terms{false, true, false};

// Sum the terms of up to `chunk` entries; write them out and follow the maximum where asked.
template <Pass pass, class V, class View>
inline Total sum_chunk(const typename V::scalar* x, std::int64_t n, const View& view, V& top,
                       typename V::scalar* terms) {
    constexpr int lanes = V::lanes, group = 4;
    const V nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity)), zero = broadcast<V>(0);
    Sum<V> sum;
    V tops[group] = {top, top, top, top};
    std::int64_t i = 0;
    for (; i + lanes * group <= n; i += lanes * group) {
        const auto v = side_by_side<V, group>([&](int g) { return load(x + i + g * lanes); });
        Wide<V, group> rest;
        const auto e = view.term(v, pass.careful ? &rest : nullptr);
#pragma GCC unroll 4
        for (int g = 0; g < group; ++g) {
            if (pass.keep_top) tops[g] = max(v.v[g], tops[g]);
            if (pass.keep_terms) store(terms + i + g * lanes, e.v[g]);
        }
        if (pass.careful) sum.add_group(e, rest);
        else sum.add_group(e);
    }
    if (i < n) {
        Wide<V, group> e{zero, zero, zero, zero}, rest = e;
        const int left_over = static_cast<int>(n - i);
        for (int g = 0; g * lanes < left_over; ++g) {
            const int left = left_over - g * lanes;
            const bool whole = left >= lanes;
            const V v = whole ? load(x + i + g * lanes) : load_first(x + i + g * lanes, left, nothing);
            if (pass.keep_top) tops[g] = max(v, tops[g]);
            e.v[g] = view.term(v, pass.careful ? &rest.v[g] : nullptr);
            if (!pass.keep_terms) continue;
            if (whole) store(terms + i + g * lanes, e.v[g]);
            else store_first(terms + i + g * lanes, e.v[g], left);
        }
        if (pass.careful) sum.add_group(e, rest);
        else sum.add_group(e);
    }
    if (pass.keep_top) top = max(max(tops[0], tops[1]), max(tops[2], tops[3]));
    return sum.fold();
}

template <Pass pass, class V, class View>
inline Total sum_terms(const typename V::scalar* x, std::int64_t n, const View& view, V& top,
                       typename V::scalar* terms) {
    if (n <= chunk) return sum_chunk<pass, V>(x, n, view, top, terms);
    Total total{0.0, 0.0};
    for (std::int64_t i = 0; i < n; i += chunk) {
        const std::int64_t m = n - i < chunk ? n - i : chunk;
        total = merge(total, sum_chunk<pass, V>(x + i, m, view, top, terms + (pass.keep_terms ? i : 0)));
    }
    return total;
}

// Rows up to this length are summed with care at once: one of their terms is likely to rule.
constexpr std::int64_t short_row = 64;
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

// The sum of all but the entry `value`, whose term is known; it is looked for only when it must be: where its share is
// too large for a subtraction from the total.
template <class V, class View>
inline double rest_of_row(const typename V::scalar* x, std::int64_t n, typename V::scalar value, Term term,
                          Total total, bool careful, const View& view) {
    constexpr bool narrow = sizeof(typename V::scalar) == 4;
    const double share = careful ? (narrow ? 0.9 : 0.75) : (narrow ? ruling_share : 0.5);
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

template <class V, class Function>
inline void map_row(const typename V::scalar* x, typename V::scalar* out, std::int64_t n, Function f) {
    std::int64_t i = 0;
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

template <class T>
inline void fill_row(T* out, std::int64_t n, T value) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = value;
}

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
template <class V, class View>
inline typename V::scalar logsumexp_of(const typename V::scalar* x, std::int64_t n, typename V::scalar maximum,
                                       double log_sum, const View& view) {
    using T = typename V::scalar;
    const double value = static_cast<double>(maximum) + log_sum;
    if (n == 1 || value >= 4.0 || value <= -4.0) return static_cast<T>(value);
    if (value < 0.125 && value > -0.125) {
        // two tiny parts of one sign are carried best as they are
        const bool tiny = value < 0x1p-40 && value > -0x1p-40;
        return static_cast<T>(tiny && maximum > static_cast<T>(-0x1p-44) ? value : logsumexp_precise(x, n));
    }
    V top = broadcast<V>(0);
    const Total total = sum_terms<careful_sum, V>(x, n, view, top, nullptr);
    return static_cast<T>(refined(value, total, Constants<T>::lift));
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

// Rows with +inf have a limit: the +inf entries share everything.
template <class T>
inline std::int64_t count_infinite(const T* x, std::int64_t n) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) count += x[i] == static_cast<T>(infinity);
    return count;
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
        *out = logsumexp_of<V>(x, n, maximum, log_sum, AsIs<V>{plain_frame<V>()});
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

// ---- groups of rows in the frame N = 0 ----

template <class V>
inline double smallest_plain_sum() {
    using C = Constants<typename V::scalar>;
    // a row whose maximum is at least plain_low has at least this sum
    return __builtin_ldexp(sizeof(typename V::scalar) == 4 ? 1.5229979744712628e-08 : 2.8e-96, C::lift);
}

// log(1 + rest / its_term) for a group of rows: the part of a row's log-sum above its maximum.
inline void log_sums(const double* rest, const double* its_term, double* out, int rows) {
    for (int r = 0; r < rows; r += F64::lanes) store(out + r, log1p(div(load(rest + r), load(its_term + r))));
}

template <class V>
std::int64_t rows_kernel(const Rows<typename V::scalar>& job) {
    using T = typename V::scalar;
    using C = Constants<T>;
    constexpr int lanes = V::lanes;
    const std::int64_t n = job.columns;
    const std::int64_t padded = (n + lanes - 1) / lanes * lanes;
    const bool soft = job.operation == Operation::softmax, reduced = job.operation == Operation::logsumexp;
    std::int64_t without = 0;
    const auto alone = [&](std::int64_t row) {
        const bool has = single_row<V>(job, job.x + row * job.x_stride, job.out + row * job.out_stride);
        if (!has && without >= 0) without = job.empty == Empty::raise && !reduced ? -1 - row : without + 1;
    };
    const bool plain = job.beta_high == 1.0 && job.beta_low == 0.0;
    // Terms wait in the output, whose lines then arrive while there is arithmetic to do; in place they would overwrite
    // logits that a row done from its maximum still needs, so they wait in the scratch.
    const bool in_place = job.x == job.out;
    T* const terms_of = in_place ? job.scratch : job.out;
    const std::ptrdiff_t terms_stride = in_place ? padded : job.out_stride;
    if (!plain || (soft && in_place && padded > job.scratch_size)) {
        for (std::int64_t row = 0; row < job.rows; ++row) alone(row);
            return without;
    }
    const AsIs<V> view{plain_frame<V>()};
    const double least = smallest_plain_sum<V>();
    const bool careful = n <= short_row;
    std::int64_t size = soft ? job.scratch_size / padded : lanes;
    if (size > lanes) size = lanes;
    if (size < 1) size = 1;
    for (std::int64_t first = 0; first < job.rows; first += size) {
        const int count = static_cast<int>(job.rows - first < size ? job.rows - first : size);
        Total totals[lanes];
        V row_tops[lanes];
        alignas(64) T tops[lanes], top_terms[lanes], top_lost[lanes];
        T* const terms = soft ? terms_of + (in_place ? 0 : first * terms_stride) : nullptr;
        for (int r = 0; r < lanes; ++r) row_tops[r] = broadcast<V>(static_cast<T>(-infinity));
        for (int r = 0; r < count; ++r) {
            const T* x = job.x + (first + r) * job.x_stride;
            if (soft) {
                T* to = terms + r * terms_stride;
                totals[r] = careful && careful_quotients<V> ? sum_terms<careful_terms_top, V>(x, n, view, row_tops[r], to)
                                                    : sum_terms<fast_terms_top, V>(x, n, view, row_tops[r], to);
            } else {
                totals[r] = careful ? sum_terms<careful_top, V>(x, n, view, row_tops[r], nullptr)
                                    : sum_terms<fast_top, V>(x, n, view, row_tops[r], nullptr);
            }
        }
        const V largest = largest_lanes(row_tops);
        V lost;
        store(tops, largest);
        store(top_terms, view.term(largest, &lost));
        store(top_lost, lost);
        bool single[lanes];
        for (int r = 0; r < count; ++r)
            single[r] = !(tops[r] <= C::plain_high && totals[r].high >= least && totals[r].high < infinity);
        if (soft) {
            for (int r = 0; r < count; ++r) {
                if (single[r]) continue;
                T* out = job.out + (first + r) * job.out_stride;
                const bool ruled = careful_quotients<V> && top_terms[r] >= totals[r].high * ruling_share;
                if (ruled && !careful)
                    totals[r] = sum_terms<careful_sum, V>(job.x + (first + r) * job.x_stride, n, view, row_tops[r],
                                                          nullptr);
                const Reciprocal<V> inverse = reciprocal(V{}, totals[r], 1.0);
                divide_row<V>(terms + r * terms_stride, out, n, inverse);
                if (ruled) settle_top<V>(out, n, Term{static_cast<double>(top_terms[r]), static_cast<double>(top_lost[r])}, totals[r], inverse);
            }
            for (int r = 0; r < count; ++r)
                if (single[r]) alone(first + r);
            continue;
        }
        alignas(64) double rest[16] = {}, its_term[16], log_sum[16];
        for (int r = 0; r < 16; ++r) its_term[r] = 1.0;
        for (int r = 0; r < count; ++r) {
            if (single[r]) continue;
            const T* x = job.x + (first + r) * job.x_stride;
            const Term term{static_cast<double>(top_terms[r]), static_cast<double>(top_lost[r])};
            its_term[r] = term.value + term.lost;
            rest[r] = rest_of_row<V>(x, n, tops[r], term, totals[r], careful, view);
        }
        log_sums(rest, its_term, log_sum, count);
        for (int r = 0; r < count; ++r) {
            T* out = job.out + (first + r) * job.out_stride;
            if (single[r]) {
                alone(first + r);
            } else if (reduced) {
                *out = logsumexp_of<V>(job.x + (first + r) * job.x_stride, n, tops[r], log_sum[r], view);
            } else {
                const V m = broadcast<V>(tops[r]), l = broadcast<V>(static_cast<T>(log_sum[r]));
                map_row<V>(job.x + (first + r) * job.x_stride, out, n, [&](V v) { return sub(sub(v, m), l); });
            }
        }
    }
    return without;
}

// ---- cross-entropy ----

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
inline void single_loss(const Losses<typename V::scalar>& job, std::int64_t row) {
    using T = typename V::scalar;
    const T* x = job.x + row * job.x_stride;
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
void losses_kernel(const Losses<typename V::scalar>& job) {
    using T = typename V::scalar;
    using C = Constants<T>;
    constexpr int lanes = V::lanes;
    const std::int64_t n = job.columns, padded = (n + lanes - 1) / lanes * lanes;
    const AsIs<V> view{plain_frame<V>()};
    const double least = smallest_plain_sum<V>();
    if (job.gradient && padded > job.scratch_size) {
        for (std::int64_t row = 0; row < job.rows; ++row) single_loss<V>(job, row);
            return;
    }
    std::int64_t size = job.gradient ? job.scratch_size / padded : lanes;
    if (size > lanes) size = lanes;
    for (std::int64_t first = 0; first < job.rows; first += size) {
        const int count = static_cast<int>(job.rows - first < size ? job.rows - first : size);
        Total totals[lanes];
        V row_tops[lanes];
        alignas(64) T tops[lanes], top_terms[lanes], top_lost[lanes];
        alignas(64) T targets[lanes] = {}, target_terms[lanes], target_lost[lanes];
        alignas(64) double rest[16] = {}, its_term[16], log_sum[16];
        for (int r = 0; r < lanes; ++r) row_tops[r] = broadcast<V>(static_cast<T>(-infinity));
        for (int r = 0; r < count; ++r) {
            const T* x = job.x + (first + r) * job.x_stride;
            T* to = job.scratch + r * padded;
            if (job.gradient) {
                totals[r] = n <= short_row ? sum_terms<careful_terms_top, V>(x, n, view, row_tops[r], to)
                                           : sum_terms<fast_terms_top, V>(x, n, view, row_tops[r], to);
            } else {
                totals[r] = n <= short_row ? sum_terms<careful_top, V>(x, n, view, row_tops[r], nullptr)
                                           : sum_terms<fast_top, V>(x, n, view, row_tops[r], nullptr);
            }
            targets[r] = x[job.target[first + r]];
        }
        const V largest = largest_lanes(row_tops);
        V lost;
        store(tops, largest);
        store(top_terms, view.term(largest, &lost));
        store(top_lost, lost);
        store(target_terms, view.term(load(targets), &lost));
        store(target_lost, lost);
        for (int r = 0; r < 16; ++r) its_term[r] = 1.0;
        bool single[lanes], careful[lanes];
        for (int r = 0; r < count; ++r) {
            single[r] = !(tops[r] <= C::plain_high && totals[r].high >= least && totals[r].high < infinity);
            if (single[r]) continue;
            const T* x = job.x + (first + r) * job.x_stride;
            const Term term{static_cast<double>(top_terms[r]), static_cast<double>(top_lost[r])};
            careful[r] = n <= short_row;
            if (!careful[r] && term.value >= totals[r].high * ruling_share) {
                totals[r] = sum_terms<careful_sum, V>(x, n, view, row_tops[r], nullptr);
                careful[r] = true;
            }
            its_term[r] = term.value + term.lost;
            rest[r] = rest_of_row<V>(x, n, tops[r], term, totals[r], careful[r], view);
        }
        log_sums(rest, its_term, log_sum, count);
        for (int r = 0; r < count; ++r) {
            const std::int64_t row = first + r;
            if (single[r]) {
                single_loss<V>(job, row);
                continue;
            }
            const T* x = job.x + row * job.x_stride;
            const std::int64_t y = job.target[row];
            job.losses[row] = log_sum[r] + (static_cast<double>(tops[r]) - static_cast<double>(targets[r]));
            if (!job.gradient) continue;
            const double scale = job.row_scale ? job.row_scale[row] : 1.0;
            const Term term{static_cast<double>(target_terms[r]), static_cast<double>(target_lost[r])};
            const double y_rest = targets[r] == tops[r]
                                      ? rest[r]
                                      : rest_of_row<V>(x, n, targets[r], term, totals[r], careful[r], view);
            T* out = job.gradient + row * job.gradient_stride;
            divide_row<V>(job.scratch + r * padded, out, n, reciprocal(V{}, totals[r], scale));
            out[y] = static_cast<T>(-scale * (y_rest / (totals[r].high + totals[r].low)));
        }
    }
}

// ---- a tile of columns to rows, and back ----

template <class V>
void gather_tile(const typename V::scalar* from, const softmaxes::Tile& tile, typename V::scalar* rows,
                 std::ptrdiff_t row_stride) {
    constexpr int lanes = V::lanes;
    std::int64_t k = 0;
    if (tile.width % lanes == 0 && tile.width_stride == 1) {
        for (; k + lanes <= tile.length; k += lanes) {
            for (std::int64_t j = 0; j < tile.width; j += lanes) {
                V block[lanes];
                for (int i = 0; i < lanes; ++i) block[i] = load(from + (k + i) * tile.length_stride + j);
                transpose(block);
                for (int i = 0; i < lanes; ++i) store(rows + (j + i) * row_stride + k, block[i]);
            }
        }
    }
    for (; k < tile.length; ++k)
        for (std::int64_t j = 0; j < tile.width; ++j)
            rows[j * row_stride + k] = from[k * tile.length_stride + j * tile.width_stride];
}

template <class V>
void scatter_tile(const typename V::scalar* rows, std::ptrdiff_t row_stride, typename V::scalar* to,
                  const softmaxes::Tile& tile) {
    constexpr int lanes = V::lanes;
    std::int64_t k = 0;
    if (tile.width % lanes == 0 && tile.width_stride == 1) {
        for (; k + lanes <= tile.length; k += lanes) {
            for (std::int64_t j = 0; j < tile.width; j += lanes) {
                V block[lanes];
                for (int i = 0; i < lanes; ++i) block[i] = load(rows + (j + i) * row_stride + k);
                transpose(block);
                for (int i = 0; i < lanes; ++i) store(to + (k + i) * tile.length_stride + j, block[i]);
            }
        }
    }
    for (; k < tile.length; ++k)
        for (std::int64_t j = 0; j < tile.width; ++j)
            to[k * tile.length_stride + j * tile.width_stride] = rows[j * row_stride + k];
}

// ---- half types: widened on the way in, rounded once on the way out ----

template <F32 (*read)(const std::uint16_t*)>
void widen(const std::uint16_t* from, std::int64_t n, float* to) {
    std::int64_t i = 0;
    for (; i + F32::lanes <= n; i += F32::lanes) store(to + i, read(from + i));
    if (i < n) {
        std::uint16_t last[F32::lanes] = {};
        for (std::int64_t k = i; k < n; ++k) last[k - i] = from[k];
        store_first(to + i, read(last), static_cast<int>(n - i));
    }
}

template <void (*write)(std::uint16_t*, F32)>
void narrow(const float* from, std::int64_t n, std::uint16_t* to) {
    std::int64_t i = 0;
    for (; i + F32::lanes <= n; i += F32::lanes) write(to + i, load(from + i));
    if (i < n) {
        std::uint16_t last[F32::lanes];
        write(last, load_first(from + i, static_cast<int>(n - i), broadcast<F32>(0)));
        for (std::int64_t k = i; k < n; ++k) to[k] = last[k - i];
    }
}

}  // namespace
