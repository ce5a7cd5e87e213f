// NumPy's own C interface, because on ten entries the road to the kernel is longer than the kernel, and because a large
// result is to live in pooled memory.

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include "quick.hpp"

#include <numpy/arrayobject.h>

#include <exception>

#include "dispatch.hpp"
#include "layout.hpp"
#include "pool.hpp"

namespace softmaxes {

namespace {

constexpr const char* block_name = "softmaxes.block";

struct Lease {
    void* memory;
    std::size_t bytes;
};

void give_back(PyObject* capsule) {
    auto* lease = static_cast<Lease*>(PyCapsule_GetPointer(capsule, block_name));
    if (!lease) return;
    pool_give(lease->memory, lease->bytes);
    delete lease;
}

// A new array over pooled memory, in C order.
PyObject* pooled_like(PyArrayObject* x) {
    const auto bytes = static_cast<std::size_t>(PyArray_NBYTES(x));
    void* memory = pool_take(bytes);
    if (!memory) return PyErr_NoMemory();
    PyObject* capsule = PyCapsule_New(new Lease{memory, bytes}, block_name, give_back);
    if (!capsule) {
        pool_give(memory, bytes);
        return nullptr;
    }
    PyArray_Descr* descr = PyArray_DESCR(x);
    Py_INCREF(descr);
    PyObject* out = PyArray_NewFromDescr(&PyArray_Type, descr, PyArray_NDIM(x), PyArray_DIMS(x), nullptr, memory,
                                         NPY_ARRAY_CARRAY, nullptr);
    if (!out || PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(out), capsule) < 0) {
        Py_XDECREF(out);
        if (!out) Py_DECREF(capsule);
        return nullptr;
    }
    return out;
}

PyObject* result_like(PyArrayObject* x) {
    if (static_cast<std::size_t>(PyArray_NBYTES(x)) >= pooled_least && PyArray_IS_C_CONTIGUOUS(x)) return pooled_like(x);
    return PyArray_NewLikeArray(x, NPY_KEEPORDER, nullptr, 0);
}

// The array without its axis.
PyObject* reduced_like(PyArrayObject* x, int axis) {
    npy_intp shape[NPY_MAXDIMS];
    int ndim = 0;
    for (int i = 0; i < PyArray_NDIM(x); ++i)
        if (i != axis) shape[ndim++] = PyArray_DIM(x, i);
    PyArray_Descr* descr = PyArray_DESCR(x);
    Py_INCREF(descr);
    return PyArray_Empty(ndim, shape, descr, 0);
}

bool disjoint(PyArrayObject* a, PyArrayObject* b) {
    const char *p = PyArray_BYTES(a), *q = PyArray_BYTES(b);
    return p + PyArray_NBYTES(a) <= q || q + PyArray_NBYTES(b) <= p;
}

// Whether a result may be written to out without a second look; anything unusual is left to the careful way.
bool plain_target(PyObject* object, PyArrayObject* x) {
    if (!PyArray_CheckExact(object)) return false;
    auto* out = reinterpret_cast<PyArrayObject*>(object);
    if (out == x) return PyArray_ISWRITEABLE(x) != 0;
    return PyArray_TYPE(out) == PyArray_TYPE(x) && PyArray_ISBEHAVED(out) && PyArray_SAMESHAPE(out, x) &&
           PyArray_IS_C_CONTIGUOUS(out) && PyArray_IS_C_CONTIGUOUS(x) && disjoint(out, x);
}

std::int64_t run_typed(int type, const void* from, void* to, const Plan& plan, const Request& request) {
    if (type == NPY_FLOAT) return run(static_cast<const float*>(from), static_cast<float*>(to), plan, request);
    if (type == NPY_DOUBLE) return run(static_cast<const double*>(from), static_cast<double*>(to), plan, request);
    return run_half(static_cast<const std::uint16_t*>(from), static_cast<std::uint16_t*>(to), plan, request, false);
}

void compute(PyArrayObject* x, PyArrayObject* out, int axis, Operation operation, int threads) {
    std::int64_t shape[NPY_MAXDIMS], x_strides[NPY_MAXDIMS], out_strides[NPY_MAXDIMS];
    const bool reduced = operation == Operation::logsumexp;
    const std::ptrdiff_t size = PyArray_ITEMSIZE(x);
    for (int i = 0, j = 0; i < PyArray_NDIM(x); ++i) {
        shape[i] = PyArray_DIM(x, i);
        x_strides[i] = PyArray_STRIDE(x, i) / size;
        out_strides[i] = reduced && i == axis ? 0 : PyArray_STRIDE(out, j++) / size;
    }
    const auto ndim = static_cast<std::size_t>(PyArray_NDIM(x));
    const Plan plan = make_plan(ndim, shape, x_strides, out_strides, static_cast<std::size_t>(axis), reduced);
    if (plan.rows() == 0 || (plan.columns == 0 && !reduced)) return;
    const Request request{operation, 1.0, 0.0, Empty::nan, threads};
    const int type = PyArray_TYPE(x);
    if (PyArray_NBYTES(x) < 65536) {  // shorter than handing the interpreter over
        run_typed(type, PyArray_DATA(x), PyArray_DATA(out), plan, request);
        return;
    }
    std::exception_ptr error;
    Py_BEGIN_ALLOW_THREADS
    try {
        run_typed(type, PyArray_DATA(x), PyArray_DATA(out), plan, request);
    } catch (...) {
        error = std::current_exception();
    }
    Py_END_ALLOW_THREADS
    if (error) std::rethrow_exception(error);
}

// quick(operation, x, axis, out, threads) -> result, or None where the careful way is needed
PyObject* quick(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "quick takes operation, x, axis, out, threads");
        return nullptr;
    }
    if (!PyArray_CheckExact(args[1]) || !PyLong_CheckExact(args[2])) Py_RETURN_NONE;
    auto* x = reinterpret_cast<PyArrayObject*>(args[1]);
    const int type = PyArray_TYPE(x);
    if ((type != NPY_FLOAT && type != NPY_DOUBLE && type != NPY_HALF) || !PyArray_ISNOTSWAPPED(x) ||
        !PyArray_ISALIGNED(x))
        Py_RETURN_NONE;
    const long ndim = PyArray_NDIM(x);
    long axis = PyLong_AsLong(args[2]);
    if (axis < 0) axis += ndim;
    if (axis < 0 || axis >= ndim) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    const auto operation = static_cast<Operation>(PyLong_AsLong(args[0]));
    const int threads = static_cast<int>(PyLong_AsLong(args[4]));
    const bool given = args[3] != Py_None;
    if (given && !plain_target(args[3], x)) Py_RETURN_NONE;
    PyObject* result;
    if (given) {
        result = args[3];
        Py_INCREF(result);
    } else if (operation == Operation::logsumexp) {
        result = reduced_like(x, static_cast<int>(axis));
    } else {
        result = result_like(x);
    }
    if (!result) return nullptr;
    try {
        compute(x, reinterpret_cast<PyArrayObject*>(result), static_cast<int>(axis), operation, threads);
    } catch (const std::exception&) {
        Py_DECREF(result);
        return PyErr_NoMemory();
    }
    return operation == Operation::logsumexp ? PyArray_Return(reinterpret_cast<PyArrayObject*>(result)) : result;
}

// empty_like(x) -> a new array like x, a large one in memory that is already warm
PyObject* empty_like(PyObject*, PyObject* x) {
    if (PyArray_Check(x)) return result_like(reinterpret_cast<PyArrayObject*>(x));
    PyErr_SetString(PyExc_TypeError, "empty_like takes an array");
    return nullptr;
}

PyMethodDef methods[] = {
    {"empty_like", empty_like, METH_O,
     "empty_like(x: object) -> object\n\nReturn a new array like x, a large one in memory that is already warm."},
    {"quick", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(quick)), METH_FASTCALL,
     "quick(operation: int, x: object, axis: object, out: object, threads: int) -> object\n\n"
     "Return an operation on a plain array with every option at its default, or None if it is not one."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_quick(PyObject* module) {
    if (PyArray_ImportNumPyAPI() < 0) return false;
    return PyModule_AddFunctions(module, methods) == 0;
}

}  // namespace softmaxes
