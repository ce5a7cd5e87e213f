"""Anything that Hypothesis can think of, through every doorway of the native core; run by tests/sanitizers/run.

The sanitizers do the judging: here it only matters that every loop, tail, tile and thread sees odd sizes, and that
nothing is written beside the output.
"""

import ml_dtypes
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import softmaxes
from softmaxes import native

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
WIDTHS = st.one_of(st.integers(0, 70), st.sampled_from([127, 128, 129, 255, 1000, 4099, 33_000]))
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e30, 3e38, 1e4, -1e4]
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def arrays(draw, dtypes=DTYPES):
    """Return an array with odd shape, strides, offset and values."""
    dtype = draw(st.sampled_from(dtypes))
    width = draw(WIDTHS)
    shape = draw(st.sampled_from([(width,), (3, width), (width, 5), (2, width, 3), (17, width)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = [draw(st.sampled_from([1, 1, 2, -1])) for _ in shape]
    base = rng.normal(
        0, draw(st.sampled_from([1, 30, 1e4])), [abs(s) * n + 1 for s, n in zip(steps, shape, strict=True)]
    )
    with np.errstate(over="ignore"):
        base = np.asarray(base).astype(dtype)
    view = base[tuple(slice(None, None, s) for s in steps)]
    view = view[tuple(slice(0, n) for n in shape)]
    with np.errstate(over="ignore"):
        for value in draw(st.lists(st.sampled_from(ODD), max_size=3)):
            view[rng.random(view.shape) < draw(st.sampled_from([0.02, 0.5, 1.0]))] = value
    return np.moveaxis(view, 0, draw(st.integers(0, len(shape) - 1)))


@relaxed
@given(st.data())
def test_rows(data):
    x = data.draw(arrays())
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    options = {"threads": data.draw(st.sampled_from([1, 2, 3]))}
    name = data.draw(st.sampled_from(["softmax", "log_softmax", "softmin"]))
    if data.draw(st.booleans()):
        options["temperature"] = data.draw(st.sampled_from([0.0, 0.3, 1e-30, 1e30, np.inf]))
    options["empty"] = data.draw(st.sampled_from(["nan", "zero", "uniform"]))
    if data.draw(st.booleans()):
        options["where"] = np.random.default_rng(0).random(x.shape) < 0.7
    if data.draw(st.booleans()):
        frame = np.full([2 * n + 2 for n in x.shape], 7, x.dtype)
        options["out"] = frame[tuple(slice(1, 2 * n + 1, 2) for n in x.shape)]
        getattr(softmaxes, name)(x, axis, **options)
        options["out"][...] = 7
        assert (frame == 7).all(), "wrote beside out"
    elif data.draw(st.booleans()) and x.flags.writeable:
        getattr(softmaxes, name)(x, axis, out=x, **options)
    else:
        getattr(softmaxes, name)(x, axis, **options)


@relaxed
@given(st.data())
def test_logsumexp(data):
    x = data.draw(arrays())
    softmaxes.logsumexp(x, data.draw(st.integers(-x.ndim, x.ndim - 1)), threads=data.draw(st.sampled_from([1, 2, 3])))


@st.composite
def rows(draw):
    """Return rows of float32 or float64 with adjacent entries, at least one."""
    x = draw(arrays([np.float32, np.float64]).filter(lambda x: x.size))
    return np.ascontiguousarray(x.reshape(len(x), -1) if x.ndim > 1 else x[None])


THREADS = st.sampled_from([1, 2, 3])


@relaxed
@given(st.data())
def test_losses(data):
    x = data.draw(rows())
    rng = np.random.default_rng(1)
    target = rng.integers(0, x.shape[1], len(x))
    losses = np.empty(len(x))
    gradient = data.draw(st.sampled_from([None, np.empty_like(x), x]))
    scale = data.draw(st.sampled_from([None, rng.random(len(x))]))
    native.cross_entropy_rows(x, target, losses, gradient, scale, data.draw(THREADS))


@relaxed
@given(st.data())
def test_draws(data):
    x = data.draw(rows())
    draws = data.draw(st.sampled_from([0, 1, 2, 40]))
    uniform = np.random.default_rng(1).integers(0, 2**64, (len(x), draws), np.uint64)
    chosen = np.empty((len(x), draws), np.int64)
    beta = data.draw(st.sampled_from([0.0, 1e-30, 0.7, 1.0, 1e30, np.inf]))
    top_k = data.draw(st.sampled_from([1, 2, 7, x.shape[1], 2**40]))
    top_p = data.draw(st.sampled_from([1e-300, 0.3, 0.999, 1.0]))
    reach = data.draw(st.sampled_from([-np.inf, -2.0, 0.0]))
    end = native.draw_rows(x, uniform, chosen, (beta, 0.0), top_k, top_p, reach, data.draw(THREADS))
    if end < 0:
        assert ((chosen >= 0) & (chosen < x.shape[1])).all(), "drew a class that does not exist"


@relaxed
@given(st.data())
def test_sparse_maps(data):
    x = data.draw(rows())
    alpha = data.draw(st.sampled_from([1.01, 1.5, 1.7, 2.0, 3.0, 50.0]))
    threads = data.draw(THREADS)
    target = np.random.default_rng(1).integers(0, x.shape[1], len(x))
    native.entmax_losses(
        x, target, alpha, np.empty(len(x)), data.draw(st.sampled_from([None, np.empty_like(x)])), threads
    )
    p = data.draw(st.sampled_from([x, np.empty_like(x)]))
    native.entmax_rows(x, alpha, p, data.draw(st.sampled_from([None, np.empty(len(x))])), threads)
    v = np.random.default_rng(2).normal(size=p.shape).astype(p.dtype)
    native.entmax_product(p, v, alpha, data.draw(st.sampled_from([v, np.empty_like(v)])), threads)
    native.entmax_vjp(x, v, alpha, data.draw(st.sampled_from([x, np.empty_like(x)])), threads)
