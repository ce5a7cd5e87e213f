"""The functions of adaptive softmax: those of torch's layer with the same weights, and of exact arithmetic."""

import mpmath
import numpy as np
import pytest

from softmaxes import heads

D, V, N = 6, 30, 40


def weights(cutoffs=(8, 20), dtype=np.float64, seed=0):
    """Return random weights whose clusters see the hidden vectors through 3, 2, 1 features."""
    rng = np.random.default_rng(seed)
    edges = (*cutoffs, V)
    n_head = edges[0] + len(cutoffs)
    clusters = tuple(
        heads.Cluster(rng.standard_normal((3 - j, D)), rng.standard_normal((b - a, 3 - j)), rng.standard_normal(b - a))
        for j, (a, b) in enumerate(zip(cutoffs, edges[1:], strict=True))
    )
    made = heads.AdaptiveWeights(
        rng.permutation(V), rng.standard_normal((n_head, D)), rng.standard_normal(n_head), clusters
    )
    return heads.AdaptiveWeights.of(made.order, [x.astype(dtype) for x in made.arrays()])


def batch(dtype=np.float64):
    rng = np.random.default_rng(1)
    return rng.standard_normal((N, D)).astype(dtype), rng.integers(0, V, N)


def exact_log_softmax(weight, bias, h):
    z = [mpmath.fsum(mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(row, h, strict=True)) + mpmath.mpf(float(c))
         for row, c in zip(weight, bias, strict=True)]  # fmt: skip
    log_z = mpmath.log(mpmath.fsum(map(mpmath.exp, z)))
    return [v - log_z for v in z]


@pytest.mark.parametrize("cutoffs", ((8, 20), (29,), (1, 2, 3), ()))
def test_log_probabilities_are_those_of_exact_arithmetic(cutoffs):
    made, (hidden, _) = weights(cutoffs), batch()
    for h, found in zip(hidden[:3], heads.adaptive_log_softmax(hidden[:3], made), strict=True):
        head = exact_log_softmax(made.weight, made.bias, h)
        by_rank = head[: made.n_short]
        for j, cluster in enumerate(made.clusters):
            inside = exact_log_softmax(cluster.weight, cluster.bias, cluster.projection @ h)
            by_rank += [head[made.n_short + j] + x for x in inside]
        np.testing.assert_allclose(found[made.order], np.array(by_rank, float), rtol=1e-13, atol=0)


OPTIONS = {
    "mean": {},
    "sum": {"reduction": "sum", "sample_weight": np.arange(N) / 4},
    "weights": {"class_weight": np.linspace(0, 1, V)},
    "ignored": {"ignore_index": 3, "class_weight": np.linspace(0, 1, V), "sample_weight": np.arange(N) / 4},
}


def mean_of(log_probabilities, target, options):
    """Return the loss of the docstring from the log-probabilities of all classes."""
    scale = options.get("sample_weight", np.ones(N)) * (target != options.get("ignore_index"))
    scale = scale * options.get("class_weight", np.ones(V))[target]
    total = -(scale * log_probabilities[np.arange(N), target]).sum()
    return total if options.get("reduction") == "sum" else total / scale.sum()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_loss_is_the_weighted_mean_and_its_gradient_the_slope(options):
    made, (hidden, target) = weights(), batch()
    target[:3] = 3
    arrays = [hidden, *made.arrays()]

    def loss():
        return mean_of(heads.adaptive_log_softmax(hidden, made), target, options)

    assert heads.adaptive_cross_entropy(hidden, made, target, **options) == pytest.approx(loss(), rel=1e-13)
    value, (d_hidden, d_weights) = heads.adaptive_cross_entropy_and_gradient(hidden, made, target, **options)
    assert value == pytest.approx(loss(), rel=1e-13)
    for array, gradient in zip(arrays, [d_hidden, *d_weights.arrays()], strict=True):
        assert gradient.shape == array.shape
        for place in list(np.ndindex(array.shape))[::7]:
            kept, ends = array[place], []
            for step in (1e-5, -1e-5):
                array[place] = kept + step
                ends.append(loss())
            array[place] = kept
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7, abs=1e-8)


def test_single_losses_and_clusters_that_nobody_is_in():
    made, (hidden, _) = weights(), batch()
    target = made.order[np.arange(N) % 10]  # the short list and the first cluster
    losses = heads.adaptive_cross_entropy(hidden, made, target, reduction="none")
    everything = heads.adaptive_log_softmax(hidden, made)
    np.testing.assert_allclose(losses, -everything[np.arange(N), target], rtol=1e-13)
    _, (_, gradient) = heads.adaptive_cross_entropy_and_gradient(hidden, made, target)
    assert gradient.clusters[0].weight.any()
    assert not any(x.any() for x in (gradient.clusters[1].projection, gradient.clusters[1].weight))


@pytest.mark.parametrize("k", (1, 3, 12, V))
def test_the_best_classes_are_proven(k):
    made, (hidden, _) = weights(), batch()
    hidden *= 3
    everything = heads.adaptive_log_softmax(hidden, made)
    found = heads.adaptive_top_k(hidden, made, k)
    np.testing.assert_allclose(found.log_probabilities, -np.sort(-everything, axis=1)[:, :k], rtol=1e-13)
    assert (found.log_probabilities[:, -1] >= found.bounds).all()
    others = np.ones((N, V), bool)
    np.put_along_axis(others, found.classes, False, axis=1)
    left = np.where(others, everything, -np.inf).max(axis=1)
    assert (found.log_probabilities[:, -1] >= left).all()
    assert (found.n_evaluated < V).any() == (k < V)
    if k == 1:
        best = heads.adaptive_argmax(hidden, made)
        np.testing.assert_array_equal(best.classes, everything.argmax(axis=1))
        np.testing.assert_array_equal(best.bounds, found.bounds)


def test_the_values_and_gradients_are_those_of_torchs_layer():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.AdaptiveLogSoftmaxWithLoss(8, V, [8, 20], div_value=2.0, head_bias=True).double()
    parts = [layer.head.weight, layer.head.bias]
    for narrow, wide in layer.tail:
        parts += [narrow.weight, wide.weight, torch.zeros(wide.out_features, dtype=torch.float64)]
    made = heads.AdaptiveWeights.of(np.arange(V), [p.detach().numpy() for p in parts])
    hidden, target = np.random.default_rng(0).standard_normal((N, 8)), batch()[1]
    h = torch.from_numpy(hidden).requires_grad_(True)
    output = layer(h, torch.from_numpy(target))
    output.loss.backward()
    value, (d_hidden, d_weights) = heads.adaptive_cross_entropy_and_gradient(hidden, made, target)
    assert value == pytest.approx(float(output.loss.detach()), rel=1e-13)
    np.testing.assert_allclose(d_hidden, h.grad.numpy(), rtol=0, atol=1e-14)
    for p, gradient in zip(parts, d_weights.arrays(), strict=True):
        if p.grad is not None:
            np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=0, atol=1e-14)
    expected = layer.log_prob(h).detach().numpy()
    np.testing.assert_allclose(heads.adaptive_log_softmax(hidden, made), expected, rtol=1e-12)


def test_a_head_is_made_of_these_functions():
    hidden, target = batch(np.float32)
    head = heads.AdaptiveSoftmax(D, V, np.arange(V), 0, cutoffs=(8, 20))
    before = heads.adaptive_cross_entropy(hidden, head.weights, target)
    loss, _ = head.step(hidden, target)
    assert loss == pytest.approx(before, rel=1e-6)
    assert heads.adaptive_cross_entropy(hidden, head.weights, target) < before  # the weights are those of the head


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_the_dtype_is_kept(dtype):
    made, (hidden, target) = weights(dtype=dtype), batch(dtype)
    value, (d_hidden, d_weights) = heads.adaptive_cross_entropy_and_gradient(hidden, made, target)
    assert {x.dtype for x in (value, d_hidden, *d_weights.arrays())} == {np.dtype(dtype)}
    assert heads.adaptive_log_softmax(hidden, made).dtype == dtype


def test_an_empty_batch():
    made = weights()
    assert heads.adaptive_cross_entropy(np.zeros((0, D)), made, []) == 0
    value, (d_hidden, d_weights) = heads.adaptive_cross_entropy_and_gradient(np.zeros((0, D)), made, [])
    assert (value, d_hidden.shape) == (0, (0, D))
    assert not any(x.any() for x in d_weights.arrays())
    assert heads.adaptive_log_softmax(np.zeros((0, D)), made).shape == (0, V)
    assert heads.adaptive_top_k(np.zeros((0, D)), made, 2).classes.shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"order": np.zeros(V, int)}, "each of the classes 0 to 29 once"),
        ({"order": np.arange(V - 1)}, "weight has 10 rows; needed are 7"),
        ({"bias": np.zeros(3)}, r"bias has shape \(3,\); needed is \(10,\)"),
        ({"clusters": ()}, "needed are 30"),
        (
            {"clusters": (heads.Cluster(np.zeros((3, D)), np.zeros((12, 2)), np.zeros(12)), weights().clusters[1])},
            "cluster 0 has",
        ),
    ),
)
def test_weights_that_do_not_fit_are_refused(change, message):
    made = weights()
    given = {"order": made.order, "weight": made.weight, "bias": made.bias, "clusters": made.clusters} | change
    with pytest.raises(ValueError, match=message):
        heads.AdaptiveWeights(**given)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    (
        (lambda w, h, y: heads.adaptive_cross_entropy(h, w, y + V), ValueError, "but the logits have 30 classes"),
        (lambda w, h, y: heads.adaptive_cross_entropy(h, w, y[:3]), ValueError, "shape"),
        (lambda w, h, y: heads.adaptive_cross_entropy(h, w, y.astype(float)), TypeError, "class indices"),
        (lambda w, h, y: heads.adaptive_cross_entropy(h[:, :2], w, y), ValueError, "rows of 6 features"),
        (lambda w, h, y: heads.adaptive_cross_entropy(h, w, y, max_bytes=10), ValueError, "too small"),
        (lambda w, h, y: heads.adaptive_cross_entropy(h, w, y, reduction="all"), ValueError, "reduction='all'"),
        (lambda w, h, y: heads.adaptive_cross_entropy_and_gradient(h, w, y, reduction="none"), ValueError, "'none'"),
        (lambda w, h, y: heads.adaptive_top_k(h, w, 0), ValueError, "k=0"),
        (lambda w, h, y: heads.adaptive_log_softmax(h.astype(complex), w), TypeError, "complex"),
    ),
)
def test_bad_input_is_refused_with_the_reason(call, error, message):
    with pytest.raises(error, match=message):
        call(weights(), *batch())
