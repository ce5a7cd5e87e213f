"""Laws of `out=`: the same bits, in the place given, or an error before anything is written."""

import itertools

import numpy as np
from tests.laws.core.subject import equal, law, normal, refuses, same_bits

FUNCTIONS = ("softmax", "log_softmax", "softmin", "hardmax")
TYPES = ("float32", "float64", "float16")


@law(itertools.product(FUNCTIONS, TYPES, (-1, 0)))
def out_may_be_the_input_itself(core, case):
    function, dtype, axis = case
    for shape in ((5, 7), (3, 2000), (64, 40)):
        x = normal(*shape, dtype=dtype)
        want = core.named(function)(x, axis=axis)
        returned = core.named(function)(x, axis=axis, out=x)
        assert returned is x, f"{case}: another array came back than out"
        same_bits(x, want, (case, shape))


@law(itertools.product(FUNCTIONS, TYPES))
def out_may_lie_in_any_way(core, case):
    function, dtype = case
    x = normal(6, 11, dtype=dtype)
    want = core.named(function)(x)
    frame = np.full((12, 22), 9, dtype)
    homes = {
        "every other": frame[::2, ::2],
        "fortran": np.full((6, 11), 9, dtype, order="F"),
        "backwards": np.full((6, 11), 9, dtype)[::-1, ::-1],
    }
    for name, home in homes.items():
        returned = core.named(function)(x, out=home)
        assert returned is home, f"{case} {name}: another array came back than out"
        same_bits(home, want, (case, name))
    assert (frame[1::2] == 9).all() and (frame[:, 1::2] == 9).all(), f"{case}: wrote beside out"


@law(itertools.product(FUNCTIONS, TYPES))
def an_overlapping_out_is_refused_untouched(core, case):
    function, dtype = case
    line = normal(60, dtype=dtype)
    square = normal(6, 6, dtype=dtype)
    pairs = {
        "shifted": (line[:-1], line[1:]),
        "backwards": (line, line[::-1]),
        "transposed": (square, square.T),
        "rows": (square[:-1], square[1:]),
    }
    for name, (x, out) in pairs.items():
        before = out.tobytes()
        refuses(lambda x=x, out=out: core.named(function)(x, out=out), ValueError, "out")
        assert out.tobytes() == before, f"{case} {name}: out was written before it was refused"


@law(itertools.product(FUNCTIONS, TYPES))
def interleaved_out_is_disjoint(core, case):
    function, dtype = case
    line = normal(60, dtype=dtype)
    want = core.named(function)(line[::2].copy())
    core.named(function)(line[::2], out=line[1::2])
    same_bits(line[1::2], want, case)


@law(FUNCTIONS)
def an_out_that_does_not_fit_is_refused(core, function):
    x = normal(3, 4)
    call = core.named(function)
    read_only = np.zeros((3, 4))
    read_only.flags.writeable = False
    refuses(lambda: call(x, out=np.zeros((4, 3))), ValueError, "(3, 4)")
    refuses(lambda: call(x, out=np.zeros((3, 4), np.float32)), (TypeError, ValueError), "float64")
    refuses(lambda: call(x, out=read_only), ValueError)
    refuses(lambda: call(x, out=np.broadcast_to(np.zeros(4), (3, 4))), ValueError)
    refuses(lambda: call(x, out=[[0.0] * 4] * 3), TypeError, "list")


@law(itertools.product(("softmax", "log_softmax"), TYPES))
def a_refusal_writes_nothing(core, case):
    function, dtype = case
    x = normal(200, 50, dtype=dtype)
    x[150] = -np.inf
    out = np.full(x.shape, 9, dtype)
    refuses(lambda: core.named(function)(x, empty="raise", out=out), ValueError)
    equal(out, np.full(x.shape, 9), case)
    before = x.tobytes()
    refuses(lambda: core.named(function)(x, empty="raise", out=x), ValueError)
    assert x.tobytes() == before, f"{case}: the input was half overwritten"
