"""Evidence: everything that a report shows, as numbers and words that JSON can carry."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from math import isfinite, isnan
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes import metrics
from softmaxes.metrics.base import class_indices
from softmaxes.metrics.means import wilson
from softmaxes.report.judged import Judged

__all__ = [
    "Bin",
    "Certificate",
    "ClassRow",
    "Coefficient",
    "Column",
    "Confusion",
    "Evidence",
    "MistakeRow",
    "Reliability",
    "Score",
    "Step",
    "Training",
    "evidence",
    "evidence_of",
]

VERSION = 1
# The largest entries of a confusion matrix that are kept, and coefficients for each class: a page has an end.
MAX_CONFUSIONS = 20_000
MAX_COEFFICIENTS = 12
# A point of the reliability diagram stands for at least so many rows: fewer say nothing.
MIN_BIN_ROWS = 20


@dataclass(frozen=True)
class Score:
    """One score with its interval. proper: whether it is best for the true probabilities and nothing else."""

    value: float | None
    low: float | None
    high: float | None
    proper: bool
    lower_is_better: bool


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram; low and high bound the frequency (Wilson)."""

    confidence: float
    frequency: float
    low: float
    high: float
    share: float
    rows: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram of the top label: bins of equal width, joined until each holds some 20 rows.

    histogram: the share of the rows in each of the bins, not joined.
    """

    error: Score
    bins: tuple[Bin, ...]
    histogram: tuple[float, ...]


@dataclass(frozen=True)
class ClassRow:
    """One class. came: the weight of its rows among those judged; foretold: the probabilities given to it, added."""

    label: str
    trained_on: int | None
    rows: int
    came: float
    foretold: float
    precision: float | None
    recall: float | None
    recall_low: float
    recall_high: float
    f1: float | None
    log_loss: float | None


@dataclass(frozen=True)
class Confusion:
    """Weights of (true class, given class), largest first, as positions in `classes`; omitted: the weight left out."""

    pairs: tuple[tuple[int, int, float], ...]
    omitted: float


@dataclass(frozen=True)
class Step:
    """One iteration of the fit. bound: proven on objective - optimum; None where nothing is proven."""

    passes: float
    seconds: float
    objective: float
    bound: float | None


@dataclass(frozen=True)
class Certificate:
    """How near the optimum the fit stopped."""

    objective: float
    suboptimality_bound: float | None
    relative: float | None
    gradient_norm: float | None
    met: bool


@dataclass(frozen=True)
class Coefficient:
    """One coefficient, of one class and one feature (brought to variance 1), with its interval if known."""

    label: str
    feature: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Column:
    """One column of the training table: what it is, how much of it is missing, what was done to it."""

    name: str
    kind: str
    treatment: str
    missing: float | None = None
    features: int | None = None


@dataclass(frozen=True)
class MistakeRow:
    """One row that the model was surely wrong about."""

    row: int
    truth: str
    given: str
    probability: float
    probability_of_truth: float


@dataclass(frozen=True)
class Training:
    """What the model was trained on, and how; every part may be unknown (None or empty).

    calibrated_on: what the rows_calibrated are called after "fitted on N".
    """

    data: str | None = None
    target: str | None = None
    rows: int | None = None
    rows_calibrated: int | None = None
    calibrated_on: str | None = None
    class_counts: tuple[int, ...] = ()
    n_features: int | None = None
    penalty: str | None = None
    solver: str | None = None
    n_iter: int | None = None
    seconds: float | None = None
    trained_at: str | None = None
    calibration: str | None = None
    certificate: Certificate | None = None
    history: tuple[Step, ...] = ()
    coefficients: tuple[Coefficient, ...] = ()
    interval_note: str | None = None
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that a report shows, and nothing else. `to_dict` and `from_dict` carry it through JSON.

    scores, scores_before: by name, after and (if calibrated) before calibration. brier_calibration + brier_refinement
    is the Brier score. None stands for what is not a finite number.
    """

    version: int
    softmaxes: str
    title: str
    level: float
    rows: int
    judged_on: str
    classes: tuple[str, ...]
    scores: dict[str, Score]
    scores_before: dict[str, Score]
    baseline_log_loss: float | None
    brier_calibration: float | None
    brier_refinement: float | None
    reliability: Reliability
    reliability_before: Reliability | None
    per_class: tuple[ClassRow, ...]
    confusion: Confusion
    mistakes: tuple[MistakeRow, ...]
    training: Training

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `json.dumps(..., allow_nan=False)` takes."""
        return typing.cast("dict[str, Any]", _plain(asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the evidence that `to_dict` wrote; ValueError if it is not one."""
        if not isinstance(values, Mapping) or values.get("version") != VERSION:
            raise ValueError(f"not evidence of version {VERSION}.")
        try:
            return typing.cast(Self, _rebuilt(cls, values))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"malformed evidence: {error}.") from error


def evidence(
    probabilities: ArrayLike,
    y: ArrayLike,
    *,
    classes: Sequence[Any] | NDArray[Any] | None = None,
    sample_weight: ArrayLike | None = None,
    uncalibrated: ArrayLike | None = None,
    training: Training | None = None,
    title: str = "Model report",
    judged_on: str = "the held-out rows",
    level: float = 0.95,
) -> Evidence:
    """Return the evidence about a model from its probabilities on rows that it was not trained on.

    Parameters
    ----------
    probabilities : (n, K) array
        What the model says, calibrated if it is.
    y : (n,) array
        The true classes: column numbers, or labels with `classes`.
    classes : K labels, in the order of the columns
    sample_weight : (n,) array or None
    uncalibrated : (n, K) array or None
        The probabilities before calibration, if there was one.
    training : Training
        What is known of the model and of its data.
    title, judged_on : str
        The heading, and what the rows are called after "on".
    level : float
        Of all intervals.

    Examples
    --------
    >>> made = evidence([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]], ["no", "yes", "no"], classes=["no", "yes"])
    >>> round(made.scores["log_loss"].value, 4), made.mistakes[0].given
    (0.6067, 'yes')
    >>> Evidence.from_dict(made.to_dict()) == made
    True
    """
    p = np.asarray(probabilities)
    names = range(p.shape[1]) if classes is None and p.ndim == 2 else classes
    target = y if classes is None or p.ndim != 2 else class_indices(y, p.shape[1], classes)
    judged = Judged.of(p, target, sample_weight=sample_weight, uncalibrated=uncalibrated)
    labels = [str(name) for name in (names if names is not None else [])]
    return evidence_of(judged, labels, training=training, title=title, judged_on=judged_on, level=level)


def evidence_of(
    judged: Judged,
    classes: Sequence[Any],
    *,
    training: Training | None = None,
    title: str = "Model report",
    judged_on: str = "the held-out rows",
    level: float = 0.95,
) -> Evidence:
    """Return the evidence from a state that was merged from blocks of rows; see `evidence`.

    The empty state, `Judged()`, makes a report of the training alone.
    """
    from softmaxes import __version__

    training = training or Training()
    labels = tuple(str(label) for label in classes)
    if judged.count and judged.n_classes != len(labels):
        raise ValueError(f"{len(labels)} classes were named, but {judged.n_classes} were judged.")
    calibrated = judged.uncalibrated["accuracy"].count > 0
    return Evidence(
        version=VERSION,
        softmaxes=__version__,
        title=title,
        level=level,
        rows=judged.count if _weighs(judged) else 0,
        judged_on=judged_on,
        classes=labels,
        scores=_scores(judged.states, level),
        scores_before=_scores(judged.uncalibrated, level) if calibrated else {},
        baseline_log_loss=_baseline(judged),
        brier_calibration=_number(judged.states["brier_score"].calibration),
        brier_refinement=_number(judged.states["brier_score"].refinement),
        reliability=_reliability(judged.states, level),
        reliability_before=_reliability(judged.uncalibrated, level) if calibrated else None,
        per_class=_per_class(judged, labels, training, level),
        confusion=_confusion(judged.states["confusion"]),
        mistakes=tuple(
            MistakeRow(m.row, labels[m.truth], labels[m.given], m.probability, m.probability_of_truth)
            for m in judged.mistakes
        ),
        training=training,
    )


def _weighs(judged: Judged) -> bool:
    """Whether any row of positive weight was seen: else there is nothing to say."""
    return judged.count > 0 and not isnan(judged.states["accuracy"].value)


def _number(value: Any) -> float | None:
    return float(value) if value is not None and isfinite(value) else None


PROPER = ("log_loss", "brier_score")
HIGHER_IS_BETTER = ("accuracy", "top_5_accuracy")


def _score(name: str, state: metrics.Metric, level: float) -> Score:
    low, high = state.interval(level)
    return Score(_number(state.value), _number(low), _number(high), name in PROPER, name not in HIGHER_IS_BETTER)


def _scores(states: Mapping[str, metrics.Metric], level: float) -> dict[str, Score]:
    few = (states["accuracy"].n_classes or 0) <= 5
    left_out = {"confusion", *(["top_5_accuracy"] if few else [])}
    return {name: _score(name, state, level) for name, state in states.items() if name not in left_out}


def _reliability(states: Mapping[str, Any], level: float) -> Reliability:
    state = states["calibration_error"]
    (bins,) = state.reliability()
    drawn = []
    for share, confidence, frequency, rows in _joined(bins):
        low, high = wilson(min(max(frequency, 0.0), 1.0), rows, level)
        drawn.append(Bin(confidence, frequency, low, high, share, rows))
    histogram = [0.0] * state.bins
    for share, confidence in zip(bins.share.tolist(), bins.confidence.tolist(), strict=True):
        histogram[min(int(confidence * state.bins), state.bins - 1)] += share
    return Reliability(_score("calibration_error", state, level), tuple(drawn), tuple(histogram))


def _joined(bins: metrics.Bins) -> list[list[float]]:
    """Return [share, confidence, frequency, rows] of bins, joined with neighbours until each has MIN_BIN_ROWS."""
    joined: list[list[float]] = []
    columns = (bins.share, bins.confidence, bins.frequency, bins.count)
    for share, confidence, frequency, rows in zip(*(c.tolist() for c in columns), strict=True):
        if joined and min(joined[-1][3], rows) < MIN_BIN_ROWS:
            last = joined[-1]
            whole = last[0] + share
            last[1] = (last[0] * last[1] + share * confidence) / whole
            last[2] = (last[0] * last[2] + share * frequency) / whole
            last[0], last[3] = whole, last[3] + rows
        else:
            joined.append([share, confidence, frequency, rows])
    return joined


def _per_class_table(judged: Judged) -> NDArray[np.float64]:
    keys, table = judged.per_class.table(5)
    dense = np.zeros((judged.n_classes, 5))
    dense[keys] = table
    return dense


def _baseline(judged: Judged) -> float | None:
    """The log-loss of always answering with the class frequencies of these very rows: the entropy of the labels."""
    came = _per_class_table(judged)[:, 1]
    shares = came[came > 0] / came.sum()
    return float(-(shares * np.log(shares)).sum()) if len(shares) else None


def _per_class(judged: Judged, labels: tuple[str, ...], training: Training, level: float) -> tuple[ClassRow, ...]:
    if not _weighs(judged):
        return ()
    confusion = judged.states["confusion"]
    precision, recall, f1 = confusion.precision, confusion.recall, confusion.f1
    low, high = confusion.recall_interval(level)
    counts = training.class_counts or (None,) * len(labels)
    made = []
    for k, (rows, came, loss, impossible, foretold) in enumerate(_per_class_table(judged).tolist()):
        own_loss = None if impossible or not came else loss / came
        made.append(
            ClassRow(
                labels[k],
                counts[k],
                round(rows),
                came,
                foretold,
                _number(precision[k]),
                _number(recall[k]),
                float(low[k]),
                float(high[k]),
                _number(f1[k]),
                own_loss,
            )
        )
    return tuple(made)


def _confusion(state: metrics.ConfusionMatrix) -> Confusion:
    matrix = state.value
    flat = np.flatnonzero(matrix)
    flat = flat[np.argsort(-matrix.ravel()[flat], kind="stable")]
    kept, dropped = flat[:MAX_CONFUSIONS], flat[MAX_CONFUSIONS:]
    k = len(matrix)
    pairs = tuple((int(i // k), int(i % k), float(matrix.flat[i])) for i in kept)
    return Confusion(pairs, float(matrix.ravel()[dropped].sum()))


def _plain(value: Any) -> Any:
    """Return data for JSON; what is not finite becomes None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def _rebuilt(kind: Any, value: Any) -> Any:
    """Return plain data as the annotated type: a dataclass, a tuple, a dict, a union or a scalar."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in parts:
            return None
        return _rebuilt(next(part for part in parts if part is not type(None)), value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, Mapping) or set(value) != {f.name for f in fields(kind)}:
            raise ValueError(f"{kind.__name__} has other fields")
        return kind(**{name: _rebuilt(hints[name], part) for name, part in value.items()})
    if origin is tuple:
        inner = parts[:1] * len(value) if parts[1:] == (...,) else parts
        return tuple(_rebuilt(part, item) for part, item in zip(inner, value, strict=True))
    if origin is dict:
        return {str(key): _rebuilt(parts[1], item) for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} where {kind.__name__} was expected")
    return value
