// What a kernel is asked, and the table of kernels that each instruction set exports.
#pragma once

#include <cstdint>

namespace softmaxes {

enum class Operation : int { softmax = 0, log_softmax = 1, logsumexp = 2 };
enum class Empty : int { nan = 0, zero = 1, uniform = 2, raise = 3 };

// Rows up to this length are done a row to a lane, and need not have their entries together.
template <class T>
constexpr std::int64_t short_row = sizeof(T) == 4 ? 64 : 48;

// Rows of numbers in, rows (or one number a row) out. Strides from row to row and steps from entry to entry count
// entries; a step other than 1 is for short rows with a stride of 1. x and out may be the same memory.
// beta = beta_high + beta_low is positive and finite.
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
    T* scratch;  // scratch_size entries, 64-byte aligned
    std::int64_t scratch_size;
    std::ptrdiff_t x_step = 1, out_step = 1;
    bool far = false;  // whether all rows of the request are more than the nearer caches hold
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

// Classes drawn from rows: draws a row, each from 64 random bits. beta 0 and infinity are the limits of temperature.
template <class T>
struct Draws {
    const T* x;
    std::ptrdiff_t x_stride;
    const std::uint64_t* uniform;  // rows x draws, as is `chosen`
    std::int64_t* chosen;
    std::int64_t rows, columns, draws;
    double beta_high, beta_low;
    std::int64_t top_k;  // columns or more keeps all
    double top_p;        // 1 keeps all
    double min_reach;    // logits below the maximum by more than -min_reach are left out; -infinity keeps all
    void* scratch;       // draws_scratch bytes, 64-byte aligned
};

constexpr std::size_t draws_scratch(std::int64_t columns, std::size_t entry) {
    const auto classes = static_cast<std::size_t>((columns + 15) / 16 * 16);
    const std::size_t blocks = (static_cast<std::size_t>(columns) / 256 + 16) / 16 * 16;
    return blocks * (16 + entry) + classes * (8 + 2 * entry);
}

// alpha-entmax, alpha = 1 + epsilon > 1: probabilities, thresholds on the scale of epsilon * logits, and with targets the
// Fenchel-Young losses, the output then being their gradient; with directions `along` the output is the Jacobian times
// them. Null for what is not asked; out may be x, but not `along`.
template <class T>
struct SparseRows {
    const T* x;
    std::ptrdiff_t x_stride;
    T* out;
    std::ptrdiff_t out_stride;
    double* thresholds;
    const std::int64_t* target;  // with losses
    double* losses;
    const T* along;
    std::ptrdiff_t along_stride;
    std::int64_t rows, columns;
    double epsilon;
    T* scratch;  // sparse_scratch(columns) entries, 64-byte aligned
};
constexpr std::int64_t sparse_scratch(std::int64_t columns) { return 2 * ((columns + 15) / 16 * 16 + 256); }

// The Jacobian of alpha-entmax times v, from the probabilities p; out may be v or p.
template <class T>
struct SparseProducts {
    const T* p;
    std::ptrdiff_t p_stride;
    const T* v;
    std::ptrdiff_t v_stride;
    T* out;
    std::ptrdiff_t out_stride;
    std::int64_t rows, columns;
    double epsilon;
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
    // the same for rows side by side (stride 1, any step); false, with nothing written, where that is not the way
    bool (*strip_f32)(const Rows<float>&);
    bool (*strip_f64)(const Rows<double>&);
    void (*losses_f32)(const Losses<float>&);
    void (*losses_f64)(const Losses<double>&);
    // return the first row that nothing can be drawn from, or -1
    std::int64_t (*draws_f32)(const Draws<float>&);
    std::int64_t (*draws_f64)(const Draws<double>&);
    void (*gather_f32)(const float* from, const Tile&, float* rows, std::ptrdiff_t row_stride);
    void (*gather_f64)(const double* from, const Tile&, double* rows, std::ptrdiff_t row_stride);
    void (*scatter_f32)(const float* rows, std::ptrdiff_t row_stride, float* to, const Tile&);
    void (*scatter_f64)(const double* rows, std::ptrdiff_t row_stride, double* to, const Tile&);
    void (*widen_f16)(const std::uint16_t* from, std::int64_t n, float* to);
    void (*widen_bf16)(const std::uint16_t* from, std::int64_t n, float* to);
    void (*narrow_f16)(const float* from, std::int64_t n, std::uint16_t* to);
    void (*narrow_bf16)(const float* from, std::int64_t n, std::uint16_t* to);
    void (*sparse_f32)(const SparseRows<float>&);
    void (*sparse_f64)(const SparseRows<double>&);
    void (*sparse_product_f32)(const SparseProducts<float>&);
    void (*sparse_product_f64)(const SparseProducts<double>&);
};

extern const Kernels kernels_baseline;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;

}  // namespace softmaxes
