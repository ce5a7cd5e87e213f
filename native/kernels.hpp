// What a kernel is asked, and the table of kernels that each instruction set exports.
#pragma once

#include <cstdint>

namespace softmaxes {

enum class Operation : int { softmax = 0, log_softmax = 1, logsumexp = 2 };
enum class Empty : int { nan = 0, zero = 1, uniform = 2, raise = 3 };

// Rows of numbers in, rows (or one number a row) out. Strides in entries; entries of a row are adjacent.
// x and out may be the same memory. beta = beta_high + beta_low is positive and finite.
template <class T>
struct Rows {
    const T* x;
    std::ptrdiff_t x_stride;
    T* out;
    std::ptrdiff_t out_stride;
    std::int64_t rows, columns;
    double beta_high, beta_low;
    Operation operation;
    Empty empty;
    T* scratch;   // scratch_size entries, 64-byte aligned
    std::int64_t scratch_size;
};

// Cross-entropy with integer targets: losses in float64, gradient rows scaled (null for none, may be x).
template <class T>
struct Losses {
    const T* x;
    std::ptrdiff_t x_stride;
    const std::int64_t* target;
    double* losses;
    T* gradient;
    std::ptrdiff_t gradient_stride;
    const double* row_scale;  // null for ones
    std::int64_t rows, columns;
    T* scratch;
    std::int64_t scratch_size;
};

// A tile of columns: `width` sequences of `length` entries, entry k of sequence j at k * length_stride + j * width_stride.
struct Tile {
    std::int64_t width, length;
    std::ptrdiff_t width_stride, length_stride;
};

struct Kernels {
    const char* name;
    // return the number of rows without a possible class (or -1 - index of the first one if the policy is to raise)
    std::int64_t (*rows_f32)(const Rows<float>&);
    std::int64_t (*rows_f64)(const Rows<double>&);
    void (*losses_f32)(const Losses<float>&);
    void (*losses_f64)(const Losses<double>&);
    void (*gather_f32)(const float* from, const Tile&, float* rows, std::ptrdiff_t row_stride);
    void (*gather_f64)(const double* from, const Tile&, double* rows, std::ptrdiff_t row_stride);
    void (*scatter_f32)(const float* rows, std::ptrdiff_t row_stride, float* to, const Tile&);
    void (*scatter_f64)(const double* rows, std::ptrdiff_t row_stride, double* to, const Tile&);
    void (*widen_f16)(const std::uint16_t* from, std::int64_t n, float* to);
    void (*widen_bf16)(const std::uint16_t* from, std::int64_t n, float* to);
    void (*narrow_f16)(const float* from, std::int64_t n, std::uint16_t* to);
    void (*narrow_bf16)(const float* from, std::int64_t n, std::uint16_t* to);
};

extern const Kernels kernels_baseline;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;

}  // namespace softmaxes
