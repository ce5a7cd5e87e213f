"""Laws that every head obeys, and broken heads that they must catch."""

from itertools import pairwise

import numpy as np
import pytest

from softmaxes import heads

D, V, N = 5, 23, 12
COUNTS = np.random.default_rng(0).permutation(1000 // np.arange(1, V + 1)) * (np.arange(V) != 4)  # class 4: never seen

EXACT = {
    "full": lambda **o: heads.FullSoftmax(D, V, **o),
    "adaptive": lambda **o: heads.AdaptiveSoftmax(D, V, cutoffs=(4, 11), **o),
    "adaptive without clusters": lambda **o: heads.AdaptiveSoftmax(D, V, cutoffs=(), **o),
    "adaptive with lonely classes": lambda **o: heads.AdaptiveSoftmax(D, V, cutoffs=(1, 2, 22), **o),
    "hierarchical": lambda **o: heads.HierarchicalSoftmax(D, V, **o),
    "taylor": lambda **o: heads.SphericalHead(D, V, **o),
    "spherical": lambda **o: heads.SphericalHead(D, V, map="spherical", epsilon=0.1, **o),
}
SAMPLED = {
    "sampled": lambda **o: heads.SampledSoftmax(D, V, n_samples=8, **o),
    "log-uniform": lambda **o: heads.SampledSoftmax(D, V, n_samples=8, sampler="log_uniform", **o),
    "top mix": lambda **o: heads.SampledSoftmax(D, V, n_samples=8, sampler="top_mix", **o),
    "nce": lambda **o: heads.SampledSoftmax(D, V, n_samples=8, loss="nce", **o),
}


def made(make, **options):
    return make(**({"counts": COUNTS, "rng": 7, "dtype": "float64", "learning_rate": 0.3} | options))


def batch(seed=1, n=N):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, D)), rng.choice(np.setdiff1d(np.arange(V), [4]), n)


def trained(make, **options):
    head = made(make, **options)
    hidden, target = batch()
    for _ in range(5):
        head.step(hidden, target)
    return head


def parameters(head):
    return head.log_prob(np.vstack([np.zeros(D), np.eye(D)]))


# laws about the distribution


def probabilities_add_up_to_one(make):
    p = np.exp(trained(make).log_prob(batch()[0]))
    return p.shape == (N, V) and np.abs(p.sum(axis=1) - 1).max() < 1e-12 and (p > 0).all()


def the_loss_is_the_mean_of_the_log_probabilities(make):
    head, (hidden, target) = trained(make), batch(2)
    expected = -head.log_prob(hidden)[np.arange(N), target].mean()
    return abs(head.loss(hidden, target) - expected) < 1e-12


def prediction_is_the_argmax(make):
    head, (hidden, _) = trained(make), batch(3, 40)
    return (head.predict(hidden) == head.log_prob(hidden).argmax(axis=1)).all()


def top_k_are_the_k_largest_in_order(make):
    head, (hidden, _) = trained(make), batch(3)
    everything = head.log_prob(hidden)
    for k in (1, 2, 7, V):
        classes, values = head.top_k(hidden, k)
        if np.abs(values + np.sort(-everything, axis=1)[:, :k]).max() > 1e-12:
            return False
        if np.abs(np.take_along_axis(everything, classes, axis=1) - values).max() > 1e-12:
            return False
        if any(len(set(row)) < k for row in classes):
            return False
    return True


# laws about a step


def a_step_reports_the_loss_before_it(make):
    head, (hidden, target) = trained(make), batch(2)
    before = head.loss(hidden, target)
    return abs(head.step(hidden, target)[0] - before) < 1e-12


def the_gradient_in_hidden_is_the_slope_of_the_loss(make):
    head, (hidden, target) = trained(make), batch(2)
    weight = np.random.default_rng(5).random(N)
    slopes = np.empty_like(hidden)
    for place in np.ndindex(hidden.shape):
        up, down = hidden.copy(), hidden.copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        slopes[place] = (
            head.loss(up, target, sample_weight=weight) - head.loss(down, target, sample_weight=weight)
        ) / 2e-5
    return np.abs(head.step(hidden, target, sample_weight=weight)[1] - slopes).max() < 1e-8


def steps_lower_the_loss(make):
    head, (hidden, target) = made(make), batch()
    before = head.loss(hidden, target)
    for _ in range(200):
        head.step(hidden, target)
    return head.loss(hidden, target) < 0.8 * before


def a_small_step_follows_the_gradient_of_the_parameters(make):
    """The change of the loss in one tiny step is not far from that of the best direction: it goes down."""
    head, (hidden, target) = made(make, learning_rate=1e-4), batch()
    losses = [head.step(hidden, target)[0] for _ in range(4)] + [head.loss(hidden, target)]
    return all(later < earlier for earlier, later in pairwise(losses))


# laws about weights


def rows_of_weight_zero_do_not_count(make):
    hidden, target = batch()
    few, many = made(make), made(make)
    weight = (np.arange(N) % 3 > 0).astype(float)
    spoilt = np.where(weight[:, None] > 0, hidden, np.nan)
    try:
        loss, gradient = many.step(spoilt, target, sample_weight=weight)
    except ValueError:  # the rows of NaN were looked at
        return False
    kept = weight > 0
    expected, exact = few.step(hidden[kept], target[kept])
    return (
        loss == expected
        and np.array_equal(gradient[kept], exact)
        and not gradient[~kept].any()
        and np.array_equal(parameters(few), parameters(many))
    )


def ignored_rows_do_not_count(make):
    hidden, target = batch()
    few, many = made(make), made(make, ignore_index=-1)
    kept = np.arange(N) % 3 > 0
    loss, _ = many.step(hidden, np.where(kept, target, -1))
    return loss == few.step(hidden[kept], target[kept])[0] and np.array_equal(parameters(few), parameters(many))


def class_weights_act_as_weights_of_rows(make):
    hidden, target = batch()
    of_classes = np.random.default_rng(3).random(V)
    one, other = made(make, class_weight=of_classes), made(make)
    loss, gradient = one.step(hidden, target)
    expected, exact = other.step(hidden, target, sample_weight=of_classes[target])
    return abs(loss - expected) < 1e-14 and np.abs(gradient - exact).max() < 1e-14


def the_scale_of_the_weights_does_not_matter(make):
    hidden, target = batch()
    one, other = made(make), made(make)
    loss = one.step(hidden, target, sample_weight=np.full(N, 4.0))[0]
    return abs(loss - other.step(hidden, target)[0]) < 1e-14


# laws about everything else


def the_same_seed_gives_the_same_bits(make):
    return np.array_equal(parameters(trained(make)), parameters(trained(make)))


def an_empty_batch_changes_nothing(make):
    head = trained(make)
    before = parameters(head)
    loss, gradient = head.step(np.zeros((0, D)), [])
    hidden, target = batch()
    silent = head.step(hidden, target, sample_weight=np.zeros(N))
    return (
        (loss, gradient.shape, silent[0], silent[1].any()) == (0.0, (0, D), 0.0, False)
        and head.loss(np.zeros((0, D)), []) == 0.0
        and head.predict(np.zeros((0, D))).shape == (0,)
        and head.log_prob(np.zeros((0, D))).shape == (0, V)
        and np.array_equal(parameters(head), before)
    )


def a_bad_target_changes_nothing(make):
    head, (hidden, target) = trained(make), batch()
    before = parameters(head)
    for bad in (np.where(np.arange(N) == 5, V, target), np.where(np.arange(N) == 5, -1, target), target[:-1]):
        with pytest.raises(ValueError, match="target"):
            head.step(hidden, bad)
    return np.array_equal(parameters(head), before)


def the_order_of_the_classes_does_not_matter(make):
    """Heads sort by frequency inside: renaming the classes renames the distribution."""
    names = np.random.default_rng(11).permutation(V)
    distinct = np.arange(V, dtype=float)
    one, other = made(make, counts=distinct), made(make, counts=distinct[np.argsort(names)])
    p, q = (np.sort(h.log_prob(batch()[0]), axis=1) for h in (one, other))
    renamed = np.abs(one.log_prob(batch()[0]) - other.log_prob(batch()[0])[:, names]).max() < 1e-12
    return p.shape == q.shape and renamed


EVERY_HEAD = (
    probabilities_add_up_to_one,
    the_loss_is_the_mean_of_the_log_probabilities,
    prediction_is_the_argmax,
    top_k_are_the_k_largest_in_order,
    steps_lower_the_loss,
    rows_of_weight_zero_do_not_count,
    ignored_rows_do_not_count,
    class_weights_act_as_weights_of_rows,
    the_scale_of_the_weights_does_not_matter,
    the_same_seed_gives_the_same_bits,
    an_empty_batch_changes_nothing,
    a_bad_target_changes_nothing,
)
EXACT_STEP = (
    a_step_reports_the_loss_before_it,
    the_gradient_in_hidden_is_the_slope_of_the_loss,
    a_small_step_follows_the_gradient_of_the_parameters,
)


def name(law):
    return law.__name__


@pytest.mark.parametrize("law", EVERY_HEAD, ids=name)
@pytest.mark.parametrize("make", (EXACT | SAMPLED).values(), ids=(EXACT | SAMPLED).keys())
def test_every_head_obeys(make, law):
    assert law(make)


@pytest.mark.parametrize("law", EXACT_STEP, ids=name)
@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT.keys())
def test_a_head_that_is_trained_exactly_obeys(make, law):
    assert law(make)


@pytest.mark.parametrize("which", ("adaptive", "adaptive without clusters", "adaptive with lonely classes"))
def test_sorting_by_frequency_stays_inside(which):
    assert the_order_of_the_classes_does_not_matter(EXACT[which])


# broken heads, each wrong in one place


class Leaky(heads.FullSoftmax):
    def log_prob(self, hidden):
        return super().log_prob(hidden) + 1e-6


class NearArgmax(heads.FullSoftmax):
    def _best(self, hidden, k):
        classes, values = super()._best(hidden, k)
        return classes[:, ::-1], values[:, ::-1]

    def predict(self, hidden):
        return self.top_k(hidden, 2)[0][:, 0]


class RoughLoss(heads.FullSoftmax):
    def _log_prob_of(self, hidden, labels):
        return super()._log_prob_of(hidden, labels) * (1 + 1e-6)


class NoGradient(heads.FullSoftmax):
    def _step(self, hidden, labels, weight):
        loss, gradient = super()._step(hidden, labels, weight)
        return loss, gradient * (1 + 1e-6)


class Uphill(heads.FullSoftmax):
    def _step(self, hidden, labels, weight):
        self.learning_rate = -abs(self.learning_rate)
        return super()._step(hidden, labels, weight)


class Weightless(heads.FullSoftmax):
    def _step(self, hidden, labels, weight):
        return super()._step(hidden, labels, np.full(len(labels), 1 / len(labels)))


class Classless(heads.FullSoftmax):
    def __init__(self, *args, class_weight=None, **options):
        super().__init__(*args, **options)


class Unnormalised(heads.FullSoftmax):
    def _batch(self, hidden, target, sample_weight):
        found = super()._batch(hidden, target, sample_weight)
        if found is None or sample_weight is None:
            return found
        return type(found)(found.hidden, found.labels, np.asarray(sample_weight)[found.rows], found.rows)


class Counting(heads.FullSoftmax):
    """Lets ignored rows and rows of weight 0 in."""

    def _batch(self, hidden, target, sample_weight):
        target = np.maximum(target, 0)
        return super()._batch(hidden, target, None if sample_weight is None else np.asarray(sample_weight) + 1e-9)


class Restless(heads.FullSoftmax):
    def step(self, hidden, target, **options):
        self.weight.values *= 1 + 1e-9
        return super().step(hidden, target, **options)


class Moody(heads.FullSoftmax):
    def __init__(self, *args, **options):
        super().__init__(*args, **options | {"rng": None})


SABOTEURS = {
    "leaky": (Leaky, probabilities_add_up_to_one),
    "second best": (NearArgmax, prediction_is_the_argmax),
    "wrong order": (NearArgmax, top_k_are_the_k_largest_in_order),
    "rough loss": (RoughLoss, the_loss_is_the_mean_of_the_log_probabilities),
    "rough loss of a step": (RoughLoss, a_step_reports_the_loss_before_it),
    "rough gradient": (NoGradient, the_gradient_in_hidden_is_the_slope_of_the_loss),
    "uphill": (Uphill, steps_lower_the_loss),
    "uphill a little": (Uphill, a_small_step_follows_the_gradient_of_the_parameters),
    "weightless": (Weightless, the_gradient_in_hidden_is_the_slope_of_the_loss),
    "without class weights": (Classless, class_weights_act_as_weights_of_rows),
    "not normalised": (Unnormalised, the_scale_of_the_weights_does_not_matter),
    "counts everything": (Counting, rows_of_weight_zero_do_not_count),
    "counts ignored rows": (Counting, ignored_rows_do_not_count),
    "restless on nothing": (Restless, an_empty_batch_changes_nothing),
    "restless on bad input": (Restless, a_bad_target_changes_nothing),
    "moody": (Moody, the_same_seed_gives_the_same_bits),
}


@pytest.mark.parametrize(("broken", "law"), SABOTEURS.values(), ids=SABOTEURS.keys())
def test_a_broken_head_is_caught(broken, law):
    assert not law(lambda **options: broken(D, V, **options))


def test_no_law_is_idle():
    assert {law for _, law in SABOTEURS.values()} == {*EVERY_HEAD, *EXACT_STEP}


@pytest.mark.parametrize("make", (EXACT | SAMPLED).values(), ids=(EXACT | SAMPLED).keys())
def test_heads_work_without_counts_where_they_can(make):
    try:
        head = made(make, counts=None)
    except ValueError as error:
        assert "needs counts" in str(error)
        return
    hidden, target = batch()
    assert np.isfinite(head.fit(hidden, target, epochs=3, batch_rows=5).loss(hidden, target))


@pytest.mark.parametrize(
    "make", [m for k, m in (EXACT | SAMPLED).items() if "adaptive" not in k],
    ids=[k for k in EXACT | SAMPLED if "adaptive" not in k],
)  # fmt: skip
def test_fitting_learns_a_separable_problem(make):
    target = np.array([2, 9, 13, 21, 0] * 4)
    hidden = np.eye(D)[np.arange(20) % D]
    head = made(make, learning_rate=1.0).fit(hidden, target, epochs=200, batch_rows=5)
    assert (head.predict(hidden) == target).mean() >= 0.8


@pytest.mark.parametrize("kind", (heads.FullSoftmax, heads.AdaptiveSoftmax, heads.HierarchicalSoftmax,
                                  heads.SphericalHead, heads.SampledSoftmax))  # fmt: skip
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    (
        ((0, 5), {}, ValueError, "n_features=0"),
        ((3, 0), {}, ValueError, "n_classes=0"),
        ((3.0, 5), {}, TypeError, "n_features=3.0; a whole number"),
        ((3, 5, [1, 2]), {}, ValueError, r"counts has shape \(2,\)"),
        ((3, 5, [1, 2, 3, -1, 0]), {}, ValueError, "counts holds"),
        ((3, 5), {"learning_rate": 0}, ValueError, "learning_rate=0"),
        ((3, 5), {"dtype": "int32"}, TypeError, "int32"),
        ((3, 5), {"class_weight": [1.0]}, ValueError, "class_weight has shape"),
    ),
)
def test_bad_configuration_is_refused(kind, arguments, options, error, message):
    with pytest.raises(error, match=message):
        kind(*arguments, **options)


@pytest.mark.parametrize("make", (EXACT | SAMPLED).values(), ids=(EXACT | SAMPLED).keys())
def test_bad_batches_are_refused(make):
    head = made(make)
    hidden, target = batch()
    with pytest.raises(ValueError, match="5 features"):
        head.step(hidden[:, :3], target)
    with pytest.raises(TypeError, match="class indices"):
        head.step(hidden, target.astype(float))
    with pytest.raises(ValueError, match="sample_weight"):
        head.step(hidden, target, sample_weight=np.full(N, -1.0))
    before = parameters(head)
    with pytest.raises(ValueError, match=r"hidden\[4\] is not finite"):
        head.step(np.where(np.arange(N)[:, None] == 4, np.inf, hidden), target)
    np.testing.assert_array_equal(parameters(head), before)
    with pytest.raises(ValueError, match=f"k={V + 1}"):
        head.top_k(hidden, V + 1)
    with pytest.raises(ValueError, match="batch_rows=0"):
        head.fit(hidden, target, batch_rows=0)
    with pytest.raises(ValueError, match="epochs=-1"):
        head.fit(hidden, target, epochs=-1)
    with pytest.raises(TypeError, match=r"k=2\.5"):
        head.top_k(hidden, 2.5)
    with pytest.raises(ValueError, match="k=0"):
        head.top_k(hidden, 0)


@pytest.mark.parametrize("make", (EXACT | SAMPLED).values(), ids=(EXACT | SAMPLED).keys())
def test_float32_heads_keep_their_dtype(make):
    head = made(make, dtype="float32")
    hidden, target = batch()
    loss, gradient = head.step(hidden, target)
    assert isinstance(loss, float)
    assert gradient.dtype == np.float32
    assert head.log_prob(hidden).dtype == np.float32
    assert head.nbytes > 0
