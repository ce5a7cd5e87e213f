// From arrays of any strides to rows: which rows lie ready, which are gathered in tiles, and who does which.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <type_traits>
#include <vector>

#include "dispatch.hpp"
#include "threads.hpp"

namespace softmaxes {

struct Dimension {
    std::int64_t size;
    std::ptrdiff_t x_stride, out_stride;
};

// Rows of an array: the axis, and the other dimensions with neighbours that can be walked as one joined.
struct Plan {
    std::vector<Dimension> outer;  // innermost last
    std::int64_t columns;
    std::ptrdiff_t x_step, out_step;
    bool reduced;  // one result a row

    std::int64_t rows() const {
        std::int64_t n = 1;
        for (const auto& d : outer) n *= d.size;
        return n;
    }
};

inline Plan make_plan(std::size_t ndim, const std::int64_t* shape, const std::int64_t* x_strides,
                      const std::int64_t* out_strides, std::size_t axis, bool reduced) {
    Plan plan{{}, ndim ? shape[axis] : 1, ndim ? x_strides[axis] : 1, ndim && !reduced ? out_strides[axis] : 1, reduced};
    if (plan.columns == 1) plan.x_step = plan.out_step = 1;
    for (std::size_t i = 0; i < ndim; ++i) {
        if (i == axis || shape[i] == 1) continue;
        const Dimension d{shape[i], x_strides[i], out_strides[i]};
        if (!plan.outer.empty()) {
            Dimension& last = plan.outer.back();
            if (last.x_stride == d.x_stride * d.size && last.out_stride == d.out_stride * d.size) {
                last = {last.size * d.size, d.x_stride, d.out_stride};
                continue;
            }
        }
        plan.outer.push_back(d);
    }
    if (plan.outer.empty()) plan.outer.push_back({1, 0, 0});
    return plan;
}

// Call f(x offset, out offset, count) for runs of rows begin..end that lie along the innermost dimension.
template <class Function>
void for_runs(const Plan& plan, std::int64_t begin, std::int64_t end, const Function& f) {
    const Dimension& inner = plan.outer.back();
    for (std::int64_t row = begin; row < end;) {
        std::int64_t rest = row / inner.size, within = row % inner.size;
        std::ptrdiff_t x = within * inner.x_stride, out = within * inner.out_stride;
        for (std::size_t i = plan.outer.size() - 1; i-- > 0;) {
            const Dimension& d = plan.outer[i];
            x += rest % d.size * d.x_stride;
            out += rest % d.size * d.out_stride;
            rest /= d.size;
        }
        const std::int64_t count = std::min(inner.size - within, end - row);
        f(x, out, count, row);
        row += count;
    }
}

struct Request {
    Operation operation;
    double beta_high, beta_low;
    Empty empty;
    int threads;
};

// Merge what the parts say of rows without a class: their number, or -1 - the first row if the policy is to raise.
class Without {
    std::mutex mutex;
    std::int64_t number = 0, first = -1;

public:
    void add(std::int64_t answer, std::int64_t row) {
        const std::lock_guard lock(mutex);
        if (answer >= 0) number += answer;
        else if (first < 0 || row + (-1 - answer) < first) first = row + (-1 - answer);
    }
    std::int64_t answer() const { return first >= 0 ? -1 - first : number; }
};

template <class T>
constexpr std::int64_t row_scratch(std::int64_t columns) {
    constexpr std::int64_t least = 16384 / sizeof(T), most = 655360 / sizeof(T);
    const std::int64_t padded = (columns + 15) / 16 * 16;
    return padded <= least ? least : padded <= most ? padded : least;
}

// The number of rows that a thread takes at a time, so that its part is worth waking a thread for.
inline std::int64_t grain_of(std::int64_t columns, std::int64_t tile) {
    const std::int64_t rows = std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(columns, 1));
    return (rows + tile - 1) / tile * tile;
}

template <class T>
auto rows_function() {
    if constexpr (std::is_same_v<T, float>) return kernels().rows_f32;
    else return kernels().rows_f64;
}

template <class T>
auto strip_function() {
    if constexpr (std::is_same_v<T, float>) return kernels().strip_f32;
    else return kernels().strip_f64;
}

template <class T>
void gather(const T* from, const Tile& tile, T* rows, std::ptrdiff_t stride) {
    if constexpr (std::is_same_v<T, float>) kernels().gather_f32(from, tile, rows, stride);
    else kernels().gather_f64(from, tile, rows, stride);
}

template <class T>
void scatter(const T* rows, std::ptrdiff_t stride, T* to, const Tile& tile) {
    if constexpr (std::is_same_v<T, float>) kernels().scatter_f32(rows, stride, to, tile);
    else kernels().scatter_f64(rows, stride, to, tile);
}

// Put the dimension along which tiles are cut last: the one whose entries are closest together in x.
inline void innermost_closest(Plan& plan) {
    const auto closer = [](const Dimension& a, const Dimension& b) {
        return std::abs(a.x_stride) > std::abs(b.x_stride);
    };
    std::stable_sort(plan.outer.begin(), plan.outer.end(), closer);
}

template <class T>
std::int64_t run(const T* x, T* out, Plan plan, const Request& request) {
    Without without;
    const std::int64_t size = row_scratch<T>(plan.columns);
    const bool together = plan.x_step == 1 && (plan.out_step == 1 || plan.reduced);
    if (!together && request.empty != Empty::raise) innermost_closest(plan);
    const Dimension& last = plan.outer.back();
    const bool far = plan.rows() * plan.columns >= (1 << 20) / static_cast<std::int64_t>(sizeof(T));
    const bool neighbours = last.x_stride == 1 && (last.out_stride == 1 || plan.reduced);
    if (together || (neighbours && plan.columns <= short_row<T>)) {
        in_parallel(plan.rows(), grain_of(plan.columns, 16), request.threads, [&](std::int64_t begin, std::int64_t end) {
            T* buffer = static_cast<T*>(scratch(static_cast<std::size_t>(size) * sizeof(T)));
            for_runs(plan, begin, end, [&](std::ptrdiff_t x_at, std::ptrdiff_t out_at, std::int64_t count, std::int64_t row) {
                const Dimension& inner = plan.outer.back();
                without.add(rows_function<T>()({x + x_at, inner.x_stride, out + out_at, inner.out_stride, count,
                                                plan.columns, request.beta_high, request.beta_low, request.operation,
                                                request.empty, buffer, size, plan.x_step, plan.out_step,
                                                far}),
                            row);
            });
        });
        return without.answer();
    }
    // Four cache lines side by side: neighbours come with one request. (Of rows so long that all these would ask for
    // much memory, one.) The odd stride keeps the rows of a tile out of each other's cache sets.
    const std::int64_t line = 64 / sizeof(T), width = plan.columns <= 32768 ? 4 * line : line;
    const std::ptrdiff_t stride = (plan.columns + 15) / 16 * 16 + 16;
    in_parallel(plan.rows(), grain_of(plan.columns, width), request.threads, [&](std::int64_t begin, std::int64_t end) {
        T* rows = static_cast<T*>(scratch(static_cast<std::size_t>(size + width * (stride + 16)) * sizeof(T)));
        T* results = plan.reduced ? rows + width * stride : rows;
        T* buffer = rows + width * (stride + 16);
        const Dimension& inner = plan.outer.back();
        for_runs(plan, begin, end, [&](std::ptrdiff_t x_at, std::ptrdiff_t out_at, std::int64_t run, std::int64_t row) {
            for (std::int64_t j = 0, count; j < run; j += count) {
                const std::int64_t left = std::min(width, run - j);
                count = left < line ? left : left / line * line;
                const Rows<T> strip{x + x_at + j, 1, out + out_at + j, 1, count, plan.columns, request.beta_high,
                                    request.beta_low, request.operation, request.empty, rows, width * stride,
                                    plan.x_step, plan.out_step};
                if (neighbours && strip_function<T>()(strip)) continue;
                gather<T>(x + x_at + j * inner.x_stride, {count, plan.columns, inner.x_stride, plan.x_step}, rows, stride);
                without.add(rows_function<T>()({rows, stride, results, plan.reduced ? 1 : stride, count, plan.columns,
                                                request.beta_high, request.beta_low, request.operation, request.empty,
                                                buffer, size}),
                            row + j);
                T* to = out + out_at + j * inner.out_stride;
                if (plan.reduced) {
                    for (std::int64_t i = 0; i < count; ++i) to[i * inner.out_stride] = results[i];
                } else {
                    scatter<T>(rows, stride, to, {count, plan.columns, inner.out_stride, plan.out_step});
                }
            }
        });
    });
    return without.answer();
}

// Half types: a few rows at a time in float32.
inline std::int64_t run_half(const std::uint16_t* x, std::uint16_t* out, const Plan& plan, const Request& request,
                             bool bfloat) {
    Without without;
    const auto widen = bfloat ? kernels().widen_bf16 : kernels().widen_f16;
    const auto narrow = bfloat ? kernels().narrow_bf16 : kernels().narrow_f16;
    const std::int64_t n = plan.columns, size = row_scratch<float>(n);
    const std::ptrdiff_t stride = (n + 15) / 16 * 16;
    const std::int64_t width = std::clamp<std::int64_t>(4096 / std::max<std::ptrdiff_t>(stride, 1), 1, 16);
    in_parallel(plan.rows(), grain_of(n, width), request.threads, [&](std::int64_t begin, std::int64_t end) {
        const std::size_t floats = static_cast<std::size_t>(size + width * (stride + 16));
        float* rows = static_cast<float*>(scratch(floats * sizeof(float) + static_cast<std::size_t>(stride) * 2));
        float* results = plan.reduced ? rows + width * stride : rows;
        float* buffer = rows + width * (stride + 16);
        auto* line = reinterpret_cast<std::uint16_t*>(rows + floats);
        const Dimension& inner = plan.outer.back();
        for_runs(plan, begin, end, [&](std::ptrdiff_t x_at, std::ptrdiff_t out_at, std::int64_t run, std::int64_t row) {
            for (std::int64_t j = 0; j < run; j += width) {
                const std::int64_t count = std::min(width, run - j);
                for (std::int64_t i = 0; i < count; ++i) {
                    const std::uint16_t* from = x + x_at + (j + i) * inner.x_stride;
                    if (plan.x_step != 1) {
                        for (std::int64_t k = 0; k < n; ++k) line[k] = from[k * plan.x_step];
                        from = line;
                    }
                    widen(from, n, rows + i * stride);
                }
                without.add(kernels().rows_f32({rows, stride, results, plan.reduced ? 1 : stride, count, n,
                                                request.beta_high, request.beta_low, request.operation, request.empty,
                                                buffer, size}),
                            row + j);
                for (std::int64_t i = 0; i < count; ++i) {
                    std::uint16_t* to = out + out_at + (j + i) * inner.out_stride;
                    if (plan.reduced) {
                        narrow(results + i, 1, to);
                    } else if (plan.out_step == 1) {
                        narrow(rows + i * stride, n, to);
                    } else {
                        narrow(rows + i * stride, n, line);
                        for (std::int64_t k = 0; k < n; ++k) to[k * plan.out_step] = line[k];
                    }
                }
            }
        });
    });
    return without.answer();
}

}  // namespace softmaxes
