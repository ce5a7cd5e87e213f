"""Laws of the metrics: brute-force values, exact merging, honest intervals, refused input."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from softmaxes import metrics as sm
from softmaxes.metrics.base import Rows
from softmaxes.metrics.bins import N_FINE_CELLS, equal_width_cells, fine_cells
from softmaxes.metrics.tally import Tally

METRICS = [
    sm.LogLoss(),
    sm.Brier(),
    sm.Brier(bins=4),
    sm.Accuracy(),
    sm.TopK(k=2),
    sm.CalibrationError(),
    sm.CalibrationError(bins=7, scheme="equal_mass"),
    sm.CalibrationError(kind="classwise"),
    sm.CalibrationError(bins=5, scheme="equal_mass", kind="classwise"),
    sm.DebiasedCalibrationError(),
    sm.DebiasedCalibrationError(scheme="equal_width", kind="classwise"),
    sm.SmoothCalibrationError(),
    sm.ConfusionMatrix(),
]
SCALARS = [m for m in METRICS if not isinstance(m, sm.ConfusionMatrix)]


def rows(n=300, k=4, seed=0, sharpness=1.5, weighted=True):
    """Probabilities with hard members (exact 0 and 1, ties), labels, and weights that include 0."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * sharpness
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(k, p=row) for row in p])
    p[0], y[0] = np.eye(k)[1], 1
    p[1] = 1.0 / k
    p[2, :2], p[2, 2:] = 0.5, 0.0
    y[2] = 1
    w = rng.exponential(size=n) * (rng.uniform(size=n) > 0.1) if weighted else np.ones(n)
    return p, y, w


# ---- values, against plain loops over rows in exact arithmetic


def brute_mean(scores, w):
    return float(
        sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(scores, w, strict=True)) / sum(map(Fraction, w))
    )


def brute_log_loss(p, y, w):
    return brute_mean([-math.log(row[c]) for row, c in zip(p, y, strict=True)], w)


def brute_brier(p, y, w):
    return brute_mean([sum((q - (j == c)) ** 2 for j, q in enumerate(row)) for row, c in zip(p, y, strict=True)], w)


def brute_accuracy(p, y, w):
    return brute_mean([float(list(row).index(max(row)) == c) for row, c in zip(p, y, strict=True)], w)


def brute_top_two(p, y, w):
    hits = []
    for row, c in zip(p, y, strict=True):
        order = sorted(range(len(row)), key=lambda j: (-row[j], j))
        hits.append(float(c in order[:2]))
    return brute_mean(hits, w)


def brute_equal_width(p, hit, w, bins):
    """ECE of one stream of (probability, came true)."""
    total, error = float(np.sum(w)), 0.0
    for b in range(bins):
        inside = [i for i, q in enumerate(p) if b / bins <= q < (b + 1) / bins or (b == bins - 1 and q == 1.0)]
        error += abs(sum(w[i] * (hit[i] - p[i]) for i in inside)) / total
    return error


def brute_top_label_ece(p, y, w, bins=15):
    top = [list(row).index(max(row)) for row in p]
    return brute_equal_width(
        [row[t] for row, t in zip(p, top, strict=True)], [t == c for t, c in zip(top, y, strict=True)], w, bins
    )


def brute_classwise_ece(p, y, w, bins=15):
    return float(np.mean([brute_equal_width(p[:, k], y == k, w, bins) for k in range(p.shape[1])]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("metric", "brute"),
    [
        (sm.LogLoss(), brute_log_loss),
        (sm.Brier(), brute_brier),
        (sm.Accuracy(), brute_accuracy),
        (sm.TopK(k=2), brute_top_two),
        (sm.CalibrationError(), brute_top_label_ece),
        (sm.CalibrationError(kind="classwise"), brute_classwise_ece),
    ],
    ids=repr,
)
def test_value_is_the_plain_loop(metric, brute, weighted):
    p, y, w = rows(weighted=weighted)
    assert metric.of(p, y, sample_weight=w).value == pytest.approx(brute(p, y, w), rel=1e-14)


def test_means_are_rounded_once():
    # Exact sums: the mean of 10^6 equal losses is that loss, to the bit, and adding 1e16 first would lose nothing.
    p = np.tile([[0.3, 0.7]], (100_001, 1))
    assert sm.accuracy(p, np.ones(len(p), int)) == 1.0
    assert sm.log_loss(p, np.ones(len(p), int)) == -np.log(0.7)


def test_equal_mass_agrees_with_sorting_when_bins_fall_on_cell_edges():
    # 60 distinct probabilities, 6 bins of 10 rows each: sorting and the fine histogram must cut at the same places.
    rng = np.random.default_rng(1)
    p = np.sort(rng.uniform(0.5, 1.0, 60))
    hit = rng.uniform(size=60) < 0.7
    expected = sum(abs(np.sum(hit[i : i + 10] - p[i : i + 10])) / 60 for i in range(0, 60, 10))
    assert len(set(fine_cells(p).tolist())) > 50
    error = sm.calibration_error(np.column_stack([p, 1 - p]), np.where(hit, 0, 1), bins=6, scheme="equal_mass")
    assert error == pytest.approx(expected, abs=2 / 60 * 0.02)


def test_equal_mass_resolution_is_as_documented():
    rng = np.random.default_rng(2)
    p = 1 - rng.beta(0.3, 2.0, 20_000) / 2
    hit = rng.uniform(size=len(p)) < p**1.3
    order = np.argsort(p)
    parts = np.array_split(order, 15)
    expected = sum(abs(np.sum(hit[i] - p[i])) for i in parts) / len(p)
    error = sm.calibration_error(np.column_stack([p, 1 - p]), np.where(hit, 0, 1), scheme="equal_mass")
    assert error == pytest.approx(expected, abs=5e-4)


def test_equal_mass_bins_do_not_depend_on_the_order_of_equal_probabilities():
    p = np.tile([[0.7, 0.3]], (100, 1))
    y = np.arange(100) % 3 % 2
    shuffled = np.random.default_rng(0).permutation(y)
    assert sm.calibration_error(p, y, scheme="equal_mass") == sm.calibration_error(p, shuffled, scheme="equal_mass")


def test_equal_width_cells_keep_their_edges():
    for bins in (1, 3, 7, 10, 15, 100):
        edges = np.arange(bins + 1) / bins
        p = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 1)[:-1]])
        expected = [min(sum(q >= e for e in edges) - 1, bins - 1) for q in p]
        assert equal_width_cells(p, bins).tolist() == expected


def test_fine_cells_increase_and_are_fine():
    p = np.unique(
        np.concatenate([np.linspace(0, 1, 100_001), 10.0 ** -np.arange(1, 300), 1 - 2.0 ** -np.arange(1, 53)])
    )
    cells = fine_cells(p)
    assert (np.diff(cells) >= 0).all()
    assert cells[0] >= 0 and cells[-1] < N_FINE_CELLS
    near = np.minimum(p, 1 - p)
    wide = near > 2.0**-62
    for cell in np.unique(cells[wide])[::97]:
        inside = near[wide & (cells == cell)]
        assert inside.max() / inside.min() <= 1 + 1 / 256


def test_one_falls_in_the_last_bin():
    p, y = np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 0]
    for bins in (1, 2, 10, 15):
        for scheme in ("equal_width", "equal_mass"):
            state = sm.CalibrationError(bins=bins, scheme=scheme).of(p, y)
            assert state.value == 0.5
            assert sum(b.share.sum() for b in state.reliability()) == pytest.approx(1.0)
            assert state.count == 2


def test_debiased_square_is_unbiased():
    # Constant confidence 0.8, truth 0.7: one bin, true squared error 0.01. Average over many small samples.
    rng = np.random.default_rng(3)
    squares = []
    for _ in range(2000):
        y = (rng.uniform(size=20) > 0.7).astype(int)
        squares.append(sm.DebiasedCalibrationError(bins=1).of(np.tile([[0.8, 0.2]], (20, 1)), y).squared)
    error = np.std(squares) / np.sqrt(len(squares))
    assert abs(np.mean(squares) - 0.01) < 4 * error
    assert error < 0.001


def test_smooth_error_is_the_fixed_point_of_the_definition():
    # A direct sum over rows and reflections, without cells or transforms.
    p, y, w = rows(200, 3, seed=5, sharpness=1.0)
    value = sm.SmoothCalibrationError.of(p, y, sample_weight=w).value
    top = p.argmax(axis=1)
    f, r = p[np.arange(len(p)), top], (top == y) - p[np.arange(len(p)), top]
    t = (np.arange(4000) + 0.5) / 4000
    images = np.concatenate([s * f + shift for shift in (-2, 0, 2) for s in (1, -1)])
    kernel = np.exp(-((t[:, None] - images) ** 2) / (2 * value**2)) / (value * math.sqrt(2 * math.pi))
    smoothed = kernel @ np.tile(w * r, 6) / w.sum()
    assert np.abs(smoothed).mean() == pytest.approx(value, abs=2e-4)


def test_brier_split_finds_the_calibration_part():
    # Truth q, forecast f(q): the calibration part is 2 E (q - f)^2, here with bins that do not blur it.
    rng = np.random.default_rng(4)
    q = rng.choice([0.1, 0.4, 0.8], size=50_000)
    forecast = np.where(q == 0.1, 0.2, q)
    y = (rng.uniform(size=len(q)) < q).astype(int)
    state = sm.Brier.of(np.column_stack([1 - forecast, forecast]), y)
    assert state.calibration == pytest.approx(2 * 0.01 / 3, abs=1e-3)
    assert state.calibration + state.refinement == pytest.approx(state.value, rel=1e-15)
    assert state.refinement == pytest.approx(2 * np.mean([0.09, 0.24, 0.16]), abs=4e-3)


def test_confusion_reads_as_it_should():
    p = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    state = sm.ConfusionMatrix.of(
        p, ["a", "b", "b", "c", "c", "a"], classes=["a", "b", "c"], sample_weight=[1, 2, 3, 4, 5, 6]
    )
    np.testing.assert_array_equal(state.value, [[1, 0, 6], [2, 3, 0], [0, 0, 9]])
    np.testing.assert_allclose(state.recall, [1 / 7, 3 / 5, 1])
    np.testing.assert_allclose(state.precision, [1 / 3, 1, 9 / 15])
    np.testing.assert_allclose(state.f1, [2 / 10, 6 / 8, 18 / 24])
    low, high = state.interval()
    assert ((low <= state.value / state.support[:, None]) & (state.value / state.support[:, None] <= high)).all()


# ---- merging


def splits(n, seed):
    rng = np.random.default_rng(seed)
    return np.array_split(rng.permutation(n), rng.integers(2, 9))


def merges_exactly(metric):
    p, y, w = rows()
    whole = metric.of(p, y, sample_weight=w)
    for seed in range(3):
        parts = [metric.of(p[i], y[i], sample_weight=w[i]) for i in splits(len(p), seed)]
        left = metric
        for part in parts:
            left = left.merge(part)
        right = metric
        for part in parts:
            right = part.merge(right)
        if not (left == right == whole and np.array_equal(left.value, whole.value)):
            return False
        if not np.array_equal(left.interval(0.9), whole.interval(0.9)):
            return False
    return whole.count == len(p)


def empty_is_neutral(metric):
    p, y, w = rows(20)
    state = metric.of(p, y, sample_weight=w)
    return metric.merge(state) == state == state.merge(metric) and state.of(p, y, sample_weight=w) == state


def weights_count_rows(metric):
    """A weight of 2 has the value of the row given twice; a weight of 0 that of leaving it out."""
    p, y, _ = rows(60)
    times = np.random.default_rng(7).integers(0, 3, len(y))
    again = np.repeat(np.arange(len(y)), times)
    weighted, repeated = metric.of(p, y, sample_weight=times), metric.of(p[again], y[again])
    if isinstance(metric, sm.DebiasedCalibrationError):  # equal values, other noise: rows given twice look less noisy
        return True
    return np.allclose(weighted.value, repeated.value, rtol=1e-12)


def ones_are_no_weights(metric):
    p, y, _ = rows(50)
    return metric.of(p, y, sample_weight=np.ones(50)) == metric.of(p, y)


def labels_are_columns(metric):
    p, y, w = rows(50)
    names = np.array(["delta", "alpha", "charlie", "bravo"])
    return metric.of(p, names[y], sample_weight=w, classes=names) == metric.of(p, y, sample_weight=w)


LAWS = [merges_exactly, empty_is_neutral, weights_count_rows, ones_are_no_weights, labels_are_columns]


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_metric_obeys(metric, law):
    assert law(metric)


class MeanOfMeans(sm.LogLoss):
    """Merges values instead of sums."""

    def merge(self, other):
        if not self.count or not other.count:
            return super().merge(other)
        return replace(self, tally=max(self.tally, other.tally, key=lambda t: t.sums()[2]))


class ForgetsWeights(sm.Accuracy):
    def tallied(self, rows):
        return super().tallied(Rows(rows.probabilities, rows.target, np.ones_like(rows.weight)))


class RoundedSums(sm.LogLoss):
    """Rounds every sum to a multiple of 2**-40, so that the order shows."""

    def merge(self, other):
        merged = super().merge(other)
        rounded = {key: tuple((part >> 1066) << 1066 for part in sums) for key, sums in merged.tally.cells.items()}
        return replace(merged, tally=Tally(rounded))


class SortsLabels(sm.Accuracy):
    """Takes the columns to be in the labels' sorted order."""

    def tallied(self, rows):
        return super().tallied(Rows(rows.probabilities, np.array([3, 0, 2, 1])[rows.target], rows.weight))


@dataclass(frozen=True)
class KeepsItself(sm.Accuracy):
    """The neutral element is not neutral: an empty state counts one phantom row."""

    def merge(self, other):
        return super().merge(other) if self.tally.cells else self


@pytest.mark.parametrize("saboteur", [MeanOfMeans(), ForgetsWeights(), RoundedSums(), KeepsItself()], ids=repr)
def test_some_law_notices(saboteur):
    assert not all(law(saboteur) for law in LAWS)


def test_label_order_is_noticed_by_value():
    p, y, w = rows()
    assert SortsLabels.of(p, y, sample_weight=w).value != pytest.approx(brute_accuracy(p, y, w))


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_states_that_do_not_belong_together_do_not_merge(metric):
    p, y, _ = rows(20, 4)
    other = sm.TopK(k=9) if not isinstance(metric, sm.TopK) else sm.Accuracy()
    with pytest.raises(ValueError, match="only states of one metric"):
        metric.merge(other)
    with pytest.raises(ValueError, match="different numbers of classes"):
        metric.of(p, y).merge(metric.of(*rows(20, 3)[:2]))


@pytest.mark.parametrize("metric", SCALARS, ids=repr)
def test_nothing_seen_is_nan_and_the_widest_interval(metric):
    for state in (
        metric,
        metric.of(np.empty((0, 3)), np.empty(0, int)),
        metric.of([[0.5, 0.5]], [0], sample_weight=[0.0]),
    ):
        assert math.isnan(state.value)
        low, high = state.interval()
        assert low == 0 and high >= 1


# ---- intervals


@pytest.mark.parametrize("metric", SCALARS, ids=repr)
def test_interval_covers_the_population(metric):
    """Draw samples from a known population of 12 kinds of row; the nominal 95 % must cover at least 90 %."""
    rng = np.random.default_rng(11)
    z = rng.normal(size=(12, 3)) * 1.5
    truth = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    sharp = np.exp(1.3 * z) / np.exp(1.3 * z).sum(axis=1, keepdims=True)
    pairs = [(i, k) for i in range(12) for k in range(3)]
    everything = metric.of(sharp[[i for i, _ in pairs]], [k for _, k in pairs], sample_weight=[truth[p] for p in pairs])
    # The population's own value has no sampling noise to subtract.
    value = everything.value
    if isinstance(metric, sm.DebiasedCalibrationError):
        value = math.sqrt(np.mean([(b.share * b.gap**2).sum() for b in everything.reliability()]))
    covered, trials = 0, 60
    for _ in range(trials):
        kind = rng.integers(0, 12, 800)
        y = (rng.uniform(size=800)[:, None] > truth[kind].cumsum(axis=1)).sum(axis=1)
        low, high = metric.of(sharp[kind], np.minimum(y, 2)).interval(0.95)
        covered += low <= value <= high
        assert high - low < 0.3
    assert covered >= 0.9 * trials


def test_equal_scores_have_no_spread():
    low, high = sm.LogLoss.of([[0.9, 0.1], [0.1, 0.9]] * 5, [1, 0] * 5).interval()
    assert low == pytest.approx(high, rel=1e-7) == pytest.approx(math.log(10), rel=1e-7)


def test_interval_widens_with_level():
    p, y, w = rows()
    for metric in SCALARS:
        state = metric.of(p, y, sample_weight=w)
        (a, b), (c, d) = state.interval(0.5), state.interval(0.99)
        assert c <= a <= b <= d and (c, d) != (a, b)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        sm.Accuracy.of(p, y).interval(95)


# ---- what is refused


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@pytest.mark.parametrize(
    ("probabilities", "y", "keywords", "match"),
    [
        ([[2.0, -1.0]], [0], {}, "look like logits: pass softmaxes.softmax"),
        ([[3.0, 4.0]], [0], {}, "look like logits"),
        ([[-0.1, -2.3520]], [0], {}, "look like log-probabilities"),
        ([[0.5, 0.4]], [0], {}, "sum 0.9.*divide each row by its sum"),
        ([[0.5, np.nan]], [0], {}, "must be finite, but row 0 is"),
        ([[0.5, 0.5], [np.inf, 0.0]], [0, 0], {}, "row 1 is"),
        ([0.5, 0.5], [0, 1], {}, "column_stack"),
        (np.empty((1, 0)), [0], {}, "no class columns"),
        ([[0.5, 0.5]], [2], {}, r"contains 2, .* 0\.\.1"),
        ([[0.5, 0.5]], [-1], {}, "contains -1"),
        ([[0.5, 0.5]], ["a"], {}, "pass classes="),
        ([[0.5, 0.5]], ["c"], {"classes": ["a", "b"]}, "'c'.* is not one of the 2 classes"),
        ([[0.5, 0.5]], ["a"], {"classes": ["a", "a"]}, "distinct"),
        ([[0.5, 0.5]], ["a"], {"classes": ["a"]}, "name the 2 columns"),
        ([[0.5, 0.5]], [0.5], {}, "class indices"),
        ([[0.5, 0.5]], [[0]], {}, "one label per row"),
        ([[0.5, 0.5]], [0, 1], {}, "1 rows of probabilities but 2 labels"),
        ([[0.5, 0.5]], [0], {"sample_weight": [-1.0]}, "finite and >= 0"),
        ([[0.5, 0.5]], [0], {"sample_weight": [1.0, 1.0]}, "shape"),
    ],
)
def test_refused_with_advice(metric, probabilities, y, keywords, match):
    with pytest.raises(ValueError, match=match):
        metric.of(probabilities, y, **keywords)


def test_refused_types_and_settings():
    with pytest.raises(TypeError, match="complex128"):
        sm.log_loss(np.ones((1, 1), complex), [0])
    with pytest.raises(ValueError, match="bins must be an integer >= 1"):
        sm.CalibrationError(bins=0)
    with pytest.raises(ValueError, match="scheme must be"):
        sm.CalibrationError(scheme="quantile")
    with pytest.raises(ValueError, match="kind must be"):
        sm.CalibrationError(kind="marginal")
    with pytest.raises(ValueError, match="k must be"):
        sm.TopK(k=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_rounding_of_the_producer_is_accepted(dtype):
    z = np.random.default_rng(0).normal(size=(50, 1000)).astype(np.float64)
    p = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).astype(dtype)
    assert 0 <= sm.accuracy(p, np.zeros(50, int)) <= 1


def test_an_impossible_truth_is_infinite_unless_it_weighs_nothing():
    p = [[1.0, 0.0], [0.5, 0.5]]
    state = sm.LogLoss.of(p, [1, 0])
    assert state.value == math.inf and state.interval() == (math.inf, math.inf) and state.impossible == 1
    assert sm.LogLoss.of(p, [1, 0], sample_weight=[0.0, 1.0]).value == math.log(2)


def test_settings_may_be_given_to_of_and_states_keep_them():
    p, y, _ = rows(40)
    state = sm.CalibrationError.of(p, y, bins=5, scheme="equal_mass")
    assert state == sm.CalibrationError(bins=5, scheme="equal_mass").of(p, y)
    assert repr(state) == "CalibrationError(bins=5, scheme='equal_mass', kind='top_label')"


@pytest.mark.parametrize(
    ("function", "metric"),
    [
        (sm.log_loss, sm.LogLoss),
        (sm.brier, sm.Brier),
        (sm.accuracy, sm.Accuracy),
        (sm.top_k, sm.TopK),
        (sm.calibration_error, sm.CalibrationError),
        (sm.debiased_calibration_error, sm.DebiasedCalibrationError),
        (sm.smooth_calibration_error, sm.SmoothCalibrationError),
        (sm.confusion_matrix, sm.ConfusionMatrix),
    ],
)
def test_each_function_is_its_metric(function, metric):
    p, y, w = rows(50)
    np.testing.assert_array_equal(function(p, y, sample_weight=w), metric.of(p, y, sample_weight=w).value)
