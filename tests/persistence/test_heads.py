"""A head that is saved comes back, and goes on learning as if nothing had happened."""

import numpy as np
import pytest

import softmaxes as sm
from softmaxes import heads
from softmaxes.errors import UserError
from softmaxes.persistence import describe
from softmaxes.persistence.container import sealed, unsealed

D, V = 5, 40
COUNTS = 1000 // np.arange(1, V + 1)
HEADS = {
    "full": lambda **o: heads.FullSoftmax(D, V, COUNTS, 0, **o),
    "without counts": lambda **o: heads.FullSoftmax(D, V, None, 0, **o),
    "adaptive": lambda **o: heads.AdaptiveSoftmax(D, V, COUNTS[::-1], 0, cutoffs=(7, 20), divisor=2.0, **o),
    "plain adaptive": lambda **o: heads.AdaptiveSoftmax(D, V, COUNTS, 0, cutoffs=(), **o),
    "hierarchical": lambda **o: heads.HierarchicalSoftmax(D, V, COUNTS, 0, **o),
    "taylor": lambda **o: heads.SphericalHead(D, V, COUNTS, 0, **o),
    "spherical": lambda **o: heads.SphericalHead(D, V, COUNTS, 0, map="spherical", epsilon=0.1, **o),
    "sampled": lambda **o: heads.SampledSoftmax(D, V, COUNTS, 0, n_samples=8, **o),
    "uniform": lambda **o: heads.SampledSoftmax(D, V, None, 0, n_samples=8, correction=False, **o),
    "log-uniform": lambda **o: heads.SampledSoftmax(D, V, COUNTS[::-1], 0, n_samples=8, sampler="log_uniform", **o),
    "top mix": lambda **o: heads.SampledSoftmax(D, V, COUNTS, 0, n_samples=8, sampler="top_mix", loss="nce", **o),
    "own sampler": lambda **o: heads.SampledSoftmax(
        D, V, COUNTS, 0, n_samples=8, sampler=heads.UnigramSampler(COUNTS[::-1], 0.3), **o
    ),
}


def batch(seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((12, D)), rng.integers(0, V, 12)


def saved(head, tmp_path):
    head.save(tmp_path / "head.softmaxes")
    return sm.load(tmp_path / "head.softmaxes")


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS.keys())
def test_a_head_comes_back_and_goes_on(make, dtype, tmp_path):
    head = make(dtype=dtype, learning_rate=0.3, class_weight=np.linspace(0.5, 1, V), ignore_index=-1)
    for _ in range(3):
        head.step(*batch())
    again = saved(head, tmp_path)
    assert type(again) is type(head)
    assert (again.dtype, again.learning_rate, again.ignore_index) == (head.dtype, 0.3, -1)
    hidden, target = batch(2)
    np.testing.assert_array_equal(again.log_prob(hidden), head.log_prob(hidden))
    for _ in range(3):
        assert head.step(hidden, target)[0] == again.step(hidden, target)[0]
    np.testing.assert_array_equal(again.log_prob(hidden), head.log_prob(hidden))
    assert again.nbytes == head.nbytes


def test_the_file_says_what_it_holds(tmp_path):
    saved(HEADS["adaptive"](), tmp_path)
    said = describe(tmp_path / "head.softmaxes")
    assert (said["kind"], said["head"]["type"], said["head"]["n_classes"]) == ("head", "AdaptiveSoftmax", V)


class Mine(heads.FullSoftmax):
    pass


class MySampler(heads.UniformSampler):
    pass


def diverged():
    head = HEADS["full"]()
    head.weight.values[3] = np.nan
    return head


@pytest.mark.parametrize(
    ("make", "error", "message"),
    (
        (lambda: Mine(D, V), TypeError, "a Mine can't be saved"),
        (lambda: heads.SampledSoftmax(D, V, sampler=MySampler(V)), TypeError, "MySampler"),
        (lambda: heads.FullSoftmax(D, V, rng=np.random.Generator(np.random.MT19937(0))), TypeError, "MT19937"),
        (diverged, ValueError, "diverged: its weight is not finite"),
    ),
)
def test_what_a_file_can_not_hold_is_refused(make, error, message, tmp_path):
    with pytest.raises(error, match=message):
        make().save(tmp_path / "head.softmaxes")
    assert not (tmp_path / "head.softmaxes").exists()


@pytest.mark.parametrize(
    ("touch", "message"),
    (
        (lambda d, t: d["head"].update(type="Head"), "a head of type 'Head' is not known"),
        (lambda d, t: d["head"].update(n_classes=10**9), "the file has"),
        (lambda d, t: d["head"].update(n_features=10**12), "the file has"),
        (lambda d, t: d["head"].update(n_features=-3), "at least 1"),
        (lambda d, t: d["head"].update(n_classes="many"), "malformed"),
        (lambda d, t: d["head"].update(dtype="float64"), "needed is float64"),
        (lambda d, t: d["head"]["settings"].update(evil=1), "malformed"),
        (lambda d, t: d["head"]["settings"].update(cutoffs=[9, 3]), "increase strictly"),
        (lambda d, t: d["head"]["settings"].update(cutoffs=[8, 20]), "needed is"),
        (lambda d, t: d["head"]["rng"].update(bit_generator="default_rng"), "is not known"),
        (lambda d, t: d["head"]["rng"].update(state={}), "malformed"),
        (lambda d, t: d["head"].pop("settings"), "malformed"),
        (lambda d, t: t.pop("weights_0.squares"), "malformed"),
        (lambda d, t: t["weights_1.values"].__setitem__(0, np.nan), "not finite"),
        (lambda d, t: t["counts"].__setitem__(0, -1), "counts"),
    ),
)
def test_a_changed_file_is_refused_with_one_clear_error(touch, message, tmp_path):
    path = tmp_path / "head.softmaxes"
    HEADS["adaptive"]().save(path)
    document, tensors = unsealed(path)
    tensors = {name: t.copy() for name, t in tensors.items()}
    touch(document, tensors)
    path.write_bytes(sealed(document, tensors))
    with pytest.raises(UserError, match=message):
        sm.load(path)
