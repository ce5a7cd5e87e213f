"""Every loss: value, gradient and Hessian product against its definition in mpmath, with every option combined."""

import itertools

import array_api_strict
import numpy as np
import pytest
from mpmath import exp, inf, log, mp, mpf

import softmaxes as sm
from softmaxes import losses

from . import exact_maps as exact
from .exact_losses import log_softmax, logsumexp, smoothed

mp.dps = max(mp.dps, 90)
SOFT, PRIOR = sm.Softmax(), (0.5, 0.2, 0.3)


def _p(m):
    return exact.definition(m)


def _cross_entropy(z, c):
    return -sum(a * b for a, b in zip(c, log_softmax(z), strict=True) if a)


def _own(m):
    """The member's own loss, linear in the masses for normalised scores, C times Fenchel-Young otherwise."""

    def loss(z, c):
        total = sum(c)
        return total * exact.Exact.of(m).loss(z, [x / total for x in c]) if total else mpf(0)

    return loss


def _fenchel_young_softmax(z, c):
    total = sum(c)
    q = [x / total for x in c]
    return total * sum(a * (log(a) - b) for a, b in zip(q, log_softmax(z), strict=True) if a)


def _focal(gamma):
    def loss(z, c):
        p = [exp(x) if x > -inf else mpf(0) for x in log_softmax(z)]
        return -sum(a * (1 - b) ** mpf(gamma) * log(b) for a, b in zip(c, p, strict=True) if a)

    return loss


def _brier(m):
    def loss(z, c):
        p = _p(m)(z)
        return sum(a * sum((b - int(j == k)) ** 2 for j, b in enumerate(p)) for k, a in enumerate(c))

    return loss


def _squared(m):
    def loss(z, c):
        p, total = _p(m)(z), sum(c)
        return total * sum((a - b / total) ** 2 for a, b in zip(p, c, strict=True)) / len(z) if total else mpf(0)

    return loss


def _margin(m, margin):
    def loss(z, c):
        return _own(m)([x - mpf(margin) if a else x for x, a in zip(z, c, strict=True)], c)

    return loss


def _adjusted(tau):
    def loss(z, c):
        return _cross_entropy([x + mpf(tau) * log(mpf(p)) for x, p in zip(z, PRIOR, strict=True)], c)

    return loss


def _zero_one(z, c):
    return sum(a * (1 - b) for a, b in zip(c, _p(sm.Hardmax())(z), strict=True))


LOSSES = {
    losses.Focal(2.0): _focal(2.0),
    losses.Focal(0.5): _focal(0.5),
    losses.Focal(0.0): _cross_entropy,
    losses.Brier(): _brier(SOFT),
    losses.Brier(sm.Taylor(2)): _brier(sm.Taylor(2)),
    losses.SquaredError(): _squared(SOFT),
    losses.ZeroOne(): _zero_one,
    losses.MapLoss(): _cross_entropy,
    losses.MapLoss(sm.Taylor(2)): _own(sm.Taylor(2)),
    losses.MapLoss(sm.Spherical(0.5)): _own(sm.Spherical(0.5)),
    losses.MapLoss(sm.Sparsemax()): _own(sm.Sparsemax()),
    losses.FenchelYoung(): _fenchel_young_softmax,
    losses.FenchelYoung(sm.Entmax(1.5)): _own(sm.Entmax(1.5)),
    losses.FenchelYoung(sm.Hardmax()): _own(sm.Hardmax()),
    losses.SoftMargin(0.75): _margin(SOFT, 0.75),
    losses.SoftMargin(0.75, sm.Taylor(2)): _margin(sm.Taylor(2), 0.75),
    losses.LogitAdjusted(PRIOR, 1.5): _adjusted(1.5),
    losses.CrossEntropy(): _cross_entropy,
    losses.CrossEntropy(base=2): lambda z, c: _cross_entropy(z, c) / log(mpf(2)),
    losses.CrossEntropy(z_loss=0.25): lambda z, c: _cross_entropy(z, c) + mpf(0.25) * logsumexp(z) ** 2,
}

_RNG = np.random.default_rng(11)
LOGITS = _RNG.normal(size=(4, 3)) * 1.5
LABELS = np.array([2, 0, 1, 2])
SOFT_TARGETS = _RNG.dirichlet(np.ones(3), size=4)
DIRECTION = _RNG.normal(size=(4, 3))
CLASS_WEIGHT, SAMPLE_WEIGHT = np.array([0.5, 2.0, 3.0]), np.array([1.0, 0.0, 2.5, 0.5])
OPTIONS = list(itertools.product((False, True), (False, True), (None, 1), ("mean", "sum", "none")))


def row_answers(definition, z, c):
    """Return the loss of one row, its gradient, and its Hessian times the row's direction, exactly."""
    exactly = exact.Exact(SOFT)

    def loss(x):
        return definition(x, c)

    def gradient(x):
        return exactly.gradient(loss, x)

    return loss(z), gradient(z), lambda v: exactly.along(gradient, z, v)


def reduced(loss, target, classes, samples, ignored, reduction):
    """Return the exact value, gradient and Hessian product of the whole problem, and the options that ask for it."""
    definition, labels = LOSSES[loss], target.ndim == 1
    options = {"reduction": reduction}
    w = CLASS_WEIGHT if classes else np.ones(3)
    s = SAMPLE_WEIGHT if samples else np.ones(4)
    if classes:
        options["class_weight"] = CLASS_WEIGHT
    if samples:
        options["sample_weight"] = SAMPLE_WEIGHT
    if ignored is not None:
        options["ignore_index"] = ignored
    value, gradient, curved, weight = np.zeros(4), np.zeros((4, 3)), np.zeros((4, 3)), np.zeros(4)
    for i in range(4):
        if ignored is not None and target[i] == ignored:
            continue
        q = np.eye(3)[target[i]] if labels else target[i]
        c = [mpf(float(a)) * mpf(float(b)) for a, b in zip(w, q, strict=True)]
        one, slope, bend = row_answers(definition, exact.numbers(LOGITS[i]), c)
        value[i] = s[i] * float(one)
        gradient[i] = s[i] * exact.floats(slope)
        curved[i] = s[i] * exact.floats(bend(exact.numbers(DIRECTION[i])))
        weight[i] = s[i] * (w[target[i]] if labels else 1.0)
    divisor = weight.sum() if reduction == "mean" else 1.0
    total = value if reduction == "none" else value.sum() / divisor
    return (total, gradient / divisor, curved / divisor), options


def close(got, expected, what):
    got = np.asarray(got)
    assert got.shape == np.shape(expected), what
    scale = 1 + np.max(np.abs(expected))
    assert np.max(np.abs(got - expected)) <= 2e-13 * scale, f"{what}: got {got}, expected {expected}"


def check(loss, implementation, options_list):
    """Hold an implementation of a loss to the exact answers."""
    for (classes, samples, ignored, reduction), target in itertools.product(options_list, (LABELS, SOFT_TARGETS)):
        if target is SOFT_TARGETS and (ignored is not None or isinstance(loss, losses.SoftMargin)):
            continue
        (value, gradient, curved), options = reduced(loss, target, classes, samples, ignored, reduction)
        close(implementation(LOGITS, target, **options), value, f"{loss} value {options}")
        got = implementation.value_and_gradient(LOGITS, target, **options)
        close(got[0], value, f"{loss} value {options}")
        close(got[1], gradient, f"{loss} gradient {options}")
        got = implementation.hessian_product(LOGITS, target, DIRECTION, **options)
        close(got, curved, f"{loss} Hessian {options}")


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_every_option_combined(loss):
    options = (
        OPTIONS if isinstance(loss, (losses.CrossEntropy, losses.Focal)) else [OPTIONS[0], OPTIONS[9], OPTIONS[-1]]
    )
    check(loss, loss, options)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_any_library_any_axis_and_float32(loss):
    expected = loss.value_and_gradient(LOGITS, LABELS)
    there = loss.value_and_gradient(array_api_strict.asarray(LOGITS), array_api_strict.asarray(LABELS))
    for a, b in zip(there, expected, strict=True):
        close(a, b, "array_api_strict")
    close(loss.value_and_gradient(LOGITS.T, LABELS, 0)[1].T, expected[1], "axis 0")
    narrow = loss.value_and_gradient(LOGITS.astype(np.float32), LABELS)
    assert narrow[1].dtype == np.float32 and np.allclose(narrow[1], expected[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_rows_that_do_not_count_are_out(loss):
    spoiled = LOGITS.copy()
    spoiled[1] = np.nan
    weight = np.array([1.0, 0.0, 1.0, 1.0])
    value, gradient = loss.value_and_gradient(spoiled, LABELS, sample_weight=weight)
    close(value, loss(np.delete(LOGITS, 1, 0), np.delete(LABELS, 1)), "value")
    assert np.all(gradient[1] == 0)
    value, gradient = loss.value_and_gradient(np.zeros((0, 3)), np.zeros(0, int))
    assert value == 0 and gradient.shape == (0, 3)


@pytest.mark.parametrize("loss", [k for k in LOSSES if not isinstance(k, losses.LogitAdjusted)], ids=repr)
def test_impossible_classes_have_no_gradient(loss):
    masked = np.insert(LOGITS, 1, -np.inf, axis=1)
    labels = np.where(LABELS >= 1, LABELS + 1, LABELS)
    gradient = loss.value_and_gradient(masked, labels)[1]
    assert np.all(gradient[:, 1] == 0)
    if not isinstance(loss, losses.SquaredError):  # that one divides by the number of classes
        close(np.delete(gradient, 1, 1), loss.value_and_gradient(LOGITS, LABELS)[1], "others")


def test_functions_are_their_values():
    pairs = [
        (losses.focal(LOGITS, LABELS, gamma=1.5), losses.Focal(1.5)),
        (losses.brier(LOGITS, LABELS), losses.Brier()),
        (losses.squared_error(LOGITS, LABELS), losses.SquaredError()),
        (losses.zero_one(LOGITS, LABELS), losses.ZeroOne()),
        (losses.perceptron(LOGITS, LABELS), losses.FenchelYoung(sm.Hardmax())),
        (losses.soft_margin_cross_entropy(LOGITS, LABELS, margin=0.5), losses.SoftMargin(0.5)),
        (losses.logit_adjusted_cross_entropy(LOGITS, LABELS, PRIOR), losses.LogitAdjusted(PRIOR)),
        (losses.log_taylor(LOGITS, LABELS, order=4), losses.MapLoss(sm.Taylor(4))),
        (losses.log_spherical(LOGITS, LABELS, epsilon=0.1), losses.MapLoss(sm.Spherical(0.1))),
        (sm.cross_entropy(LOGITS, LABELS, base=2), losses.CrossEntropy(base=2)),
    ]
    for value, loss in pairs:
        assert value == loss(LOGITS, LABELS), loss
    assert losses.fenchel_young(sm.Sparsemax()) == losses.FenchelYoung(sm.Sparsemax())


def test_cross_entropy_over_beta_tends_to_the_perceptron():
    for beta in (10.0, 100.0, 1000.0):
        assert sm.cross_entropy(LOGITS * beta, LABELS) / beta == pytest.approx(
            losses.perceptron(LOGITS, LABELS), abs=np.log(3) / beta
        )


def test_fenchel_young_is_zero_exactly_where_the_map_meets_the_target():
    for m in (sm.Softmax(), sm.Softmax(2.0), sm.Sparsemax(), sm.Entmax(1.5), sm.Entmax(1.3)):
        q = m(LOGITS)
        assert abs(losses.fenchel_young(m)(LOGITS, q)) < 1e-30, m
        assert losses.fenchel_young(m)(LOGITS, SOFT_TARGETS) > 1e-3
        # nearby, the loss is quadratic in the distance and keeps its digits
        near = np.abs(q + 1e-9 * (q > 0) * np.array([1, -1, 0.0]))
        near /= near.sum(1, keepdims=True)
        assert 0 < losses.fenchel_young(m)(LOGITS, near) < 1e-15


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: losses.Focal(-1.0), ValueError, "gamma"),
        (lambda: losses.SoftMargin(-1.0), ValueError, "margin"),
        (lambda: losses.SoftMargin()(LOGITS, SOFT_TARGETS), ValueError, "class indices"),
        (lambda: losses.FenchelYoung(sm.Taylor(2)), TypeError, "MapLoss"),
        (lambda: losses.LogitAdjusted((0.5, 0.0)), ValueError, "priors > 0"),
        (lambda: losses.LogitAdjusted((0.5, 0.5))(LOGITS, LABELS), ValueError, "2 classes"),
        (lambda: losses.MapLoss(sm.Linear())(LOGITS, LABELS), ValueError, "linear sums"),
        (lambda: losses.Brier().hessian_product(LOGITS, LABELS, DIRECTION[:2]), ValueError, "direction"),
        (lambda: losses.brier(LOGITS, LABELS, gama=2), TypeError, "gama"),
        (lambda: losses.MapLoss("sparsemx"), ValueError, "known are softmax"),
        (lambda: losses.CrossEntropy(base="2"), ValueError, "base='2'"),
        (lambda: losses.CrossEntropy(base=1), ValueError, "above 1"),
        (lambda: losses.SoftMargin("a"), TypeError, "margin='a'; one real number"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_maps_go_by_their_names():
    for kind in (losses.MapLoss, losses.FenchelYoung, losses.Brier, losses.SquaredError):
        assert kind(map="sparsemax") == kind(map=sm.Sparsemax())
    assert losses.fenchel_young("entmax") == losses.FenchelYoung(sm.Entmax(1.5))
    by_name = losses.soft_margin_cross_entropy(LOGITS, LABELS, map="taylor")
    assert by_name == losses.soft_margin_cross_entropy(LOGITS, LABELS, map=sm.Taylor(2))


# --- broken losses ------------------------------------------------------------------------------------------------


class _Wrong:
    """A loss with one of its three answers replaced."""

    def __init__(self, loss, **replaced):
        self.loss, self.replaced = loss, replaced

    def _call(self, name, *args, **options):
        if name in self.replaced:
            return self.replaced[name](self.loss, *args, **options)
        return getattr(self.loss, name)(*args, **options)

    def __call__(self, *args, **options):
        return self._call("__call__", *args, **options)

    def value_and_gradient(self, *args, **options):
        return self._call("value_and_gradient", *args, **options)

    def hessian_product(self, *args, **options):
        return self._call("hessian_product", *args, **options)


def _ignoring(name):
    def value_and_gradient(loss, *args, **options):
        options.pop(name, None)
        return loss.value_and_gradient(*args, **options)

    return value_and_gradient


SABOTEURS = {
    "sign twice": _Wrong(losses.CrossEntropy(), __call__=lambda f, *a, **o: -f(*a, **o)),
    "base 10 for ever": _Wrong(losses.CrossEntropy(base=2), __call__=lambda f, *a, **o: f(*a, **o) * np.log10(2)),
    "gradient of cross-entropy": _Wrong(
        losses.Focal(2.0), value_and_gradient=lambda f, *a, **o: losses.CrossEntropy().value_and_gradient(*a, **o)
    ),
    "gradient without class weights": _Wrong(losses.Focal(2.0), value_and_gradient=_ignoring("class_weight")),
    "gradient without sample weights": _Wrong(losses.Focal(2.0), value_and_gradient=_ignoring("sample_weight")),
    "gradient of the ignored too": _Wrong(losses.Focal(2.0), value_and_gradient=_ignoring("ignore_index")),
    "margin on every entry": _Wrong(
        losses.SoftMargin(0.75), __call__=lambda f, *a, **o: losses.CrossEntropy()(*a, **o)
    ),
    "prior with the wrong sign": _Wrong(
        losses.LogitAdjusted(PRIOR, 1.5), __call__=lambda f, *a, **o: losses.LogitAdjusted(PRIOR, -1.5)(*a, **o)
    ),
    "Fenchel-Young without Omega(y)": _Wrong(
        losses.FenchelYoung(), __call__=lambda f, *a, **o: losses.CrossEntropy()(*a, **o)
    ),
    "Gauss-Newton for the Hessian": _Wrong(
        losses.Brier(), hessian_product=lambda f, *a, **o: 2 * losses.CrossEntropy().hessian_product(*a, **o)
    ),
    "z-loss on the shifted lse": _Wrong(
        losses.CrossEntropy(z_loss=0.25),
        __call__=lambda f, z, *a, **o: f(z - z.max(axis=-1, keepdims=True), *a, **o),
    ),
}


@pytest.mark.parametrize("name", SABOTEURS)
def test_saboteur_is_caught(name):
    broken = SABOTEURS[name]
    with pytest.raises(AssertionError):
        check(broken.loss, broken, [OPTIONS[0], OPTIONS[9], OPTIONS[-1], OPTIONS[4]])


def test_smoothing_here_is_the_reference_for_cross_entropy():
    q = smoothed([mpf(1), mpf(0), mpf(0)], exact.numbers(LOGITS[0]), 0.1)
    expected = float(_cross_entropy(exact.numbers(LOGITS[0]), q))
    assert sm.cross_entropy(LOGITS[0], 0, label_smoothing=0.1) == pytest.approx(expected, rel=1e-14)
