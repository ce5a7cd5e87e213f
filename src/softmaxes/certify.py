"""The certificate: a public table of hard rows, run against this library or any other, errors in ULP side by side.

Nothing here is chosen to flatter: the rows are those on which softmax implementations are known to lose digits, the
exact answers come from decimal arithmetic (`softmaxes.reference`), and the rows are made anew from a fixed seed:
anyone can repeat the measurement on their own machine and against their own implementation.
"""

from __future__ import annotations

import json
import platform
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from softmaxes import reference
from softmaxes.arrays import Array
from softmaxes.contracts import promised_ulp
from softmaxes.errors import UserError

__all__ = ["CASES", "FUNCTIONS", "IMPLEMENTATIONS", "Case", "Certificate", "Measured", "certify"]

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")

Functions: TypeAlias = dict[str, Callable[[Array], Array]]


@dataclass(frozen=True)
class Case:
    """One row of logits: what makes it hard, and how to make it in a type.

    dtypes: the types it is tried in. long: whether it takes more than a second.
    """

    name: str
    why: str
    make: Callable[[np.random.Generator, np.dtype[Any]], Array]
    dtypes: tuple[str, ...] = ("float32", "float64")
    long: bool = False

    def row(self, dtype: str) -> np.ndarray[Any, Any]:
        """Return the row in ``dtype``, the same on every call."""
        kind = np.dtype(dtype)
        return np.asarray(self.make(np.random.default_rng(zlib.crc32(self.name.encode())), kind)).astype(kind)


def _normal(size: int, scale: float, offset: float = 0.0) -> Callable[[np.random.Generator, np.dtype[Any]], Array]:
    return lambda rng, dtype: rng.normal(offset, scale, size)


def _drawn(size: int, scale: float) -> Callable[[np.random.Generator, np.dtype[Any]], Array]:
    """Many entries, few distinct values: the exact answer stays cheap, the sum does not."""
    return lambda rng, dtype: rng.choice(rng.normal(0, scale, 4096).astype(dtype), size)


def _given(*logits: float) -> Callable[[np.random.Generator, np.dtype[Any]], Array]:
    return lambda rng, dtype: np.array(logits)


def _subnormal(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    smallest = np.log(float(np.finfo(dtype).tiny))
    return np.concatenate([[0.0], rng.uniform(smallest - 17, smallest + 1, 400)])


def _masked(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    x = rng.normal(0, 5, 777)
    x[rng.random(777) < 0.5] = -np.inf
    return x


def _extreme(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    return np.array([1.0, -1.0, 0.5, 1.0]) * float(np.finfo(dtype).max)


def _cancelling(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    """log Z near 0: the maximum and the logarithm of the sum cancel."""
    return np.full(2, -np.log(2.0)).astype(dtype)


def _nearly_cancelling(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    x = rng.normal(0, 1, 1000)
    return x - np.log(np.exp(x).sum())


def _integer_ends(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    lowest = int(np.iinfo(dtype).min)  # powers of two, so that the conversion to floating point is exact
    return np.array([lowest, -(lowest // 2), 0], dtype)


CASES: tuple[Case, ...] = (
    Case("one class", "the answer is known: 1, 0 and the logit itself", _given(-3.25)),
    Case("two ties", "the answer is known: halves", _given(1.5, 1.5)),
    Case("small row", "ten logits as a small classifier has them", _normal(10, 1)),
    Case("thousand classes", "an ordinary long row", _normal(1000, 3)),
    Case("spread logits", "a difference rounded once costs its own size in ULP of the probability", _normal(1000, 10)),
    Case("wide logits", "the same, ten times worse", _normal(1000, 100)),
    Case("confident", "log(1 + tiny): the dominant log-probability is tiny, not 0", _given(0, -40)),
    Case("rather confident", "the same where half the digits survive", _given(17, 0, 1)),
    Case("subnormal", "probabilities below the smallest normal number, not flushed, rounded once", _subnormal),
    Case("offset", "a common offset of a million", _normal(500, 3, 1e6)),
    Case("huge offset", "an offset that swallows everything but a few bits", _normal(50, 1e15, 1e16), ("float64",)),
    Case("extreme", "the largest finite numbers, whose differences overflow", _extreme),
    Case("tiny", "logits that are nearly nothing", _normal(33, 1e-30)),
    Case("masked", "half of the classes are impossible (-inf)", _masked),
    Case("log Z is 0", "maximum and log of the sum cancel completely", _cancelling),
    Case("log Z near 0", "they cancel nearly", _nearly_cancelling),
    Case("hundred thousand", "a long row", _drawn(100_000, 10)),
    Case("million", "a very long row", _drawn(1_000_000, 10)),
    Case("ten million", "the longest promised row", _drawn(10_000_000, 10), long=True),
    Case("limit", "+inf takes everything: the answer is known", _given(0, np.inf, 3, np.inf)),
    Case("bytes", "unsigned bytes: a difference wraps around", _given(1, 2, 3), ("uint8",)),
    Case("integer ends", "both ends of the type: a difference overflows", _integer_ends, ("int8", "int32", "int64")),
    Case("truth values", "False and True are 0 and 1", _given(0, 1, 1), ("bool",)),
    Case("half precision", "a thousand logits in 16 bits", _normal(1000, 3), ("float16",)),
    Case("many halves", "a sum beyond the largest half-precision number", lambda r, d: np.zeros(100_000), ("float16",)),
)


def _ours() -> Functions:
    home = import_module("softmaxes.exponential")
    return {name: getattr(home, name) for name in FUNCTIONS}


def _scipy() -> Functions:
    special = import_module("scipy.special")
    return {name: getattr(special, name) for name in FUNCTIONS}


def _torch() -> Functions:
    torch = import_module("torch")

    def through(function: Callable[..., Any]) -> Callable[[Array], Array]:
        return lambda x: function(torch.from_numpy(np.ascontiguousarray(x)), -1).numpy()

    return {name: through(getattr(torch, name)) for name in FUNCTIONS}


def _jax() -> Functions:
    jax = import_module("jax")
    special = import_module("jax.scipy.special")
    nn = import_module("jax.nn")
    peers = {"softmax": nn.softmax, "log_softmax": nn.log_softmax, "logsumexp": special.logsumexp}

    def through(function: Callable[..., Any]) -> Callable[[Array], Array]:
        def call(x: Array) -> Array:
            with jax.enable_x64(True):
                return np.asarray(function(jax.numpy.asarray(x)))

        return call

    return {name: through(function) for name, function in peers.items()}


IMPLEMENTATIONS: dict[str, Callable[[], Functions]] = {"ours": _ours, "scipy": _scipy, "torch": _torch, "jax": _jax}


@dataclass(frozen=True)
class Measured:
    """The largest error of one function on one row, by implementation, in ULP of the type that came back.

    promised: our bound. errors: infinite for a wrong answer (NaN, a lost infinity, a
    zero in place of a number); None for a refusal, whose words are in `refusals`.
    """

    case: str
    function: str
    dtype: str
    promised: float
    errors: dict[str, float | None]
    refusals: dict[str, str]

    @property
    def broken(self) -> bool:
        """Whether this library exceeds its own promise here."""
        if "ours" not in self.errors:
            return False
        error = self.errors["ours"]
        return error is None or error > self.promised


@dataclass(frozen=True)
class Certificate:
    """All measurements, and on what they were made."""

    measured: tuple[Measured, ...]
    implementations: tuple[str, ...]
    versions: dict[str, str]
    machine: str

    @property
    def broken(self) -> tuple[Measured, ...]:
        """The measurements in which this library exceeds its own promise."""
        return tuple(m for m in self.measured if m.broken)

    def worst(self, implementation: str, function: str, dtype: str) -> float:
        """Return the largest error of an implementation over all rows of a type."""
        found = (m.errors[implementation] for m in self.measured if (m.function, m.dtype) == (function, dtype))
        return max((np.inf if e is None else e for e in found), default=0.0)

    def table(self) -> str:
        """Return the table as plain text, one line per row, function and type."""
        head = ["row", "function", "type", "promised", *self.implementations]
        lines = [head]
        for m in self.measured:
            lines.append(
                [m.case, m.function, m.dtype, f"{m.promised:g}", *(_shown(m.errors[i]) for i in self.implementations)]
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = (
            "  ".join(t.ljust(w) if i < 3 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        )
        return "\n".join(line.rstrip() for line in aligned)

    def to_json(self) -> str:
        """Return everything as JSON; an infinite error is the string "wrong", a refusal "refused"."""
        rows = [{**asdict(m), "errors": {k: _jsonable(e) for k, e in m.errors.items()}} for m in self.measured]
        return json.dumps({"machine": self.machine, "versions": self.versions, "measured": rows}, indent=1)


def _shown(error: float | None) -> str:
    if error is None:
        return "refused"
    if not np.isfinite(error):
        return "wrong"
    return f"{error:.2f}" if error < 1000 else f"{error:.0e}"


def _jsonable(error: float | None) -> float | str:
    return _shown(error) if error is None or not np.isfinite(error) else round(error, 4)


def certify(*implementations: str, long: bool = False, cases: Iterable[Case] = CASES) -> Certificate:
    """Run the table against implementations ("ours", "scipy", "torch", "jax"; by default ours alone).

    long: also the rows that take more than a second each. Raises UserError for an implementation that is unknown or not
    installed, before anything is measured.

    Examples
    --------
    >>> certificate = certify("ours", cases=CASES[:3])
    >>> certificate.broken
    ()
    """
    names = implementations or ("ours",)
    functions = {name: _loaded(name) for name in names}
    measured = []
    for case in cases:
        if case.long and not long:
            continue
        for dtype in case.dtypes:
            row = case.row(dtype)
            exact = reference.exact_row(row)
            for function in FUNCTIONS:
                results = {name: _attempt(functions[name][function], row) for name in names}
                measured.append(
                    Measured(
                        case.name,
                        function,
                        dtype,
                        _promise(function, row),
                        {
                            n: reference.error_of(function, exact, r) if not isinstance(r, str) else None
                            for n, r in results.items()
                        },
                        {n: r for n, r in results.items() if isinstance(r, str)},
                    )
                )
    packages = ["softmaxes" if name == "ours" else name for name in names]
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {package: str(import_module(package).__version__) for package in packages}
    return Certificate(tuple(measured), tuple(names), versions, f"{platform.machine()} {platform.system()}")


def _loaded(name: str) -> Functions:
    if name not in IMPLEMENTATIONS:
        raise UserError(f"no implementation is called {name!r}; known are {', '.join(IMPLEMENTATIONS)}")
    try:
        return IMPLEMENTATIONS[name]()
    except ImportError as error:
        raise UserError(f"{name} is not installed here, so it cannot be measured; try: pip install {name}") from error


def _attempt(function: Callable[[Array], Array], row: Array) -> Array | str:
    """Return the result, or the words of the refusal: that a peer refuses a row is a finding, not a failure of ours."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(row.copy()))
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as refusal:
        return f"{type(refusal).__name__}: {refusal}"


def _promise(function: str, row: Array) -> float:
    narrow = {"bool": "float32", "uint8": "float32", "int8": "float32", "int32": "float64", "int64": "float64"}
    dtype = str(row.dtype)
    return promised_ulp(function, narrow.get(dtype, dtype))
