// The only file that knows Python: dtypes, shapes, strides, the GIL.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

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
}
