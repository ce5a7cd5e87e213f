// Drawing classes from rows of logits: no probabilities, no noise, no sorting.
//
// A row is summed in blocks; a draw is a whole number of 64 random bits that is carried to its block, and the part of
// it that is left to its entry, by comparing whole numbers: block sums, and the terms of the one block that was hit,
// are rounded down to multiples of less than 2^-61 of their sum and then added exactly. So a class has its probability
// to within a relative 2^-22 (float32; what the terms and their sums carry) or 2^-50 (float64), plus 2^-60 in all,
// however rare it is, and one without a term is never drawn. Entries are in row order: the draw is the inverse of the
// distribution function.
//
// top-k, top-p and min-p come down to one number, the least logit that stays. It is found by counting (or weighing)
// the entries in 1024 bins of their ordered bits, and again inside the bin where the goal is reached.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

using softmaxes::Draws;

constexpr std::int64_t block = 256;

template <class T>
constexpr T lowest = sizeof(T) == 4 ? static_cast<T>(-0x1.fffffep127) : static_cast<T>(-0x1.fffffffffffffp1023);

// The entries of a view from `least` on.
template <class V, class View>
struct Kept {
    View view;
    V least;
    template <class P>
    SOFTMAXES_INLINE P term(const P& x) const { return zero_below(view.term(x), x, least); }
};

// Entries from `least` on weigh the same: the limits of temperature and of +inf.
template <class V>
struct Alike {
    V least;
    template <class P>
    SOFTMAXES_INLINE P term(const P& x) const {
        return zero_below(side_by_side_like(x, broadcast<V>(1)), x, least);
    }
};

SOFTMAXES_INLINE F64 widened(const F32& a) { return add(low_half(a), high_half(a)); }
SOFTMAXES_INLINE F64 widened(const F64& a) { return a; }

// The sum of the terms of a block, eight lanes of it, following the maximum.
template <class V, class View>
inline F64 block_lanes(const typename V::scalar* x, std::int64_t n, const View& view, V& top) {
    constexpr int lanes = V::lanes, group = 4;
    const V nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity));
    F64 sum = broadcast<F64>(0);
    for (std::int64_t i = 0; i < n; i += lanes * group) {
        const auto v = side_by_side<V, group>([&](int g) {
            const std::int64_t left = n - i - g * lanes;
            if (left >= lanes) return load(x + i + g * lanes);
            return left > 0 ? load_first(x + i + g * lanes, static_cast<int>(left), nothing) : nothing;
        });
        const auto e = view.term(v);
        top = max(max(max(v.v[0], v.v[1]), max(v.v[2], v.v[3])), top);
        sum = add(sum, widened(add(add(e.v[0], e.v[1]), add(e.v[2], e.v[3]))));
    }
    return sum;
}

// The sum of every block, and their total; `sums` is written in eights.
template <class V, class View>
inline double block_sums(const typename V::scalar* x, std::int64_t n, const View& view, V& top, double* sums) {
    const std::int64_t count = (n + block - 1) / block;
    double total = 0;
    for (std::int64_t b = 0; b < count; b += 8) {
        F64 lanes[8];
        for (std::int64_t i = 0; i < 8; ++i) {
            const std::int64_t start = (b + i) * block;
            lanes[i] = start < n ? block_lanes<V>(x + start, n - start < block ? n - start : block, view, top)
                                 : broadcast<F64>(0);
        }
        transpose(lanes);
        store(sums + b, add(add(add(lanes[0], lanes[4]), add(lanes[2], lanes[6])),
                            add(add(lanes[1], lanes[5]), add(lanes[3], lanes[7]))));
    }
    for (std::int64_t b = 0; b < count; ++b) total += sums[b];
    return total;
}

// The power of two that takes a sum to 2^61..2^62, where its parts are whole numbers.
inline double whole_scale(double sum) {
    const int exponent = static_cast<int>(__builtin_bit_cast(std::uint64_t, sum) >> 52) - 1023;
    return __builtin_ldexp(1.0, 61 - exponent);
}

// The first entry of an ascending list that is above a target below its last entry.
inline std::int64_t first_above(const std::int64_t* list, std::int64_t n, std::int64_t target) {
    std::int64_t first = 0;
    while (n > 0) {
        const std::int64_t half = n / 2;
        const bool right = list[first + half] <= target;
        first = right ? first + half + 1 : first;
        n = right ? n - half - 1 : half;
    }
    return first;
}

// One block of a row, ready to be drawn from.
template <class V>
struct OpenBlock {
    using T = typename V::scalar;
    std::int64_t index = -1, size = 0;
    std::int64_t up_to[block];  // whole weights, summed from the first entry on

    template <class View>
    void open(const T* x, std::int64_t n, std::int64_t b, const View& view, double sum) {
        index = b;
        size = n - b * block < block ? n - b * block : block;
        alignas(64) T terms[block];
        map_row<V>(x + b * block, terms, size, [&](V v) { return view.term(v); });
        const double scale = whole_scale(sum);
        std::int64_t running = 0;
        for (std::int64_t i = 0; i < size; ++i)
            up_to[i] = running += static_cast<std::int64_t>(static_cast<double>(terms[i]) * scale);
    }
};

template <class V, class View>
inline void draw_row(const Draws<typename V::scalar>& job, std::int64_t row, const View& view, const double* sums,
                     double total, std::int64_t* up_to) {
    using Wide128 = unsigned __int128;
    const std::int64_t n = job.columns, count = (n + block - 1) / block;
    const auto* x = job.x + row * job.x_stride;
    const double scale = whole_scale(total);
    std::int64_t running = 0;
    for (std::int64_t b = 0; b < count; ++b) up_to[b] = running += static_cast<std::int64_t>(sums[b] * scale);
    OpenBlock<V> open;
    for (std::int64_t d = row * job.draws; d < (row + 1) * job.draws; ++d) {
        const Wide128 at = static_cast<Wide128>(job.uniform[d]) * static_cast<std::uint64_t>(running);
        const std::int64_t b = first_above(up_to, count, static_cast<std::int64_t>(at >> 64));
        if (b != open.index) open.open(x, n, b, view, sums[b]);
        const std::int64_t before = b ? up_to[b - 1] : 0;
        const Wide128 within = at - (static_cast<Wide128>(static_cast<std::uint64_t>(before)) << 64);
        const auto left = static_cast<std::uint64_t>(within / static_cast<std::uint64_t>(up_to[b] - before));
        const Wide128 target = static_cast<Wide128>(left) * static_cast<std::uint64_t>(open.up_to[open.size - 1]);
        job.chosen[d] = b * block + first_above(open.up_to, open.size, static_cast<std::int64_t>(target >> 64));
    }
}

template <class V, class View>
inline void sum_and_draw(const Draws<typename V::scalar>& job, std::int64_t row, const View& view, double* sums,
                         std::int64_t* up_to) {
    V top = broadcast<V>(0);
    const double total = block_sums<V>(job.x + row * job.x_stride, job.columns, view, top, sums);
    draw_row<V>(job, row, view, sums, total, up_to);
}

// ---- the least logit that stays ----

// Whole numbers in the order of the floating-point numbers that they stand for.
inline std::uint32_t ordered(float a) {
    const auto bits = __builtin_bit_cast(std::uint32_t, a);
    return bits ^ (bits >> 31 ? ~std::uint32_t{0} : std::uint32_t{1} << 31);
}
inline std::uint64_t ordered(double a) {
    const auto bits = __builtin_bit_cast(std::uint64_t, a);
    return bits ^ (bits >> 63 ? ~std::uint64_t{0} : std::uint64_t{1} << 63);
}
inline float from_ordered(std::uint32_t key) {
    return __builtin_bit_cast(float, key ^ (key >> 31 ? std::uint32_t{1} << 31 : ~std::uint32_t{0}));
}
inline double from_ordered(std::uint64_t key) {
    return __builtin_bit_cast(double, key ^ (key >> 63 ? std::uint64_t{1} << 63 : ~std::uint64_t{0}));
}

// The least number of the type that is not below a.
template <class T>
inline T rounded_up(double a) {
    const T nearest = static_cast<T>(a);
    return static_cast<double>(nearest) < a ? from_ordered(ordered(nearest) + 1) : nearest;
}

// The largest value such that the entries from it on weigh `goal` or more; the least value if all of them do not (the
// lowest bin holds it, so something is always kept). count > 0; both lists are used up.
template <class T>
inline T weighted_select(T* values, std::int64_t* weights, std::int64_t count, std::int64_t goal) {
    constexpr int bin_bits = 10;
    for (;;) {
        auto low = ordered(values[0]), high = low;
        for (std::int64_t i = 1; i < count; ++i) {
            const auto key = ordered(values[i]);
            low = key < low ? key : low;
            high = key > high ? key : high;
        }
        int shift = 0;
        while (((high - low) >> shift) >> bin_bits) ++shift;
        std::int64_t mass[1 << bin_bits] = {};
        for (std::int64_t i = 0; i < count; ++i) mass[(ordered(values[i]) - low) >> shift] += weights[i];
        auto bin = (high - low) >> shift;
        while (bin > 0 && mass[bin] < goal) goal -= mass[bin--];
        if (shift == 0) return from_ordered(static_cast<decltype(low)>(low + bin));
        std::int64_t kept = 0;
        for (std::int64_t i = 0; i < count; ++i) {
            const T value = values[i];
            values[kept] = value;
            weights[kept] = weights[i];
            kept += (ordered(value) - low) >> shift == bin;
        }
        count = kept;
    }
}

template <class V>
inline void block_tops(const typename V::scalar* x, std::int64_t n, typename V::scalar* tops) {
    const V nothing = broadcast<V>(static_cast<typename V::scalar>(-infinity));
    for (std::int64_t b = 0; b * block < n; b += V::lanes) {
        V top[V::lanes];
        for (std::int64_t r = 0; r < V::lanes; ++r) {
            top[r] = nothing;
            const std::int64_t start = (b + r) * block, end = n - start < block ? n : start + block;
            for (std::int64_t i = start; i < end; i += V::lanes)
                top[r] = max(end - i >= V::lanes ? load(x + i) : load_first(x + i, static_cast<int>(end - i), nothing),
                             top[r]);
        }
        store(tops + b, largest_lanes(top));
    }
}

// Room for what selecting needs: one entry a block, or one a class.
template <class T>
struct Selection {
    T *tops, *values, *terms;
    std::int64_t* weights;
};

// Where the least logit that stays is looked for: entries from `low` on weigh the goal or more, those from `high` on
// weigh `above`, which is less.
template <class T>
struct Bracket {
    T low, high;
    double above;
};

// What a view weighs in a whole row.
template <class V, class View>
inline double mass_of(const typename V::scalar* x, std::int64_t n, const View& view) {
    V top = broadcast<V>(0);
    double s[8];
    store(s, block_lanes<V>(x, n, view, top));
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

// Halve a bracket of at most so many entries a few times by weighing, which is several times faster an entry than
// counting in bins; few entries are not worth it.
template <class T, class MassFrom>
inline void narrow(Bracket<T>& bracket, double goal, std::int64_t entries, const MassFrom& mass_from) {
    if (entries < 4096) return;
    for (int i = 0; i < 6; ++i) {
        const T middle = bracket.low / 2 + bracket.high / 2;
        if (!(bracket.low < middle && middle < bracket.high)) return;
        const double mass = mass_from(middle);
        if (mass >= goal) {
            bracket.low = middle;
        } else {
            bracket.high = middle;
            bracket.above = mass;
        }
    }
}

// Copy the entries inside a bracket; blocks below it are passed over.
template <class T>
inline std::int64_t gather_between(const Bracket<T>& bracket, const T* x, std::int64_t n, const T* tops, T* values) {
    std::int64_t count = 0;
    for (std::int64_t b = 0; b * block < n; ++b) {
        if (tops[b] < bracket.low) continue;
        const std::int64_t end = n - b * block < block ? n : (b + 1) * block;
        for (std::int64_t i = b * block; i < end; ++i) {
            values[count] = x[i];
            count += static_cast<int>(x[i] >= bracket.low) & static_cast<int>(x[i] < bracket.high);
        }
    }
    return count;
}

template <class V>
inline typename V::scalar least_of_top_k(const typename V::scalar* x, std::int64_t n, std::int64_t k,
                                         typename V::scalar maximum, typename V::scalar least,
                                         const Selection<typename V::scalar>& room) {
    using T = typename V::scalar;
    const std::int64_t blocks = (n + block - 1) / block;
    const auto count_from = [&](T from) { return mass_of<V>(x, n, Alike<V>{broadcast<V>(from)}); };
    const auto select_equals = [&](std::int64_t count, std::int64_t goal) {
        for (std::int64_t i = 0; i < count; ++i) room.weights[i] = 1;
        return weighted_select(room.values, room.weights, count, goal);
    };
    Bracket<T> bracket{least, maximum, count_from(maximum)};
    if (bracket.above >= static_cast<double>(k)) return maximum;
    if (k <= blocks) {
        // the k-th largest of the blocks' maxima has k entries from it on: nothing below it is among the first k
        for (std::int64_t b = 0; b < blocks; ++b) room.values[b] = room.tops[b];
        const T bound = select_equals(blocks, k);
        bracket.low = bound > least ? bound : least;
    } else {
        T bound = maximum;
        for (std::int64_t b = 0; b < blocks; ++b) bound = room.tops[b] < bound ? room.tops[b] : bound;
        if (bound > least && count_from(bound) >= static_cast<double>(k)) bracket.low = bound;
        narrow(bracket, static_cast<double>(k), n, count_from);
    }
    const std::int64_t count = gather_between(bracket, x, n, room.tops, room.values);
    return count ? select_equals(count, k - static_cast<std::int64_t>(bracket.above)) : bracket.high;
}

// The smallest set of the likeliest among the entries from `least` on that has the share p of their mass.
template <class V, class View>
inline typename V::scalar least_of_top_p(const Draws<typename V::scalar>& job, const typename V::scalar* x,
                                         typename V::scalar maximum, typename V::scalar least, const View& view,
                                         const Selection<typename V::scalar>& room) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns;
    const auto mass_from = [&](T from) { return mass_of<V>(x, n, Kept<V, View>{view, broadcast<V>(from)}); };
    const double total = mass_from(least), goal = job.top_p * total;
    Bracket<T> bracket{least, maximum, mass_from(maximum)};
    if (bracket.above >= goal) return maximum;
    // entries below a certain logit cannot have the share 1 - p even if there were n of them
    const double share = (1.0 - job.top_p) * total / (one_term<V>(maximum, view).value * static_cast<double>(n));
    const double below = static_cast<double>(maximum) + __builtin_log(share) / job.beta_high;
    const double slack = 1e-6 * (__builtin_fabs(below) + __builtin_fabs(static_cast<double>(maximum)));
    const T bound = static_cast<T>(below - slack);
    if (bound > least && bound < maximum) bracket.low = bound;
    narrow(bracket, goal, job.top_k < n ? job.top_k : n, mass_from);
    const std::int64_t count = gather_between(bracket, x, n, room.tops, room.values);
    map_row<V>(room.values, room.terms, count, [&](V v) { return view.term(v); });
    const double scale = whole_scale(total);
    for (std::int64_t i = 0; i < count; ++i)
        room.weights[i] = static_cast<std::int64_t>(static_cast<double>(room.terms[i]) * scale);
    const auto left = static_cast<std::int64_t>(__builtin_ceil((goal - bracket.above) * scale));
    return count ? weighted_select(room.values, room.weights, count, left > 1 ? left : 1) : bracket.high;
}

template <class V, class View>
inline void filter_and_draw(const Draws<typename V::scalar>& job, std::int64_t row, typename V::scalar maximum,
                            const View& view, double* sums, std::int64_t* up_to,
                            const Selection<typename V::scalar>& room) {
    using T = typename V::scalar;
    const std::int64_t n = job.columns;
    const T* x = job.x + row * job.x_stride;
    T least = lowest<T>;
    const bool by_count = n > job.top_k, by_mass = job.top_p < 1.0;
    if (by_count || by_mass) block_tops<V>(x, n, room.tops);
    if (by_count) least = least_of_top_k<V>(x, n, job.top_k, maximum, least, room);
    if (by_mass) least = least_of_top_p<V>(job, x, maximum, least, view, room);
    if (const T bound = rounded_up<T>(static_cast<double>(maximum) + job.min_reach); bound > least) least = bound;
    sum_and_draw<V>(job, row, Kept<V, View>{view, broadcast<V>(least)}, sums, up_to);
}

// Returns the index of the first row that nothing can be drawn from (NaN, or no possible class), or -1.
template <class V>
std::int64_t draws_kernel(const Draws<typename V::scalar>& job) {
    using T = typename V::scalar;
    using C = Constants<T>;
    const std::int64_t n = job.columns, blocks = (n + block - 1) / block;
    const std::int64_t padded_blocks = (blocks + 15) / 16 * 16, padded = (n + 15) / 16 * 16;
    double* sums = static_cast<double*>(job.scratch);
    auto* up_to = reinterpret_cast<std::int64_t*>(sums + padded_blocks);
    auto* weights = up_to + padded_blocks;
    T* tops = reinterpret_cast<T*>(weights + padded);
    const Selection<T> room{tops, tops + padded_blocks, tops + padded_blocks + padded, weights};
    const bool plain = job.beta_high == 1.0 && job.beta_low == 0.0;
    const bool limit = job.beta_high == 0.0 || job.beta_high == infinity;
    const bool filtered = n > job.top_k || job.min_reach > -infinity || job.top_p < 1.0;
    const double least_sum = smallest_plain_sum<V>();
    const AsIs<V> view{plain_frame<V>()};
    for (std::int64_t row = 0; row < job.rows; ++row) {
        const T* x = job.x + row * job.x_stride;
        if (plain && !filtered) {
            V top = broadcast<V>(static_cast<T>(-infinity));
            const double total = block_sums<V>(x, n, view, top, sums);
            if (largest_lane(top) <= C::plain_high && total >= least_sum && total < infinity) {
                draw_row<V>(job, row, view, sums, total, up_to);
                continue;
            }
        }
        const T maximum = maximum_of<V>(x, n);
        if (!(maximum > static_cast<T>(-infinity))) return row;
        if (limit || maximum == static_cast<T>(infinity)) {
            const Alike<V> alike{broadcast<V>(job.beta_high == 0.0 ? lowest<T> : maximum)};
            sum_and_draw<V>(job, row, alike, sums, up_to);
        } else if (plain) {
            filter_and_draw<V>(job, row, maximum, Shifted<V>{frame_at<V>(maximum)}, sums, up_to, room);
        } else {
            const T high = static_cast<T>(job.beta_high);
            const T low = static_cast<T>((job.beta_high - static_cast<double>(high)) + job.beta_low);
            const Tempered<V> tempered{frame_of<V>(0, 0), broadcast<V>(maximum), broadcast<V>(high), broadcast<V>(low)};
            filter_and_draw<V>(job, row, maximum, tempered, sums, up_to, room);
        }
    }
    return -1;
}

}  // namespace
