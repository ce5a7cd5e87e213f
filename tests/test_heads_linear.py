"""linear_cross_entropy is the dense cross-entropy, whatever the options and the budget."""

import itertools
import tracemalloc

import mpmath
import numpy as np
import pytest

import softmaxes as sm
from softmaxes.heads.blocks import Product, plan

N, V, D = 13, 150, 7
OPTIONS = {
    "base": (None, 2.0),
    "reduction": ("mean", "sum", "none"),
    "label_smoothing": (0.0, 0.1),
    "class_weight": (False, True),
    "sample_weight": (False, True),
    "ignore_index": (None, 5),
    "z_loss": (0.0, 0.01),
}
GENEROUS = 2**26


def problem():
    """Return hidden, weight, bias, labels, distributions and the mask: with an impossible class and weights of 0."""
    rng = np.random.default_rng(0)
    hidden, weight, bias = rng.standard_normal((N, D)), rng.standard_normal((V, D)), rng.standard_normal(V)
    bias[3] = -np.inf
    labels = rng.integers(4, V, N)
    labels[2], labels[0] = 5, 7
    mask = rng.random((N, V)) > 0.2
    mask[np.arange(N), labels] = True
    mass = np.where(mask, rng.random((N, V)), 0)
    mass[:, 3] = 0
    return hidden, weight, bias, labels, mass / mass.sum(axis=1, keepdims=True), mask


def weights():
    rng = np.random.default_rng(1)
    of_classes, of_rows = rng.random(V), rng.random(N)
    of_classes[7], of_rows[1] = 0, 0
    return of_classes, of_rows


def least_budget(*arguments, **options):
    """Return the budget that the error message names."""
    with pytest.raises(ValueError, match=r"max_bytes=1 is too small.* needs \d+ bytes") as caught:
        sm.linear_cross_entropy_and_gradient(*arguments, max_bytes=1, **options)
    return int(str(caught.value).split()[-2])


def grid():
    of_classes, of_rows = weights()
    for values in itertools.product(*OPTIONS.values()):
        options = dict(zip(OPTIONS, values, strict=True))
        options["class_weight"] = of_classes if options["class_weight"] else None
        options["sample_weight"] = of_rows if options["sample_weight"] else None
        yield options


def largest_error(results, expected):
    return max(np.max(np.abs(r - e) / (1 + np.abs(e)), initial=0) for r, e in zip(results, expected, strict=True))


def dense(hidden, weight, target, bias, options):
    logits = hidden @ weight.T + (0 if bias is None else bias)
    value, g = sm.cross_entropy_and_gradient(logits, target, **options)
    return value, g @ weight, g.T @ hidden, g.sum(axis=0)


@pytest.mark.parametrize("soft", (False, True), ids=("labels", "distributions"))
@pytest.mark.parametrize("masked", (False, True), ids=("all", "where"))
@pytest.mark.parametrize("with_bias", (False, True), ids=("plain", "bias"))
@pytest.mark.parametrize("generous", (True, False), ids=("kept", "made twice"))
def test_every_combination_of_options_equals_the_dense_result(soft, masked, with_bias, generous):
    hidden, weight, bias, labels, distributions, mask = problem()
    target, bias = distributions if soft else labels, bias if with_bias else None
    for chosen in grid():
        if soft and chosen["ignore_index"] is not None:
            continue
        options = chosen | {"where": mask if masked else None}
        max_bytes = GENEROUS if generous else least_budget(hidden, weight, target, bias, **options)
        with np.errstate(invalid="ignore"):
            expected = dense(hidden, weight, target, bias, options)
        value = sm.linear_cross_entropy(hidden, weight, target, bias, max_bytes=max_bytes, **options)
        again, gradients = sm.linear_cross_entropy_and_gradient(
            hidden, weight, target, bias, max_bytes=max_bytes, **options
        )
        results = (again, *(g for g in gradients if g is not None))
        assert largest_error(results, expected[: len(results)]) < 1e-13, options
        assert largest_error([value], expected[:1]) < 1e-13, options


def test_the_two_budgets_of_the_grid_run_both_ways():
    hidden, weight, bias, labels, _, _ = problem()
    product = Product(N, V, D, 8)
    assert plan(product, GENEROUS).keep
    smallest = plan(product, least_budget(hidden, weight, labels, bias))
    assert not smallest.keep
    assert smallest.classes < V
    assert smallest.rows < N


def drop(name):
    """Return a broken version that forgets an option."""

    def broken(*args, **options):
        options.pop(name)
        return sm.linear_cross_entropy_and_gradient(*args, **options)

    return broken


def wrong_gradient(*args, **options):
    value, (d_hidden, d_weight, d_bias) = sm.linear_cross_entropy_and_gradient(*args, **options)
    return value, (d_hidden, d_weight * (1 + 1e-9), d_bias)


@pytest.mark.parametrize(
    "broken", [*(drop(name) for name in OPTIONS), wrong_gradient], ids=[*OPTIONS, "rounded gradient"]
)
def test_the_comparison_notices_a_broken_version(broken):
    hidden, weight, bias, labels, _, _ = problem()
    worst = 0.0
    for options in grid():
        with np.errstate(invalid="ignore"):
            expected = dense(hidden, weight, labels, bias, options)
            try:
                value, gradients = broken(hidden, weight, labels, bias, **options)
            except ValueError:
                return
        worst = max(worst, np.inf if np.shape(value) != np.shape(expected[0]) else
                    largest_error((value, *gradients), expected))  # fmt: skip
    assert worst > 1e-13


def test_value_and_gradients_are_those_of_exact_arithmetic():
    rng = np.random.default_rng(3)
    hidden, weight, bias = rng.standard_normal((2, 3)), rng.standard_normal((4, 3)), rng.standard_normal(4)
    target = [1, 3]

    def exact(*flat):
        h, w, b = flat[:6], flat[6:18], flat[18:]
        total = mpmath.mpf(0)
        for i, y in enumerate(target):
            z = [mpmath.fsum(h[3 * i + d] * w[3 * k + d] for d in range(3)) + b[k] for k in range(4)]
            total += mpmath.log(mpmath.fsum(mpmath.exp(v - z[y]) for v in z))
        return total / 2

    point = [mpmath.mpf(float(x)) for x in (*hidden.ravel(), *weight.ravel(), *bias)]
    with mpmath.workdps(40):
        value = exact(*point)
        step = mpmath.mpf(10) ** -15
        slopes = []
        for i in range(len(point)):
            up, down = [*point], [*point]
            up[i], down[i] = up[i] + step, down[i] - step
            slopes.append(float((exact(*up) - exact(*down)) / (2 * step)))
    got, (d_hidden, d_weight, d_bias) = sm.linear_cross_entropy_and_gradient(hidden, weight, target, bias)
    assert abs(got - float(value)) < 1e-15
    assert np.abs(np.concatenate([d_hidden.ravel(), d_weight.ravel(), d_bias]) - slopes).max() < 1e-15


@pytest.mark.parametrize("generous", (True, False))
def test_a_confident_row_keeps_its_relative_accuracy(generous):
    hidden, weight = np.array([[1.0, 0.0]]), np.zeros((V, 2))
    weight[0] = 40, 0
    max_bytes = GENEROUS if generous else least_budget(hidden, weight, [0])
    value, (_, d_weight, _) = sm.linear_cross_entropy_and_gradient(hidden, weight, [0], max_bytes=max_bytes)
    others = (V - 1) * mpmath.exp(-40)
    assert abs(value / float(mpmath.log1p(others)) - 1) < 1e-14
    assert abs(d_weight[0, 0] / float(-others / (1 + others)) - 1) < 1e-14


def test_the_same_budget_gives_the_same_bits():
    hidden, weight, bias, labels, _, _ = problem()
    for max_bytes in (least_budget(hidden, weight, labels, bias), 2**20):
        first, second = (
            sm.linear_cross_entropy_and_gradient(hidden, weight, labels, bias, max_bytes=max_bytes) for _ in range(2)
        )
        assert first[0] == second[0]
        for a, b in zip(first[1], second[1], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("max_bytes", (2**24, 2**22, 2**21))
@pytest.mark.parametrize(
    "options",
    (
        {},
        {"label_smoothing": 0.1, "class_weight": np.ones(20_000)},
        {"ignore_index": 0, "where": np.ones(20_000, bool)},
    ),
    ids=("plain", "smoothed", "masked"),
)
def test_the_budget_holds(max_bytes, options):
    rng = np.random.default_rng(0)
    hidden, weight = (
        rng.standard_normal((2000, 8), dtype=np.float32),
        rng.standard_normal((20_000, 8), dtype=np.float32),
    )
    labels, bias = rng.integers(0, 20_000, 2000), np.zeros(20_000, np.float32)
    results = hidden.nbytes + weight.nbytes + bias.nbytes
    for function, own in ((sm.linear_cross_entropy, 0), (sm.linear_cross_entropy_and_gradient, results)):
        function(hidden[:2], weight, labels[:2], bias, max_bytes=max_bytes, **options)  # imports are not the budget's
        tracemalloc.start()
        kept = function(hidden, weight, labels, bias, max_bytes=max_bytes, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - own <= max_bytes, kept[0]


def test_a_budget_too_small_names_the_least_that_works():
    hidden, weight, bias, labels, distributions, _ = problem()
    for target, smoothing in itertools.product((labels, distributions), (0.0, 0.1)):
        for function in (sm.linear_cross_entropy, sm.linear_cross_entropy_and_gradient):
            with pytest.raises(ValueError, match=r"max_bytes=10 is too small.* needs \d+ bytes") as caught:
                function(hidden, weight, target, bias, max_bytes=10, label_smoothing=smoothing)
            least = int(str(caught.value).split()[-2])
            function(hidden, weight, target, bias, max_bytes=least, label_smoothing=smoothing)
            with pytest.raises(ValueError, match=f"needs {least} bytes"):
                function(hidden, weight, target, bias, max_bytes=least - 1, label_smoothing=smoothing)


def test_a_row_of_nan_spoils_itself_alone():
    hidden, weight, _, labels, _, _ = problem()
    hidden[4] = np.nan
    losses = sm.linear_cross_entropy(hidden, weight, labels, reduction="none")
    np.testing.assert_array_equal(np.isnan(losses), np.arange(N) == 4)
    rest = np.arange(N) != 4
    np.testing.assert_array_equal(
        losses[rest], sm.linear_cross_entropy(hidden[rest], weight, labels[rest], reduction="none")
    )


def test_an_ignored_row_of_nan_is_never_touched():
    hidden, weight, bias, labels, _, _ = problem()
    spoilt, marked = hidden.copy(), labels.copy()
    spoilt[4], marked[4] = np.nan, -1
    rest = np.arange(N) != 4
    value, gradients = sm.linear_cross_entropy_and_gradient(spoilt, weight, marked, bias, ignore_index=-1)
    expected, exact = sm.linear_cross_entropy_and_gradient(hidden[rest], weight, labels[rest], bias)
    assert value == pytest.approx(expected, rel=1e-15)
    assert not gradients[0][4].any()
    np.testing.assert_allclose(gradients[0][rest], exact[0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(gradients[1], exact[1], rtol=0, atol=1e-15)


def test_infinite_logits_have_their_limit():
    hidden, weight = np.ones((1, 1)), np.zeros((4, 1))
    bias = np.array([np.inf, 0.0, np.inf, -np.inf])
    for label, loss in ((0, np.log(2)), (1, np.inf), (3, np.inf)):
        assert sm.linear_cross_entropy(hidden, weight, [label], bias) == pytest.approx(loss)
    assert np.isnan(sm.linear_cross_entropy(hidden, weight, [0], np.full(4, -np.inf)))


@pytest.mark.parametrize("shape", ((0,), (0, 3)))
def test_an_empty_batch_is_worth_nothing(shape):
    value, (d_hidden, d_weight, d_bias) = sm.linear_cross_entropy_and_gradient(
        np.zeros((*shape, D)), np.ones((V, D)), np.zeros(shape, int), np.ones(V)
    )
    assert value == 0
    assert d_hidden.shape == (*shape, D)
    assert not d_weight.any()
    assert not d_bias.any()


def test_leading_axes_are_kept():
    hidden, weight, bias, labels, _, _ = problem()
    h, y = hidden[:12].reshape(2, 3, 2, D), labels[:12].reshape(2, 3, 2)
    losses = sm.linear_cross_entropy(h, weight, y, bias, reduction="none")
    np.testing.assert_allclose(losses, sm.cross_entropy(h @ weight.T + bias, y, reduction="none"), rtol=1e-13)
    _, (d_hidden, _, _) = sm.linear_cross_entropy_and_gradient(h, weight, y, bias)
    assert d_hidden.shape == h.shape


@pytest.mark.parametrize(
    ("hidden_type", "weight_type", "result"),
    (
        ("float32", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("float16", "float16", "float16"),
        ("int8", "float32", "float32"),
        ("int64", "float32", "float64"),
        (">f4", "float32", "float32"),
    ),
)
def test_dtypes_follow_the_table(hidden_type, weight_type, result):
    hidden, weight, _, labels, _, _ = problem()
    h, w = (hidden * 2).astype(hidden_type), weight.astype(weight_type)
    value, (d_hidden, d_weight, d_bias) = sm.linear_cross_entropy_and_gradient(h, w, labels)
    assert value.dtype == result
    assert d_bias is None
    assert d_weight.dtype == weight_type
    exact, (e_hidden, e_weight, _) = sm.linear_cross_entropy_and_gradient(h.astype("f8"), w.astype("f8"), labels)
    for got, expected in ((value, exact), (d_hidden, e_hidden), (d_weight, e_weight)):
        tolerance = 20 * max(np.finfo(result).eps, np.finfo(got.dtype).eps)  # a few roundings of sums of seven products
        np.testing.assert_allclose(got.astype("f8"), expected, rtol=tolerance, atol=tolerance)


def test_strided_and_read_only_arrays_give_the_same():
    hidden, weight, bias, labels, _, _ = problem()
    expected = sm.linear_cross_entropy(hidden, weight, labels, bias)
    padded = np.zeros((2 * N, 2 * D))
    padded[::2, ::2] = hidden
    strided = padded[::2, ::2]
    strided.flags.writeable = False
    assert sm.linear_cross_entropy(strided, np.asfortranarray(weight), labels, bias) == pytest.approx(
        expected, rel=1e-15
    )


H, W, Y = np.zeros((2, 3)), np.zeros((5, 3)), [0, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    (
        ((H, W, [0, 5]), {}, ValueError, "5, but the logits have 5 classes"),
        ((H, W, [0, -1]), {}, ValueError, "-1"),
        ((H, W, [0]), {}, ValueError, "shape"),
        ((H, W, np.full((2, 5), 0.5)), {}, ValueError, "adds up to"),
        ((H, W.T, Y), {}, ValueError, r"needed are \(\.\.\., D\), \(V, D\)"),
        ((H, W, Y, np.zeros(4)), {}, ValueError, r"bias \(4,\)"),
        ((H, W, Y), {"reduction": "average"}, ValueError, "'mean', 'sum', 'none'"),
        ((H, W, Y), {"label_smoothing": 1.5}, ValueError, "label_smoothing=1.5"),
        ((H, W, Y), {"base": 1.0}, ValueError, "base"),
        ((H, W, Y), {"z_loss": -1.0}, ValueError, "z_loss"),
        ((H, W, Y), {"class_weight": np.ones(4)}, ValueError, "class_weight has shape"),
        ((H, W, Y), {"sample_weight": [-1.0, 1.0]}, ValueError, "sample_weight holds -1"),
        ((H.astype(complex), W, Y), {}, TypeError, "complex"),
        ((np.ma.masked_array(H), W, Y), {}, TypeError, "mask"),
    ),
)
def test_bad_input_is_refused_with_the_reason(arguments, options, error, message):
    for function in (sm.linear_cross_entropy, sm.linear_cross_entropy_and_gradient):
        with pytest.raises(error, match=message):
            function(*arguments, **options)
