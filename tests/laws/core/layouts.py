"""Laws of shape and memory: where the numbers lie changes nothing about the result."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.laws.core.subject import ELEMENTWISE, FUNCTIONS, equal, law, normal, refuses, same_bits


def _memory_map(x):
    path = Path(tempfile.mkdtemp()) / "x"
    mapped = np.memmap(path, x.dtype, "w+", shape=x.shape)
    mapped[:] = x
    mapped.flush()
    return np.memmap(path, x.dtype, "r", shape=x.shape)


def _unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:]
    moved = raw.view(x.dtype).reshape(x.shape) if x.size else x
    moved[...] = x
    return moved


def _every_other(x):
    wide = np.full(tuple(2 * n for n in x.shape), np.nan, x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def _backwards(x):
    reverse = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[reverse])[reverse]


def _read_only(x):
    copy = x.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every other": _every_other,
    "backwards": _backwards,
    "read-only": _read_only,
    "memory map": _memory_map,
    "unaligned": _unaligned,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
}
SHAPES = [(7,), (4, 33), (3, 5, 70), (2, 3, 4, 5)]


@law(
    (function, layout, np.dtype(dtype), shape)
    for function in FUNCTIONS
    for layout in LAYOUTS
    for dtype, shape in (("float32", (3, 5, 70)), ("float64", (4, 33)), ("float16", (4, 33)), ("float32", (7,)))
)
def memory_layout_does_not_matter(core, case):
    function, layout, dtype, shape = case
    x = normal(*shape, dtype=dtype)
    moved = LAYOUTS[layout](x)
    assert np.array_equal(moved, x)
    for axis in range(len(shape)):
        same_bits(core.named(function)(moved, axis=axis), core.named(function)(x, axis=axis), (case, axis))


@law((function, dtype) for function in FUNCTIONS for dtype in ("float32", "float64"))
def broadcast_input_is_the_array_it_looks_like(core, case):
    function, dtype = case
    row = normal(1, 37, dtype=dtype)
    for shape in ((5, 37), (5, 1, 37), (2, 5, 37)):
        view = np.broadcast_to(row, shape)
        for axis in range(len(shape)):
            same_bits(
                core.named(function)(view, axis=axis), core.named(function)(view.copy(), axis=axis), (case, shape, axis)
            )
    column = np.broadcast_to(normal(6, 1, dtype=dtype), (6, 20))
    same_bits(core.named(function)(column), core.named(function)(column.copy()), (case, "column"))


@law(itertools.product(FUNCTIONS, ("float32", "float64"), SHAPES))
def an_axis_is_the_last_axis_moved(core, case):
    function, dtype, shape = case
    x = normal(*shape, dtype=dtype)
    call = core.named(function)
    for axis in range(len(shape)):
        want = call(np.ascontiguousarray(np.moveaxis(x, axis, -1)))
        want = np.moveaxis(want, -1, axis) if function in ELEMENTWISE else want
        same_bits(call(x, axis=axis), want, (case, axis))
        same_bits(call(x, axis=axis - len(shape)), want, (case, axis, "negative"))


@law(itertools.product(FUNCTIONS, ("float32", "float64")))
def several_axes_are_one_long_axis(core, case):
    function, dtype = case
    x = normal(3, 4, 5, dtype=dtype)
    call = core.named(function)
    for axes in ((0, 1), (0, 2), (1, 2), (2, 0), (-1, -3), (0, 1, 2)):
        chosen = tuple(sorted(a % 3 for a in axes))
        kept = tuple(a for a in range(3) if a not in chosen)
        moved = x.transpose(*kept, *chosen)
        want = call(np.ascontiguousarray(moved).reshape(*(x.shape[a] for a in kept), -1))
        if function in ELEMENTWISE:
            want = want.reshape(moved.shape).transpose(np.argsort((*kept, *chosen)))
        same_bits(call(x, axis=axes), want, (case, axes))


@law(
    (name, value)
    for name, value in {
        "softmax": 1, "log_softmax": 0, "logsumexp": 2.5, "softmin": 1, "hardmax": 1,
        "soft_argmax": 0, "entropy": 0, "kl_divergence": 0,
    }.items()
)  # fmt: skip
def a_single_number_is_a_row_of_one(core, case):
    function, value = case
    for x in (np.float64(2.5), np.array(2.5), np.array([2.5]), np.array([[2.5]])):
        got = core.named(function)(x)
        shape = np.shape(x) if function in ELEMENTWISE else np.shape(x)[:-1]
        equal(got, np.full(shape, value), (case, np.shape(x)))


@law(itertools.product(FUNCTIONS, ("float32", "float64", "float16", "int64")))
def an_axis_of_length_zero_gives_an_empty_or_neutral_result(core, case):
    function, dtype = case
    for shape in ((0,), (3, 0), (0, 3), (2, 0, 4)):
        x = np.zeros(shape, dtype)
        for axis in range(len(shape)):
            got = core.named(function)(x, axis=axis)
            want = shape if function in ELEMENTWISE else shape[:axis] + shape[axis + 1 :]
            assert got.shape == want, f"{case} {shape} axis {axis}: shape {got.shape}, expected {want}"
            if function == "logsumexp":
                equal(got, np.full(want, -np.inf), (case, shape, axis))


@law(FUNCTIONS)
def the_input_is_left_alone(core, function):
    for x in (normal(4, 9), normal(4, 9, dtype=np.float32), np.array([[1.0, np.inf, -np.inf, 0.0]])):
        before = x.tobytes()
        core.named(function)(x)
        assert x.tobytes() == before, f"{function} changed its input"


@law(FUNCTIONS)
def lists_and_scalars_are_arrays(core, function):
    call = core.named(function)
    same_bits(call([[1.0, 2.0, 4.0]]), call(np.array([[1.0, 2.0, 4.0]])), function)
    same_bits(call([1, 2, 4]), call(np.array([1.0, 2.0, 4.0])), function)


@law(FUNCTIONS)
def an_axis_must_exist_once(core, function):
    x = normal(2, 3)
    for axis in (2, -3, (0, 2)):
        refuses(lambda axis=axis: core.named(function)(x, axis=axis), np.exceptions.AxisError)
    refuses(lambda: core.named(function)(x, axis=(0, 0)), ValueError)
    for axis in (0.0, "0"):
        refuses(lambda axis=axis: core.named(function)(x, axis=axis), TypeError, "axis")


@law(("logsumexp",))
def keepdims_keeps_the_reduced_axes(core, function):
    x = normal(2, 3, 4)
    for axis in (0, 1, -1, (0, 2)):
        kept = core.logsumexp(x, axis=axis, keepdims=True)
        want = tuple(1 if i in {a % 3 for a in np.atleast_1d(axis)} else n for i, n in enumerate(x.shape))
        assert kept.shape == want, f"axis {axis}: shape {kept.shape}, expected {want}"
        same_bits(kept.reshape(-1), core.logsumexp(x, axis=axis).reshape(-1), axis)


FLOATS = st.floats(-60, 60, width=32)


@law(("softmax", "log_softmax", "logsumexp"))
def any_view_equals_its_copy(core, function):
    """Hypothesis picks shapes, steps, offsets and the axis."""

    @given(st.data())
    def check(data):
        dtype = data.draw(st.sampled_from([np.float32, np.float64, np.float16]))
        shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9))
        base = data.draw(
            hnp.arrays(dtype, shape, elements=FLOATS.map(lambda v: float(np.float16(v))), fill=st.nothing())
        )
        steps = tuple(slice(None, None, data.draw(st.sampled_from([1, -1, 2, -3]))) for _ in shape)
        view = np.transpose(base[steps], data.draw(st.permutations(range(len(shape)))))
        axis = data.draw(st.integers(-len(shape), len(shape) - 1))
        same_bits(
            core.named(function)(view, axis=axis), core.named(function)(view.copy(), axis=axis), (function, view.shape)
        )

    check()
