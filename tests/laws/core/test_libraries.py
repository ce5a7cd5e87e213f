"""Laws of other array libraries: the same kind of array comes out, and no kernel takes it for plain NumPy.

array-api-strict stands for every library that keeps to the standard; torch and JAX, where installed, for the two whose
arrays carry more than numbers (a gradient, immutability).
"""

import array_api_strict
import numpy as np
import pytest
from tests.laws.core.subject import ELEMENTWISE, FUNCTIONS, normal

import softmaxes
from softmaxes import native

TYPES = ("float32", "float64")


def call(function, x, **options):
    if function == "kl_divergence":
        return softmaxes.kl_divergence(x, x * 0.5, **options)
    return getattr(softmaxes, function)(x, **options)


def agrees(got, want, dtype):
    """A few units, or of a number of size one where a result may cancel (log Z near 0): another library's exp and log
    are its own affair."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    eps = np.finfo(dtype).eps
    return got.shape == want.shape and np.allclose(got, want, rtol=64 * eps, atol=4 * eps, equal_nan=True)


HARD = {
    "plain": normal(3, 4, 5),
    "masked": np.where(np.arange(60).reshape(3, 4, 5) % 4 == 0, -np.inf, normal(3, 4, 5)),
    "limit": np.where(np.arange(60).reshape(3, 4, 5) % 7 == 0, np.inf, normal(3, 4, 5)),
    "empty rows": np.where(np.arange(12).reshape(3, 4, 1) % 5 == 0, -np.inf, normal(3, 4, 5)),
    "nan": np.where(np.arange(60).reshape(3, 4, 5) == 17, np.nan, normal(3, 4, 5)),
}


@pytest.mark.parametrize("row", HARD)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_strict_standard_is_enough(function, dtype, row):
    x = HARD[row].astype(dtype)
    for axis in (-1, 0, 1, (0, 2)):
        got = call(function, array_api_strict.asarray(x), axis=axis)
        assert isinstance(got, type(array_api_strict.asarray(0.0))), f"a {type(got)} came back"
        assert got.dtype == getattr(array_api_strict, dtype)
        assert agrees(np.asarray(got), call(function, x, axis=axis), dtype), (axis, got)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_options_hold_in_the_strict_standard(function):
    x, keep = normal(4, 6), np.arange(24).reshape(4, 6) % 3 != 0
    strict = array_api_strict.asarray
    got = call(function, strict(x), where=strict(keep))
    assert agrees(np.asarray(got), call(function, x, where=keep), "float64")
    if function in ("softmax", "log_softmax", "softmin", "entropy", "soft_argmax"):
        for temperature in (0.0, 0.5, np.inf):
            got = call(function, strict(x), temperature=temperature)
            assert agrees(np.asarray(got), call(function, x, temperature=temperature), "float64"), temperature


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64"])
def test_integers_hold_in_the_strict_standard(dtype):
    x = np.array([0, 1, 1]).astype(dtype) if dtype == "bool" else np.array([np.iinfo(dtype).min, 0, 5], dtype)
    got = softmaxes.softmax(array_api_strict.asarray(x))
    want = softmaxes.softmax(x)
    assert str(got.dtype).endswith(str(want.dtype))
    assert agrees(np.asarray(got), want, want.dtype)


def test_out_belongs_to_numpy():
    with pytest.raises(TypeError, match="out="):
        softmaxes.softmax(array_api_strict.asarray([1.0, 2.0]), out=np.zeros(2))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_torch_keeps_its_gradient(function):
    torch = pytest.importorskip("torch")
    x = torch.tensor(normal(3, 5), requires_grad=True)
    got = call(function, x)
    assert isinstance(got, torch.Tensor)
    assert got.requires_grad or function == "hardmax", "the gradient was lost"
    assert agrees(got.detach().numpy(), call(function, x.detach().numpy()), "float64")


def test_torch_gradients_are_those_of_the_formula():
    """VJP of softmax is p (u - p.u), of log_softmax u - p sum u, of logsumexp p u; exactly 0 at a masked entry."""
    torch = pytest.importorskip("torch")
    z, u = normal(4, 6), normal(4, 6, seed=1)
    z[1, 2] = -np.inf
    p = np.asarray(softmaxes.softmax(z))
    formulas = {
        "softmax": p * (u - (p * u).sum(-1, keepdims=True)),
        "log_softmax": u - p * u.sum(-1, keepdims=True),
        "logsumexp": p * u[:, :1],
    }
    u[1, 2] = 0  # its log-probability is -inf: no cotangent belongs there
    formulas["log_softmax"] = u - p * u.sum(-1, keepdims=True)
    formulas["softmax"] = p * (u - (p * u).sum(-1, keepdims=True))
    for function, want in formulas.items():
        x = torch.tensor(z, requires_grad=True)
        y = call(function, x)
        y.backward(torch.tensor(u[:, 0] if function == "logsumexp" else u))
        assert np.allclose(x.grad.numpy(), want, rtol=1e-12, atol=1e-15), (
            f"{function}: {x.grad.numpy()}, expected {want}"
        )


def test_torch_half_types_come_back_as_they_were():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.tensor(normal(3, 50)).to(dtype)
        got = softmaxes.softmax(x)
        assert got.dtype == dtype
        exact = torch.softmax(x.double(), -1)
        assert torch.equal(got, exact.to(dtype)), f"{dtype}: rounded more than once"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_jax_traces_and_differentiates(function):
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(normal(3, 5, dtype=np.float32))
    before = np.array(x)
    got = call(function, x)
    assert isinstance(got, jax.Array)
    assert agrees(got, call(function, before), "float32")
    assert agrees(jax.jit(lambda z: call(function, z))(x), got, "float32")
    assert np.isfinite(np.asarray(jax.grad(lambda z: call(function, z).sum())(x))).all()
    assert np.array_equal(np.asarray(x), before), "an immutable array was changed"


def test_jax_is_never_written_to():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([1.0, 2.0])
    for function in ELEMENTWISE:
        with pytest.raises(TypeError, match="out"):
            getattr(softmaxes, function)(np.array([1.0, 2.0], np.float32), out=x)
        with pytest.raises(TypeError, match="out"):
            getattr(softmaxes, function)(x, out=np.zeros(2, np.float32))


class Alarm:
    """Stands before the compiled module, and goes off when anything of it computes; a short cut may decline."""

    def __init__(self, native):
        self.native = native

    def __getattr__(self, name):
        def ring(*arguments, **options):
            if name == "quick" and self.native.quick(*arguments, **options) is None:
                return
            raise AssertionError(f"the kernel {name} was called")

        return ring


@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax"])
def test_no_kernel_is_called_for_another_library(library, monkeypatch):
    arrays = pytest.importorskip("jax.numpy" if library == "jax" else library)
    monkeypatch.setattr(native, "_native", Alarm(native._native))
    with pytest.raises(AssertionError, match="kernel"):
        softmaxes.softmax(np.zeros((2, 3)))  # the alarm works
    x = arrays.asarray(np.zeros((2, 3), np.float32))
    for function in FUNCTIONS:
        call(function, x)
        call(function, x, where=x > -1)
