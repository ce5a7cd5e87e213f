"""What the laws of the exponential core are about, how a law is written down, and how it complains."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from tests.accuracy.oracle import ExactRow, largest_ulp_error

import softmaxes

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True)
class Core:
    """The eight functions under test. A saboteur replaces some of them by something broken."""

    softmax: Callable[..., Any] = softmaxes.softmax
    log_softmax: Callable[..., Any] = softmaxes.log_softmax
    logsumexp: Callable[..., Any] = softmaxes.logsumexp
    softmin: Callable[..., Any] = softmaxes.softmin
    hardmax: Callable[..., Any] = softmaxes.hardmax
    soft_argmax: Callable[..., Any] = softmaxes.soft_argmax
    entropy: Callable[..., Any] = softmaxes.entropy
    kl_divergence: Callable[..., Any] = softmaxes.kl_divergence

    def named(self, function: str) -> Callable[..., Any]:
        """Return a function by its name; kl_divergence is asked for KL(x || 0.5 x), so that it too takes one array."""
        if function == "kl_divergence":
            return lambda x, axis=-1, **options: self.kl_divergence(x, np.asarray(x) * 0.5, axis, **options)
        return getattr(self, function)


ELEMENTWISE = ("softmax", "log_softmax", "softmin", "hardmax")
REDUCING = ("logsumexp", "soft_argmax", "entropy", "kl_divergence")
FUNCTIONS = ELEMENTWISE + REDUCING


@dataclass(frozen=True)
class Law:
    """A statement that must hold for every case of a table."""

    name: str
    check: Callable[[Core, Any], None]
    cases: tuple[Any, ...]

    def examine(self, core: Core) -> None:
        """Raise AssertionError if any case breaks the law."""
        for case in self.cases:
            self.check(core, case)


LAWS: dict[str, Law] = {}


def law(cases: Iterable[Any] = (None,)) -> Callable[[Callable[[Core, Any], None]], Law]:
    """Enter a check into the table of laws, under its own name."""

    def enter(check: Callable[[Core, Any], None]) -> Law:
        assert check.__name__ not in LAWS, f"two laws are called {check.__name__}"
        LAWS[check.__name__] = Law(check.__name__, check, tuple(cases))
        return LAWS[check.__name__]

    return enter


def normal(*shape: int, dtype: Any = np.float64, scale: float = 3.0, seed: int = 0) -> np.ndarray:
    """Return seeded normal logits."""
    return np.asarray(np.random.default_rng([seed, *shape]).normal(0, scale, shape)).astype(dtype)


def same_bits(got: Any, want: Any, case: Any) -> None:
    """Demand equal type, shape and bytes (any NaN equals any NaN)."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype, f"{case}: dtype {got.dtype}, expected {want.dtype}"
    assert got.shape == want.shape, f"{case}: shape {got.shape}, expected {want.shape}"
    if got.dtype == np.longdouble:  # its bytes hold padding
        equal = (got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))
    else:
        bits = np.dtype(f"u{got.dtype.itemsize}")
        nan = np.isnan(got) & np.isnan(want)
        equal = (np.ascontiguousarray(got).view(bits) == np.ascontiguousarray(want).view(bits)).reshape(got.shape) | nan
    assert equal.all(), (
        f"{case}: {(~equal).sum()} of {got.size} entries differ, first {got[~equal][0]!r} for {want[~equal][0]!r}"
    )


def equal(got: Any, want: Any, case: Any) -> None:
    """Demand equal values: the result is known exactly."""
    got = np.asarray(got)
    want = np.asarray(want)
    assert got.shape == want.shape, f"{case}: shape {got.shape}, expected {want.shape}"
    assert np.array_equal(got.astype(np.float64), want.astype(np.float64), equal_nan=True), (
        f"{case}: {got}, expected {want}"
    )


def within_ulp(got: Any, row: Any, function: str, bound: float, case: Any, beta: Any = 1) -> None:
    """Demand that one row of results is within ``bound`` ULP of the exact one."""
    error = largest_ulp_error(got, ExactRow.of(row, beta), function)
    assert error <= bound, f"{case}: {function} is off by {error:.3g} ULP, allowed are {bound}"


def refuses(call: Callable[[], Any], error: type[Exception] | tuple[type[Exception], ...], *words: str) -> None:
    """Demand that ``call`` raises exactly this kind of error, with a message that holds these words."""
    try:
        result = call()
    except error as refusal:
        missing = [word for word in words if word not in str(refusal)]
        assert not missing, f"the message {str(refusal)!r} does not say {missing}"
    except Exception as other:
        raise AssertionError(f"raised {type(other).__name__}({other}), expected {error}") from other
    else:
        raise AssertionError(f"returned {result!r}, expected {error}")
