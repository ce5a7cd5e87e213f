// The only file that knows Python: dtypes, shapes, strides, the GIL.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>

#include "dispatch.hpp"
#include "layout.hpp"
#include "quick.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Input = nb::ndarray<nb::ro, nb::device::cpu>;
using Output = nb::ndarray<nb::device::cpu>;

// Write operation(x) along axis into out. bfloat16 comes as uint16. Returns the number of rows without a possible class,
// or -1 - the index of the first one if the policy is to raise.
std::int64_t rows(const Input& x, const Output& out, std::size_t axis, int operation, double beta_high, double beta_low,
                  int empty, int threads) {
    const auto request = softmaxes::Request{static_cast<softmaxes::Operation>(operation), beta_high, beta_low,
                                            static_cast<softmaxes::Empty>(empty), threads};
    const bool reduced = request.operation == softmaxes::Operation::logsumexp;
    const auto plan = softmaxes::make_plan(x.ndim(), x.shape_ptr(), x.stride_ptr(), out.stride_ptr(), axis, reduced);
    if (plan.rows() == 0 || (plan.columns == 0 && !reduced)) return 0;
    const auto type = x.dtype();
    if (type != out.dtype()) throw nb::type_error("x and out differ in dtype");
    const void* from = x.data();
    void* to = out.data();
    const nb::gil_scoped_release unlocked;
    if (type == nb::dtype<float>())
        return softmaxes::run(static_cast<const float*>(from), static_cast<float*>(to), plan, request);
    if (type == nb::dtype<double>())
        return softmaxes::run(static_cast<const double*>(from), static_cast<double*>(to), plan, request);
    const bool bfloat = type == nb::dtype<std::uint16_t>();
    return softmaxes::run_half(static_cast<const std::uint16_t*>(from), static_cast<std::uint16_t*>(to), plan, request,
                               bfloat);
}

template <class T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>;
template <class T>
using MatrixOut = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;
using Targets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using DoublesOut = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
void losses(const Matrix<T>& x, const Targets& target, const DoublesOut& out, std::optional<MatrixOut<T>> gradient,
            std::optional<Doubles> row_scale, int threads) {
    const std::int64_t n = static_cast<std::int64_t>(x.shape(1)), count = static_cast<std::int64_t>(x.shape(0));
    const std::ptrdiff_t x_stride = x.stride(0), g_stride = gradient ? gradient->stride(0) : 0;
    const T* from = x.data();
    T* to = gradient ? gradient->data() : nullptr;
    const double* scale = row_scale ? row_scale->data() : nullptr;
    const std::int64_t* labels = target.data();
    double* values = out.data();
    const std::int64_t size = softmaxes::row_scratch<T>(n);
    const nb::gil_scoped_release unlocked;
    softmaxes::in_parallel(
        count, softmaxes::grain_of(n, 16), threads, [&](std::int64_t begin, std::int64_t end) {
            T* buffer = static_cast<T*>(softmaxes::scratch(static_cast<std::size_t>(size) * sizeof(T)));
            const softmaxes::Losses<T> job{from + begin * x_stride, x_stride, labels + begin, values + begin,
                                           to ? to + begin * g_stride : nullptr, g_stride,
                                           scale ? scale + begin : nullptr, end - begin, n, buffer, size};
            if constexpr (sizeof(T) == 4) softmaxes::kernels().losses_f32(job);
            else softmaxes::kernels().losses_f64(job);
        });
}

using Bits = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Classes = nb::ndarray<std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Write the classes drawn from rows of x into chosen; returns the first row that nothing can be drawn from, or -1.
template <class T>
std::int64_t draws(const Matrix<T>& x, const Bits& uniform, const Classes& chosen, double beta_high, double beta_low,
                   std::int64_t top_k, double top_p, double min_reach, int threads) {
    const auto count = static_cast<std::int64_t>(x.shape(0)), n = static_cast<std::int64_t>(x.shape(1));
    const auto each = static_cast<std::int64_t>(uniform.shape(1));
    if (n == 0 || uniform.shape(0) != x.shape(0) || chosen.shape(0) != x.shape(0) || chosen.shape(1) != uniform.shape(1))
        throw nb::value_error("x, uniform and chosen differ in rows or draws");
    const std::ptrdiff_t stride = x.stride(0);
    const T* from = x.data();
    const std::uint64_t* bits = uniform.data();
    std::int64_t* to = chosen.data();
    std::atomic<std::int64_t> refused{count};
    const nb::gil_scoped_release unlocked;
    softmaxes::in_parallel(count, softmaxes::grain_of(n, 1), threads, [&](std::int64_t begin, std::int64_t end) {
        void* buffer = softmaxes::scratch(softmaxes::draws_scratch(n, sizeof(T)));
        const softmaxes::Draws<T> job{from + begin * stride, stride, bits + begin * each, to + begin * each,
                                      end - begin, n, each, beta_high, beta_low, top_k, top_p, min_reach, buffer};
        std::int64_t row;
        if constexpr (sizeof(T) == 4) row = softmaxes::kernels().draws_f32(job);
        else row = softmaxes::kernels().draws_f64(job);
        if (row < 0) return;
        std::int64_t first = refused.load();
        while (begin + row < first && !refused.compare_exchange_weak(first, begin + row)) {}
    });
    return refused < count ? refused.load() : -1;
}

// Write alpha-entmax, alpha = 1 + epsilon, of rows; with targets the losses, and their gradient into out; with directions
// the Jacobian times them into out.
template <class T>
void sparse(const Matrix<T>& x, double epsilon, std::optional<MatrixOut<T>> out, std::optional<DoublesOut> thresholds,
            std::optional<Targets> target, std::optional<DoublesOut> losses, std::optional<Matrix<T>> along, int threads) {
    const std::int64_t n = static_cast<std::int64_t>(x.shape(1)), count = static_cast<std::int64_t>(x.shape(0));
    if (n == 0) return;
    const softmaxes::SparseRows<T> all{x.data(), x.stride(0), out ? out->data() : nullptr, out ? out->stride(0) : 0,
                                       thresholds ? thresholds->data() : nullptr, target ? target->data() : nullptr,
                                       losses ? losses->data() : nullptr, along ? along->data() : nullptr,
                                       along ? along->stride(0) : 0, count, n, epsilon, nullptr};
    const nb::gil_scoped_release unlocked;
    softmaxes::in_parallel(count, softmaxes::grain_of(n, 1), threads, [&](std::int64_t begin, std::int64_t end) {
        auto job = all;
        job.x += begin * job.x_stride;
        if (job.out) job.out += begin * job.out_stride;
        if (job.thresholds) job.thresholds += begin;
        if (job.target) job.target += begin;
        if (job.losses) job.losses += begin;
        if (job.along) job.along += begin * job.along_stride;
        job.rows = end - begin;
        job.scratch = static_cast<T*>(
            softmaxes::scratch(static_cast<std::size_t>(softmaxes::sparse_scratch(n)) * sizeof(T)));
        if constexpr (sizeof(T) == 4) softmaxes::kernels().sparse_f32(job);
        else softmaxes::kernels().sparse_f64(job);
    });
}

// Write the Jacobian of alpha-entmax at the probabilities p times v.
template <class T>
void sparse_product(const Matrix<T>& p, const Matrix<T>& v, double epsilon, const MatrixOut<T>& out, int threads) {
    const std::int64_t n = static_cast<std::int64_t>(p.shape(1)), count = static_cast<std::int64_t>(p.shape(0));
    if (n == 0) return;
    const softmaxes::SparseProducts<T> all{p.data(), p.stride(0), v.data(), v.stride(0), out.data(), out.stride(0),
                                           count, n, epsilon};
    const nb::gil_scoped_release unlocked;
    softmaxes::in_parallel(count, softmaxes::grain_of(n, 1), threads, [&](std::int64_t begin, std::int64_t end) {
        auto job = all;
        job.p += begin * job.p_stride;
        job.v += begin * job.v_stride;
        job.out += begin * job.out_stride;
        job.rows = end - begin;
        if constexpr (sizeof(T) == 4) softmaxes::kernels().sparse_product_f32(job);
        else softmaxes::kernels().sparse_product_f64(job);
    });
}

template <class T>
void define_sparse(nb::module_& m, const char* rows_name, const char* product_name) {
    m.def(rows_name, &sparse<T>, "x"_a.noconvert(), "epsilon"_a, "out"_a.noconvert().none(),
          "thresholds"_a.noconvert().none(), "target"_a.noconvert().none(), "losses"_a.noconvert().none(),
          "along"_a.noconvert().none(), "threads"_a,
          "Write alpha-entmax of rows, their thresholds, their losses and gradients, or Jacobian products.");
    m.def(product_name, &sparse_product<T>, "p"_a.noconvert(), "v"_a.noconvert(), "epsilon"_a, "out"_a.noconvert(),
          "threads"_a, "Write the Jacobian of alpha-entmax times v.");
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Compiled kernels of softmaxes; use them through softmaxes.native.";
    if (!softmaxes::add_quick(m.ptr())) throw nb::python_error();
    m.def("isa", [] { return std::string(softmaxes::kernels().name); }, "Return the instruction set in use.");
    m.def("available", &softmaxes::available, "Return the instruction sets that this processor runs, best first.");
    m.def("select", &softmaxes::select, "name"_a, "Use the named instruction set from now on; False if it is not there.");
    m.def("rows", &rows, "x"_a, "out"_a, "axis"_a, "operation"_a, "beta_high"_a, "beta_low"_a, "empty"_a, "threads"_a,
          "Write an operation along an axis into out; see native/module.cpp.");
    m.def("losses_f32", &losses<float>, "x"_a.noconvert(), "target"_a.noconvert(), "out"_a.noconvert(),
          "gradient"_a.noconvert().none(), "row_scale"_a.noconvert().none(), "threads"_a,
          "Write cross-entropy losses and gradients of float32 rows.");
    m.def("losses_f64", &losses<double>, "x"_a.noconvert(), "target"_a.noconvert(), "out"_a.noconvert(),
          "gradient"_a.noconvert().none(), "row_scale"_a.noconvert().none(), "threads"_a,
          "Write cross-entropy losses and gradients of float64 rows.");
    m.def("draws_f32", &draws<float>, "x"_a.noconvert(), "uniform"_a.noconvert(), "chosen"_a.noconvert(), "beta_high"_a,
          "beta_low"_a, "top_k"_a, "top_p"_a, "min_reach"_a, "threads"_a,
          "Write classes drawn from float32 rows; see native/module.cpp.");
    m.def("draws_f64", &draws<double>, "x"_a.noconvert(), "uniform"_a.noconvert(), "chosen"_a.noconvert(), "beta_high"_a,
          "beta_low"_a, "top_k"_a, "top_p"_a, "min_reach"_a, "threads"_a,
          "Write classes drawn from float64 rows; see native/module.cpp.");
    define_sparse<float>(m, "sparse_f32", "sparse_product_f32");
    define_sparse<double>(m, "sparse_f64", "sparse_product_f64");
}
