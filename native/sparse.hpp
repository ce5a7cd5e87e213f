// Sparsemax, 1.5-entmax and alpha-entmax of rows, their derivatives and their losses.
//
// With e = alpha - 1 and t the row's threshold on the scale of the logits, p_i = (e [z_i - t]_+)^(1/e) and sum p = 1.
// Three steps: the maxima of the row's residue classes are some of its entries, so that their threshold lies to the left
// of the row's, and what lies further left has no probability; the candidates that remain are packed together; on them
// the threshold is searched. For alpha = 2 and 3/2 the threshold of a known support has a closed form, so that the search
// is one for the support and ends exactly: the entries above t are as many as those t was made from. There t is kept as
// a sum of two numbers, so that every probability has its own relative accuracy and their sum is 1 to rounding.
#pragma once

#include <cstdint>

namespace {
namespace sparse {

using softmaxes::SparseProducts;
using softmaxes::SparseRows;

constexpr int block = 32;  // entries that are widened and summed at a time

inline Wide<F64, 4> widened_block(const float* x) {
    const F32 a = load(x), b = load(x + F32::lanes);
    return {low_half(a), high_half(a), low_half(b), high_half(b)};
}
inline Wide<F64, 4> widened_block(const double* x) {
    return side_by_side<F64, 4>([&](int g) { return load(x + g * F64::lanes); });
}

// A whole block of entries: the last of a row is copied and filled up.
template <class T>
inline const T* whole_block(const T* x, std::int64_t left, T fill, T (&copy)[block]) {
    if (left >= block) return x;
    for (int k = 0; k < block; ++k) copy[k] = k < left ? x[k] : fill;
    return copy;
}

template <class T>
inline void narrow_block(const Wide<F64, 4>& a, T* out, std::int64_t left) {
    alignas(64) double wide[block];
    for (int g = 0; g < 4; ++g) store(wide + g * F64::lanes, a.v[g]);
    if (left >= block) {
        for (int k = 0; k < block; ++k) out[k] = static_cast<T>(wide[k]);
    } else {
        for (int k = 0; k < left; ++k) out[k] = static_cast<T>(wide[k]);
    }
}

template <class V>
inline bool any_in_block(const typename V::scalar* x, V bound) {
    V largest = load(x);
    for (int k = V::lanes; k < block; k += V::lanes) largest = max(largest, load(x + k));
    return any_above(largest, bound);
}

// The entries of a row that may have a probability, padded to whole blocks with -inf.
template <class T>
struct Candidates {
    T* entries;
    std::int64_t padded;
};

template <class V>
inline std::int64_t pad(typename V::scalar* entries, std::int64_t count) {
    const V nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity));
    for (int k = 0; k < block; k += V::lanes) store(entries + count + k, nothing);
    return (count + block - 1) / block * block;
}

// Pack the entries above a bound, and those that are NaN.
template <class V>
inline Candidates<typename V::scalar> pack(const typename V::scalar* x, std::int64_t n, typename V::scalar bound,
                                           typename V::scalar* to) {
    const V least = broadcast<V>(bound), nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity));
    std::int64_t count = 0, i = 0;
    for (; i + V::lanes <= n; i += V::lanes) count += keep_above(to + count, load(x + i), least);
    if (i < n) count += keep_above(to + count, load_first(x + i, static_cast<int>(n - i), nothing), least);
    return {to, pad<V>(to, count)};
}

inline Total moved(Total t, double step) {
    const Total s = two_sum(t.high, step);
    const double low = s.low + t.low, high = s.high + low;
    return {high, low - (high - s.high)};
}

// A bound below t by more than what rounding may have put t too far to the right.
template <class T>
inline T below(double t) {
    constexpr double unit = sizeof(T) == 4 ? 0x1p-22 : 0x1p-50;
    return static_cast<T>(t - unit * ((t < 0 ? -t : t) + 1));
}

// ---- alpha = 2 and 3/2: the threshold by its support ----

// The candidates above a threshold: how many, and the sums of u and u^2 of what they are above it.
struct Above {
    double count;
    Total first, second;
};

template <bool squares, class T>
inline Above above(const Candidates<T>& c, Total t) {
    const F64 zero = broadcast<F64>(0), one = broadcast<F64>(1), high = broadcast<F64>(t.high), low = broadcast<F64>(t.low);
    F64 count = zero;
    Sum<F64> first, second;
    for (std::int64_t i = 0; i < c.padded; i += block) {
        const auto d = sub(sub(widened_block(c.entries + i), high), low);
        const auto u = side_by_side<F64, 4>([&](int g) { return max(zero, d.v[g]); });  // (NaN stays)
        const auto k = side_by_side<F64, 4>([&](int g) { return zero_below(one, d.v[g], zero); });
        count = add(count, add(add(k.v[0], k.v[1]), add(k.v[2], k.v[3])));
        first.add_group(u);
        if (squares) second.add_group(mul(u, u));
    }
    double counts[F64::lanes], total = 0;
    store(counts, count);
    for (double lane : counts) total += lane;
    return {total, first.fold(), squares ? second.fold() : Total{0, 0}};
}

// sum u = 1: Michelot's algorithm. A support that is too large gives a threshold to the left, so each is inside the last.
struct Sparsemax {
    static constexpr bool squares = false;
    static constexpr double reach = 1, epsilon = 1;
    static double step(const Above& a) { return ((a.first.high - 1) + a.first.low) / a.count; }
    static double safe_step(const Above& a) { return step(a); }
    template <class P>
    static P power(const P& u) { return u; }
};

// sum (u/2)^2 = 1. The closed form may go too far to the right; Newton's method on the convex norm of u does not.
struct HalfEntmax {
    static constexpr bool squares = true;
    static constexpr double reach = 2, epsilon = 0.5;
    static double step(const Above& a) {
        const double excess = (a.second.high - 4) + a.second.low, sum = a.first.high;
        const double d = sum * sum - a.count * excess;
        return d >= 0 ? excess / (sum + __builtin_sqrt(d)) : safe_step(a);
    }
    static double safe_step(const Above& a) {
        const double excess = (a.second.high - 4) + a.second.low, norm = __builtin_sqrt(a.second.high);
        return norm / (norm + 2) * excess / a.first.high;
    }
    template <class P>
    static P power(const P& u) { return mul(u, u); }
};

// Find the threshold of some entries from one to its left. A NaN among them makes it NaN.
template <class Family, class T>
inline Total support_threshold(const Candidates<T>& c, Total t) {
    Above a = above<Family::squares>(c, t);
    for (;;) {
        const Total guess = moved(t, Family::step(a));
        const Above b = above<Family::squares>(c, guess);
        if (!(b.count < a.count) && !(b.count > a.count)) return moved(guess, Family::step(b));
        if constexpr (!Family::squares) {
            // (only rounding lets a support grow again)
            if (!(b.count < a.count)) return guess;
            t = guess;
            a = b;
        } else {
            const Total one = moved(t, Family::safe_step(a)), other = moved(guess, Family::safe_step(b));
            const Total next = one.high > other.high ? one : other;
            if (!(next.high > t.high || (next.high == t.high && next.low > t.low))) return next;
            t = next;
            a = above<Family::squares>(c, t);
        }
    }
}

// ---- any alpha: Newton's method between two bounds ----

// p = w^(1/e). Up to alpha = 2 it is w = 1 + e (z - max - c), c = t - max + 1/e >= 0, which stays exact as e goes to 0.
// Beyond, p is steep where it leaves 0, and w = e (z - least) + offset is seen from the smallest entry of the support.
struct Power {
    double epsilon, inverse, origin, c, offset, least;  // what is below `least` has no share

    SOFTMAXES_INLINE F64 weight(const F64& z) const {
        const F64 d = sub(sub(z, broadcast<F64>(origin)), broadcast<F64>(c));
        return drop_below(fma(broadcast<F64>(epsilon), d, broadcast<F64>(offset)), z, broadcast<F64>(least));
    }
    // p and w of one vector of logits
    SOFTMAXES_INLINE F64 term(const F64& z, F64& w) const {
        constexpr double unit = 0x1p-400;
        static_assert(Constants<double>::lift == 400);
        w = weight(z);
        F64 log_w;
        if (epsilon < 1) {
            const F64 r = mul(broadcast<F64>(epsilon), sub(sub(z, broadcast<F64>(origin)), broadcast<F64>(c)));
            log_w = log1p(max(broadcast<F64>(-0x1.fffffffffffffp-1), r));
        } else {
            log_w = log_sum(max(broadcast<F64>(0x1p-1022), w), broadcast<F64>(0));
        }
        const F64 e = exp_term<F64>(mul(log_w, broadcast<F64>(inverse)), plain_frame<F64>(), nullptr, nullptr);
        return drop_below(mul(e, broadcast<F64>(unit)), w, broadcast<F64>(0x1p-1074));
    }
};

struct Slopes {
    double sum, slope;  // of p, and of -dp/dc = p^(1-e)
};

template <class T>
inline Slopes slopes(const Candidates<T>& candidates, const Power& power) {
    const F64 least = broadcast<F64>(0x1p-1074);
    Sum<F64> sum, slope;
    for (std::int64_t i = 0; i < candidates.padded; i += block) {
        const auto z = widened_block(candidates.entries + i);
        Wide<F64, 4> p, s;
        for (int g = 0; g < 4; ++g) {
            F64 w;
            p.v[g] = power.term(z.v[g], w);
            s.v[g] = drop_below(div(p.v[g], w), w, least);
        }
        sum.add_group(p);
        slope.add_group(s);
    }
    const Total a = sum.fold(), b = slope.fold();
    return {a.high + a.low, b.high + b.low};
}

inline double power_of(double x, double exponent) {  // x > 0; results under e^-707 are 0
    const F64 y = mul(log_sum(broadcast<F64>(x), broadcast<F64>(0)), broadcast<F64>(exponent));
    const F64 low = max(broadcast<F64>(-700), sub(broadcast<F64>(0), y));
    return first_lane(exp_term<F64>(sub(broadcast<F64>(0), low), frame_of<F64>(0, Constants<double>::lift), nullptr, nullptr));
}

// Find power.c of some entries from one to its left: Newton's method on the norm (sum p)^e, or the middle of the
// bracket. Returns sum p there.
template <class T>
inline double search(const Candidates<T>& candidates, Power& power) {
    constexpr int most = 120;
    double low = power.c, high = power.inverse;
    const int bits = 64 - __builtin_clzll(static_cast<unsigned long long>(candidates.padded) | 1ull);
    if (0.7 * bits < high) high = 0.7 * bits;  // log of the number of entries
    bool tried = false;                        // the right end
    // Up to alpha = 3/2 the second derivative of the sum is at most the number of entries: a step this short ends at the
    // root. (In float64 the sum is looked at again: it also takes up the roundings of its own terms.)
    const double enough = sizeof(T) == 4 && power.epsilon <= 0.5 ? 0x1p-58 / static_cast<double>(candidates.padded) : 0;
    for (int i = 0; i < most; ++i) {
        const Slopes at = slopes(candidates, power);
        if (!(at.sum == at.sum)) return at.sum;
        if (at.sum >= 1) low = power.c;
        if (at.sum <= 1) high = power.c, tried = true;
        double next = power.c + (at.sum - 1) / at.slope;
        if (at.sum > 1.01 || at.sum < 0.99)
            next = power.c + at.sum * (1 - power_of(at.sum, -power.epsilon)) / (power.epsilon * at.slope);
        // (beyond alpha = 2 Newton's method can be caught where an entry leaves 0, and takes turns with the middle)
        if (!(next >= low && next <= high) || (power.epsilon > 1 && i % 2)) next = 0.5 * (low + high);
        if (next == power.c && (power.epsilon < 1 || i % 2)) return at.sum;
        const double step = next - power.c;
        power.c = next;
        if (step * step < enough) return at.sum - at.slope * step;
        if ((next == low || (next == high && tried)) && (power.epsilon < 1 || i % 2)) break;
    }
    return slopes(candidates, power).sum;
}

// The nearest entry above a value (below it, for side -1), or that infinity.
template <int side, class T>
inline T neighbour(const Candidates<T>& c, T value) {
    T nearest = static_cast<T>(side * infinity);
    for (std::int64_t i = 0; i < c.padded; ++i) {
        const T x = c.entries[i];
        if (side > 0 ? x > value && x < nearest : x < value && x > nearest) nearest = x;
    }
    return nearest;
}

// Take a threshold that was found for alpha > 2 to full accuracy, seen from the smallest entry with p > 0. With v = p of
// that entry, sum (e (z - least) + v^e)^(1/e) = 1 is smooth and convex in v: Newton's method from above ends at the root.
template <class T>
inline double refine(const Candidates<T>& candidates, Power& power) {
    const T none = static_cast<T>(-infinity);
    const auto sum_over = [&](T least) {
        power.origin = static_cast<double>(least);
        power.c = power.offset = 0;
        return slopes(candidates, power);
    };
    T least = neighbour<1>(candidates, below<T>(power.origin + (power.c - power.inverse)));
    while (sum_over(least).sum >= 1) least = neighbour<1>(candidates, least);
    for (;;) {
        const T next = neighbour<-1>(candidates, least);
        if (next == none || sum_over(next).sum >= 1) break;
        least = next;
    }
    sum_over(least);
    std::int64_t size = 0;
    for (std::int64_t i = 0; i < candidates.padded; ++i) size += candidates.entries[i] >= least;
    power.least = power.origin;
    double v = 1 / static_cast<double>(size);
    for (;;) {
        power.offset = power_of(v, power.epsilon);
        const Slopes at = slopes(candidates, power);
        const double slope = at.slope * (power.offset / v), next = v - (at.sum - 1) / slope;
        if (!(next < v && next > 0)) return at.sum;
        v = next;
    }
}

// ---- a row ----

// The maximum of a row (NaN aside) and the maxima of its residue classes.
template <class V>
struct Tops {
    static constexpr int group = 4;
    V classes[group];

    Tops(const typename V::scalar* x, std::int64_t n) {
        const V nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity));
        for (V& top : classes) top = nothing;
        std::int64_t i = 0;
        for (; i + group * V::lanes <= n; i += group * V::lanes) {
#pragma GCC unroll 4
            for (int g = 0; g < group; ++g) classes[g] = max(load(x + i + g * V::lanes), classes[g]);
        }
        for (int g = 0; i < n; i += V::lanes, ++g) {
            const bool whole = n - i >= V::lanes;
            const V v = whole ? load(x + i) : load_first(x + i, static_cast<int>(n - i), nothing);
            classes[g] = max(v, classes[g]);
        }
    }
    typename V::scalar maximum() const {
        return largest_lane(max(max(classes[0], classes[1]), max(classes[2], classes[3])));
    }
    Candidates<typename V::scalar> candidates(typename V::scalar* to) const {
        for (int g = 0; g < group; ++g) store(to + g * V::lanes, classes[g]);
        return {to, pad<V>(to, group * V::lanes)};
    }
    // whether a threshold of the maxima is worth its search
    static bool help(std::int64_t n) { return n >= 4 * group * V::lanes; }
};

// What a row's entry y costs besides the others: the integral of s (1 - s)^(e - 1) from 0 to r = 1 - p_y.
inline double label_divergence(double epsilon, double r, double w, double gap) {
    if (epsilon == 1) return 0.5 * r * r;
    if (epsilon == 0.5) {
        const double apart = r / (1 + w);
        return apart * apart * (1 + 0.5 * w) / 0.75;
    }
    const double a = epsilon - 1;
    if (r < 0.25 && r * (a < 0 ? -a : a) < 0.5) {
        double coefficient = 1, power = r * r, sum = 0;
        for (int k = 0; k < 60; ++k) {
            sum += coefficient * power / (k + 2);
            coefficient *= (k - a) / (k + 1);
            power *= r;
        }
        return sum;
    }
    const double left = gap < 1 / epsilon ? gap : 1 / epsilon;
    return (left - w * r) / (1 + epsilon);
}

// The candidates without one entry of this value, if there is one.
template <class T>
inline void leave_out(const Candidates<T>& c, T value) {
    for (std::int64_t i = 0; i < c.padded; ++i) {
        if (c.entries[i] != value) continue;
        c.entries[i] = static_cast<T>(-infinity);
        return;
    }
}

// The sums of p and of p^alpha.
struct Masses {
    double p, powers;
};

template <class Family, class T>
inline Masses masses(const Candidates<T>& c, Total t) {
    const F64 zero = broadcast<F64>(0), scale = broadcast<F64>(Family::epsilon);
    Sum<F64> sum, powers;
    for (std::int64_t i = 0; i < c.padded; i += block) {
        const auto d = sub(sub(widened_block(c.entries + i), broadcast<F64>(t.high)), broadcast<F64>(t.low));
        const auto w = side_by_side<F64, 4>([&](int g) { return mul(scale, max(d.v[g], zero)); });
        const auto p = Family::power(w);
        sum.add_group(p);
        powers.add_group(mul(p, w));
    }
    const Total a = sum.fold(), b = powers.fold();
    return {a.high + a.low, b.high + b.low};
}

template <class T>
inline Masses masses(const Candidates<T>& candidates, const Power& power, double scale) {
    Sum<F64> sum, powers;
    for (std::int64_t i = 0; i < candidates.padded; i += block) {
        const auto z = widened_block(candidates.entries + i);
        Wide<F64, 4> p, q;
        for (int g = 0; g < 4; ++g) {
            F64 w;
            p.v[g] = mul(power.term(z.v[g], w), broadcast<F64>(scale));
            q.v[g] = drop_below(mul(p.v[g], w), w, broadcast<F64>(0x1p-1074));
        }
        sum.add_group(p);
        powers.add_group(q);
    }
    const Total a = sum.fold(), b = powers.fold();
    return {a.high + a.low, b.high + b.low};
}

// What a row is asked: its places in the job.
template <class T>
struct SparseRow {
    T* out;             // null for none
    double* threshold;  // null for none
    double* loss;       // null for none
    std::int64_t label;
    std::int64_t n;
};

template <class T>
inline void finish_loss(const SparseRow<T>& row, double epsilon, Masses others, double w, double gap, double behind) {
    const double alpha = 1 + epsilon, kept = w > 0 ? w : 0;
    *row.loss = others.powers / alpha + label_divergence(epsilon, others.p, kept, gap) + (behind > 0 ? behind : 0);
}

template <class Family, class V>
inline bool support_row(const SparseRow<typename V::scalar>& row, const typename V::scalar* x, const Tops<V>& tops,
                        typename V::scalar maximum, typename V::scalar* scratch) {
    using T = typename V::scalar;
    const double top = static_cast<double>(maximum);
    const Total least = two_sum(top, -Family::reach);
    Total t = least;
    if (Tops<V>::help(row.n)) t = support_threshold<Family>(tops.candidates(scratch), t);
    const T bound = below<T>(t.high);
    const auto candidates = pack<V>(x, row.n, bound, scratch);
    const bool near = top - static_cast<double>(bound) <= Family::reach;
    t = support_threshold<Family>(candidates, near ? Total{static_cast<double>(bound), 0} : least);
    if (!(t.high == t.high)) return false;
    if (row.threshold) *row.threshold = Family::epsilon * t.high;
    double others = 0;
    if (row.loss) {
        const T y = x[row.label];
        const double ahead = (static_cast<double>(y) - t.high) - t.low;
        if (ahead > 0) leave_out(candidates, y);
        const Masses sums = masses<Family>(candidates, t);
        others = sums.p;
        finish_loss(row, Family::epsilon, sums, Family::epsilon * ahead, 0, -ahead);
    }
    if (!row.out) return true;
    const T high = static_cast<T>(t.high), low = static_cast<T>((t.high - static_cast<double>(high)) + t.low);
    const V h = broadcast<V>(high), l = broadcast<V>(low), zero = broadcast<V>(0);
    const V scale = broadcast<V>(static_cast<T>(Family::epsilon));
    map_row<V>(x, row.out, row.n, [&](V z) { return Family::power(mul(max(sub(sub(z, h), l), zero), scale)); });
    if (row.loss) row.out[row.label] = static_cast<T>(0 - others);
    return true;
}

template <class V>
inline bool power_row(const SparseRow<typename V::scalar>& row, const typename V::scalar* x, const Tops<V>& tops,
                      typename V::scalar maximum, double epsilon, typename V::scalar* scratch) {
    using T = typename V::scalar;
    const double top = static_cast<double>(maximum);
    Power power{epsilon, 1 / epsilon, top, 0, 1, -infinity};
    if (Tops<V>::help(row.n)) search(tops.candidates(scratch), power);
    power.c -= 0x1p-48 * (power.c + 1);
    if (power.c < 0) power.c = 0;
    const T bound = below<T>(top + (power.c - power.inverse));
    const auto candidates = pack<V>(x, row.n, bound, scratch);
    double sum = search(candidates, power);
    if (!(sum == sum)) return false;
    if (epsilon > 1) sum = refine(candidates, power);
    const double scale = 1 / sum;
    if (row.threshold)
        *row.threshold = __builtin_fma(epsilon, power.origin, __builtin_fma(epsilon, power.c, -power.offset));
    double others = 0;
    if (row.loss) {
        const T y = x[row.label];
        const double w = __builtin_fma(epsilon, (static_cast<double>(y) - power.origin) - power.c, power.offset);
        const double gap = epsilon > 1 ? (1 - w) * power.inverse : power.c - (static_cast<double>(y) - top);
        if (w > 0) leave_out(candidates, y);
        const Masses sums = masses(candidates, power, scale);
        others = sums.p;
        finish_loss(row, epsilon, sums, w, gap, gap - power.inverse);
    }
    if (!row.out) return true;
    const V least = broadcast<V>(bound);
    for (std::int64_t i = 0; i < row.n; i += block) {
        T copy[block];
        const T* z = whole_block(x + i, row.n - i, static_cast<T>(-infinity), copy);
        Wide<F64, 4> p;
        for (F64& v : p.v) v = broadcast<F64>(0);
        if (any_in_block<V>(z, least)) {
            const auto wide = widened_block(z);
            F64 w;
            for (int g = 0; g < 4; ++g) p.v[g] = mul(power.term(wide.v[g], w), broadcast<F64>(scale));
        }
        narrow_block(p, row.out + i, row.n - i);
    }
    if (row.loss) row.out[row.label] = static_cast<T>(0 - others);
    return true;
}

// ---- derivatives: J v = g (v - sum g v / sum g) with the gain g = p^(1 - e) on the support ----

template <class T>
inline F64 gain(F64 p, double epsilon) {
    const F64 least = broadcast<F64>(0x1p-1074);
    if (epsilon == 1) return zero_below(broadcast<F64>(1), p, least);
    if (epsilon == 0.5) return sqrt(p);
    // (a subnormal probability counts as the smallest normal one, a gain beyond e^700 as that)
    const F64 log_p = log_sum(max(p, broadcast<F64>(0x1p-1022)), broadcast<F64>(0));
    const F64 y = max(broadcast<F64>(-700), mul(broadcast<F64>(epsilon - 1), log_p));
    const F64 g = exp_term<F64>(sub(broadcast<F64>(0), y), frame_of<F64>(0, Constants<double>::lift), nullptr, nullptr);
    return zero_below(g, p, least);
}

// The gains of a row's first blocks with a share, which the next pass over the row finds here.
struct Gains {
    static constexpr int most = 48;
    Wide<F64, 4> of_block[most];
    int known = 0;
};

// Call f(i, entries left, p, g, v) for the blocks of a row in which there is a gain, and otherwise(i, left).
template <class V, class Function, class Otherwise>
inline void for_gains(std::int64_t n, double epsilon, const typename V::scalar* p, const typename V::scalar* v,
                      Gains& gains, const Function& f, const Otherwise& otherwise) {
    using T = typename V::scalar;
    const V zero = broadcast<V>(0);
    T p_copy[block], v_copy[block];
    int found = 0;
    for (std::int64_t i = 0; i < n; i += block) {
        const std::int64_t left = n - i;
        const T* shares = whole_block(p + i, left, T{0}, p_copy);
        if (!any_in_block<V>(shares, zero)) {
            otherwise(i, left);
            continue;
        }
        const auto wide = widened_block(shares);
        const auto computed = [&] { return side_by_side<F64, 4>([&](int k) { return gain<T>(wide.v[k], epsilon); }); };
        const int place = found++;
        if (place == gains.known && place < Gains::most) gains.of_block[gains.known++] = computed();
        const auto g = place < gains.known ? gains.of_block[place] : computed();
        f(i, left, wide, g, widened_block(whole_block(v + i, left, T{0}, v_copy)));
    }
}

// The products g (v - from), with 0 off the support whatever v is there.
inline Wide<F64, 4> weighted(const Wide<F64, 4>& p, const Wide<F64, 4>& g, const Wide<F64, 4>& v, Total from) {
    const auto d = sub(sub(v, broadcast<F64>(from.high)), broadcast<F64>(from.low));
    return zero_below(mul(g, d), p, broadcast<F64>(0x1p-1074));
}

// Write J v of one row from its probabilities; out may be either.
template <class V>
inline void product_row(std::int64_t n, double epsilon, const typename V::scalar* p, const typename V::scalar* v,
                        typename V::scalar* out) {
    using T = typename V::scalar;
    if (p[0] != p[0]) return fill_row(out, n, nan_of<T>);
    Total mean{0, 0};
    Gains known;
    // once more around the first mean: what is subtracted from v is then good to the differences, not to v itself
    for (int round = 0; round < (sizeof(T) == 4 ? 1 : 2); ++round) {
        Sum<F64> gains, products;
        for_gains<V>(
            n, epsilon, p, v, known,
            [&](std::int64_t, std::int64_t, const auto& share, const auto& g, const auto& wide) {
                gains.add_group(g);
                products.add_group(weighted(share, g, wide, mean));
            },
            [](std::int64_t, std::int64_t) {});
        const Total all = gains.fold(), sum = products.fold();
        if (all.high > 0) mean = moved(mean, (sum.high + sum.low) / (all.high + all.low));
    }
    for_gains<V>(
        n, epsilon, p, v, known,
        [&](std::int64_t i, std::int64_t left, const auto& share, const auto& g, const auto& wide) {
            narrow_block(weighted(share, g, wide, mean), out + i, left);
        },
        [&](std::int64_t i, std::int64_t left) {
            if (out != p) fill_row(out + i, left < block ? left : block, T{0});
        });
}

template <class V>
void product_kernel(const SparseProducts<typename V::scalar>& job) {
    for (std::int64_t i = 0; i < job.rows; ++i)
        product_row<V>(job.columns, job.epsilon, job.p + i * job.p_stride, job.v + i * job.v_stride,
                       job.out + i * job.out_stride);
}

// ---- rows ----

// Do what a row is asked, whatever is in it.
template <class V>
inline void any_row(const SparseRow<typename V::scalar>& row, const typename V::scalar* x, double epsilon,
                    typename V::scalar* scratch) {
    using T = typename V::scalar;
    const std::int64_t n = row.n;
    const auto solve = [&](const T* logits) {
        const Tops<V> tops(logits, n);
        const T maximum = tops.maximum();
        if (maximum == static_cast<T>(-infinity) || maximum == static_cast<T>(infinity)) return false;
        if (epsilon == 1) return support_row<Sparsemax, V>(row, logits, tops, maximum, scratch);
        if (epsilon == 0.5) return support_row<HalfEntmax, V>(row, logits, tops, maximum, scratch);
        return power_row<V>(row, logits, tops, maximum, epsilon, scratch);
    };
    if (solve(x)) return;
    // NaN, no possible class, or +inf, whose limit is a row of equals
    bool undefined = false, limit = false;
    for (std::int64_t k = 0; k < n; ++k) {
        undefined |= x[k] != x[k];
        limit |= x[k] == static_cast<T>(infinity);
    }
    if (limit && !undefined) {
        T* equals = scratch + softmaxes::sparse_scratch(n) / 2;
        for (std::int64_t k = 0; k < n; ++k) equals[k] = x[k] == static_cast<T>(infinity) ? T{0} : static_cast<T>(-infinity);
        solve(equals);
        if (row.threshold) *row.threshold = infinity;
        if (!row.out) return;
        double count = 0;
        for (std::int64_t k = 0; k < n; ++k) count += equals[k] == T{0};
        for (std::int64_t k = 0; k < n; ++k) row.out[k] = equals[k] == T{0} ? static_cast<T>(1 / count) : T{0};
        if (row.loss) row.out[row.label] = equals[row.label] == T{0} ? static_cast<T>(-(count - 1) / count) : T{-1};
        return;
    }
    if (row.out) fill_row(row.out, n, nan_of<T>);
    if (row.threshold) *row.threshold = nan_of<double>;
    if (row.loss) *row.loss = nan_of<double>;
}

template <class V>
void rows_kernel(const SparseRows<typename V::scalar>& job) {
    using T = typename V::scalar;
    // beneath, e stays what a product with it can still be told from 0
    const double epsilon = job.epsilon > 0x1p-80 ? job.epsilon : 0x1p-80;
    for (std::int64_t i = 0; i < job.rows; ++i) {
        const SparseRow<T> row{job.out ? job.out + i * job.out_stride : nullptr,
                               job.thresholds ? job.thresholds + i : nullptr, job.losses ? job.losses + i : nullptr,
                               job.losses ? job.target[i] : 0, job.columns};
        any_row<V>(row, job.x + i * job.x_stride, epsilon, job.scratch);
        if (job.along) product_row<V>(job.columns, job.epsilon, row.out, job.along + i * job.along_stride, row.out);
    }
}

}  // namespace sparse
}  // namespace
