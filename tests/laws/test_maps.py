"""Every law over every member of the family; then broken members, each of which some law must notice."""

import array_api_strict
import ml_dtypes
import numpy as np
import pytest

from softmaxes import maps
from softmaxes.maps import FAMILY

from . import exact_maps as exact
from . import saboteurs

RNG_SEED = 20
DIGITS = 1e-12  # a few hundred units of roundoff, relative to the row's scale: the rows have five moderate entries


def rows(m, n=3, k=5, seed=RNG_SEED):
    """Return generic rows inside the member's domain, without ties, at which nothing has a kink."""
    low, high = m.properties().domain
    rng = np.random.default_rng(seed)
    low, high = max(low + 0.1, -2.0), min(high, 2.0)
    return np.round(rng.uniform(low, high, (n, k)) * 2**20) / 2**20 + rng.uniform(0, 1e-3, (n, k))


def directions(n=3, k=5):
    rng = np.random.default_rng(RNG_SEED + 1)
    return rng.normal(size=(n, k)), rng.normal(size=(n, k))


def targets(m, z):
    """Return soft targets; classes that a normalised-scores member gives exactly 0 are not asked for."""
    q = np.random.default_rng(RNG_SEED + 2).dirichlet(np.ones(z.shape[-1]), len(z))
    if exact.regulariser(m.original) is None:
        q = np.where(np.asarray(m(z)) > 0, q, 0)
    return q / q.sum(-1, keepdims=True)


def close(got, expected, what, digits=DIGITS):
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    assert got.shape == expected.shape, what
    scale = 1 + np.max(np.abs(np.where(np.isfinite(expected), expected, 0)))
    with np.errstate(invalid="ignore"):
        same = (got == expected) | (np.abs(got - expected) <= digits * scale)
    assert np.all(same), f"{what}: got {got}, expected {expected}"


def exactly(m, what, z, *others):
    """Return the exact answers for rows, or those of the member itself in extended precision."""
    if exact.definition(m.original) is not None:
        each = [[tuple(row) for row in np.asarray(x).tolist()] for x in (z, *others)]
        return np.array([exact.answer(m.original, what, *row) for row in zip(*each, strict=True)])
    return None


def law_values_are_exact(m):
    z = rows(m)
    expected = exactly(m, "value", z)
    if expected is not None:
        close(m(z), expected, "value")


def law_logarithms_are_exact(m):
    z = rows(m)
    expected = exactly(m, "log", z)
    close(m.log(z), np.log(np.asarray(m(z)), where=m(z) > 0, out=np.full(z.shape, -np.inf)), "log", 1e-11)
    if expected is not None:
        close(m.log(z), expected, "log")


def law_logarithm_keeps_its_digits_near_one(m):
    """log p of a class that takes nearly everything is the small number that it is, not 0."""
    low, _ = m.properties().domain
    z = np.array([[max(low, 0.0) + 0.25, 12.0]]) if low > -np.inf else np.array([[-0.25, 12.0]])
    expected = exactly(m, "log", z)
    if expected is None or not -0.1 < expected[0, 1] < 0:
        return
    assert np.asarray(m.log(z))[0, 1] == pytest.approx(expected[0, 1], rel=1e-11)


def law_results_lie_on_the_simplex(m):
    p = np.asarray(m(rows(m, n=20)))
    assert np.all(p >= 0) and np.all(np.abs(p.sum(-1) - 1) < 1e-15 * 8)
    one = np.asarray(m(rows(m, n=3, k=1)))
    assert np.array_equal(one, np.ones((3, 1)))


def law_jvp_is_the_derivative(m):
    z, (v, _) = rows(m), directions()
    expected = exactly(m, "jvp", z, v)
    if expected is None:
        close(m.jvp(z, v), differences(m, z, v), "jvp", 1e-6)
    else:
        close(m.jvp(z, v), expected, "jvp")


def law_vjp_is_its_transpose(m):
    z, (v, u) = rows(m), directions()
    close((u * m.jvp(z, v)).sum(-1), (m.vjp(z, u) * v).sum(-1), "u J v")
    expected = exactly(m, "vjp", z, u)
    if expected is not None:
        close(m.vjp(z, u), expected, "vjp")


def law_jacobian_is_both(m):
    z, (v, u) = rows(m), directions()
    jacobian = m.jacobian(z)
    close(np.einsum("nij,nj->ni", jacobian, v), m.jvp(z, v), "J v")
    close(np.einsum("nij,ni->nj", jacobian, u), m.vjp(z, u), "J^T u")


def law_second_derivative_is_the_derivative_of_the_vjp(m):
    z, (u, v) = rows(m), directions()
    expected = exactly(m, "second", z, u, v)
    if expected is None:
        h = 1e-6
        close(m.second_derivative(z, u, v), (m.vjp(z + h * v, u) - m.vjp(z - h * v, u)) / (2 * h), "second", 1e-6)
    else:
        close(m.second_derivative(z, u, v), expected, "second")


def law_loss_is_exact(m):
    z = rows(m)
    q = targets(m, z)
    expected = exactly(m, "loss", z, q)
    if expected is not None:
        close(m.loss(z, q), expected, "loss")
    labels = np.asarray(m(z)).argmax(-1)
    close(m.loss(z, labels), m.loss(z, np.eye(5)[labels]), "labels are unit distributions")
    assert np.all(np.asarray(m.loss(z, q)) >= 0)


def law_targets_are_checked(m):
    z = rows(m)
    for wrong, message in (
        (np.array([0, 5, 1]), "labels go from 0 to 5; 5 classes need 0 to 4"),
        (np.array([0.0, 1.0, 2.0]), "labels must be integers"),
        (np.full((3, 5), 0.3), "adds up to 1.5"),
        (np.array([[1.5, -0.5, 0.0, 0.0, 0.0]] * 3), "holds -0.5"),
    ):
        for method in (m.loss, m.loss_and_gradient):
            with pytest.raises(ValueError, match=message):
                method(z, wrong)


def law_loss_gradient_is_exact(m):
    z = rows(m)
    q = targets(m, z)
    value, gradient = m.loss_and_gradient(z, q)
    close(value, m.loss(z, q), "value")
    expected = exactly(m, "loss_gradient", z, q)
    if expected is None:
        v, _ = directions()
        h = 1e-6
        close((gradient * v).sum(-1), (m.loss(z + h * v, q) - m.loss(z - h * v, q)) / (2 * h), "loss gradient", 1e-6)
    else:
        close(gradient, expected, "loss gradient")


def law_loss_hessian_product_is_exact(m):
    z, (v, _) = rows(m), directions()
    q = targets(m, z)
    expected = exactly(m, "loss_hessian", z, q, v)
    if expected is None:
        h = 1e-6
        sides = [m.loss_and_gradient(z + s * h * v, q)[1] for s in (1, -1)]
        close(m.loss_hessian_product(z, q, v), (sides[0] - sides[1]) / (2 * h), "loss Hessian", 1e-6)
    else:
        close(m.loss_hessian_product(z, q, v), expected, "loss Hessian")


def law_small_losses_stay_alive(m):
    """A confident, right row has its own small loss and gradient, to relative accuracy, not 0 and not roundoff."""
    low, _ = m.properties().domain
    for gap in (0.9, 0.999, 1.5, 1.99, 8.0, 40.0):
        z = np.array([[max(low, 0.0) + 0.25, max(low, 0.0) + 0.25 + gap]])
        q = np.array([[0.0, 1.0]])
        expected = exactly(m, "loss", z, q)
        if expected is None:
            return
        (_, gradient), value = m.loss_and_gradient(z, q), m.loss(z, q)
        assert float(value[0]) == pytest.approx(float(expected[0]), rel=1e-11, abs=1e-300), gap
        slopes = exactly(m, "loss_gradient", z, q)
        # far below the size of p the derivative itself hangs on the difference of the logits: 1e-11 of the slope
        assert np.allclose(gradient, slopes, rtol=1e-10, atol=1e-26), gap


def law_entropy_is_exact(m):
    z = rows(m)
    expected = exactly(m, "entropy", z)
    p = np.asarray(m(z))
    close(m.entropy(z), -(p * np.log(np.where(p > 0, p, 1))).sum(-1), "entropy", 1e-11)
    if expected is not None:
        close(m.entropy(z), expected, "entropy")


def law_entropy_gradient_is_exact(m):
    z = rows(m)
    expected = exactly(m, "entropy_gradient", z)
    if expected is not None:
        close(m.entropy_gradient(z), expected, "entropy gradient")


def law_entropy_hessian_product_is_exact(m):
    z, (v, _) = rows(m), directions()
    expected = exactly(m, "entropy_hessian", z, v)
    if expected is not None:
        close(m.entropy_hessian_product(z, v), expected, "entropy Hessian", 1e-11)


def law_entropy_expansion_is_of_second_order(m):
    """Halving the step divides the remainder by 8 or more, once no support changes on the way."""
    z, (v, _) = rows(m), directions()
    remainder = [np.abs(m.entropy_expansion(z, h * v) - m.entropy(z + h * v)) for h in (2e-3, 1e-3)]
    assert np.all(remainder[1] <= remainder[0] / 6 + 1e-14)


def law_masked_classes_are_as_if_absent(m):
    z, (v, u) = rows(m), directions()
    q = targets(m, z)
    wide = [np.insert(x, 2, fill, axis=-1) for x, fill in ((z, -np.inf), (v, 7.0), (u, -3.0), (q, 0.0))]
    pairs = {
        "value": (m(wide[0]), m(z)),
        "jvp": (m.jvp(wide[0], wide[1]), m.jvp(z, v)),
        "vjp": (m.vjp(wide[0], wide[2]), m.vjp(z, u)),
        "second": (m.second_derivative(wide[0], wide[2], wide[1]), m.second_derivative(z, u, v)),
        "loss gradient": (m.loss_and_gradient(wide[0], wide[3])[1], m.loss_and_gradient(z, q)[1]),
        "loss Hessian": (m.loss_hessian_product(wide[0], wide[3], wide[1]), m.loss_hessian_product(z, q, v)),
        "entropy gradient": (m.entropy_gradient(wide[0]), m.entropy_gradient(z)),
        "entropy Hessian": (m.entropy_hessian_product(wide[0], wide[1]), m.entropy_hessian_product(z, v)),
    }
    for what, (with_mask, without) in pairs.items():
        assert np.all(np.asarray(with_mask)[:, 2] == 0), what
        close(np.delete(with_mask, 2, axis=-1), without, what)
    close(m.loss(wide[0], wide[3]), m.loss(z, q), "loss")
    close(m.entropy(wide[0]), m.entropy(z), "entropy")
    assert np.all(np.asarray(m.log(wide[0]))[:, 2] == -np.inf)


def law_nan_stays_in_its_row(m):
    z = rows(m)
    spoiled = z.copy()
    spoiled[1, 3] = np.nan
    for what in (m, m.log, m.entropy, m.entropy_gradient):
        got, clean = np.asarray(what(spoiled)), np.asarray(what(z))
        assert np.all(np.isnan(got[1])) and np.array_equal(got[[0, 2]], clean[[0, 2]])


def law_infinity_is_a_limit(m):
    z = rows(m)
    z[0, 1] = z[0, 3] = np.inf
    p = np.asarray(m(z))
    assert np.array_equal(p[0], [0, 0.5, 0, 0.5, 0])
    z = np.full((1, 4), -np.inf)
    assert np.all(np.isnan(np.asarray(m(z))))


def law_rows_are_independent_and_axes_lead(m):
    z, (v, u) = rows(m, n=6), directions(6)
    cube = [x.reshape(2, 3, 5) for x in (z, v, u)]
    for what, arguments in ((m, 1), (m.jvp, 2), (m.second_derivative, 3), (m.entropy, 1)):
        whole = np.asarray(what(*cube[:arguments]))
        single = np.stack([np.asarray(what(*(x[i] for x in (z, v, u)[:arguments]))) for i in range(6)])
        close(whole.reshape(single.shape), single, "rows one by one", 1e-15)
    close(m.jvp(z[0], v), np.stack([m.jvp(z[0], w) for w in v]), "one row, many directions", 1e-15)


def law_memory_layout_does_not_matter(m):
    z, (v, _) = rows(m), directions()
    for other in (np.asfortranarray(z), np.repeat(z, 2, axis=1)[:, ::2], z.astype(">f8"), z[:, ::-1].copy()[:, ::-1]):
        assert np.array_equal(m(other), m(z)) and np.array_equal(m.jvp(other, v), m.jvp(z, v))
    frozen = np.broadcast_to(z[:1], z.shape)
    assert np.array_equal(m(frozen), np.broadcast_to(m(z[:1]), z.shape))


def law_order_of_classes_is_carried_along(m):
    z = rows(m)
    close(np.asarray(m(z))[:, ::-1], m(z[:, ::-1]), "permuted")


def law_dtypes_follow_the_table(m):
    z = rows(m).astype(np.float32)
    close(m(z), m(z.astype(np.float64)), "float32", 1e-6)
    assert np.asarray(m(z)).dtype == np.float32 and np.asarray(m.vjp(z, z)).dtype == np.float32
    for narrow, digits in ((np.float16, 1e-3), (ml_dtypes.bfloat16, 8e-3)):
        half = np.maximum(z, m.properties().domain[0] + 0.1).astype(narrow)
        for method in (m, m.entropy, lambda x: m.vjp(x, x), lambda x: m.loss(x, np.array([3, 4, 3]))):
            got = np.asarray(method(half))
            assert got.dtype == narrow
            close(got, method(half.astype(np.float64)), str(narrow), digits)
    for whole in (np.array([[1, 3, 2]], np.uint8), np.array([[1, 3, 2]], np.int64), np.array([[True, False]])):
        kept = np.float32 if whole.dtype.itemsize < 8 else np.float64
        assert np.asarray(m(whole)).dtype == kept
        close(m(whole), m(whole.astype(np.float64)), str(whole.dtype), 1e-6)
    long = rows(m).astype(np.longdouble)
    for method in (m, m.log, lambda x: m.vjp(x, x), lambda x: m.second_derivative(x, x, x)):
        got = np.asarray(method(long))
        assert got.dtype == np.longdouble
        close(got, method(rows(m)), "longdouble", 1e-12)


def law_any_array_library(m):
    z, (v, u) = rows(m), directions()
    q = targets(m, z)
    there = [array_api_strict.asarray(x) for x in (z, v, u, q)]
    here = (z, v, u, q)

    def both(f, *which):
        return np.asarray(f(*(there[i] for i in which))), f(*(here[i] for i in which))

    for what, (got, expected) in {
        "value": both(m, 0),
        "log": both(m.log, 0),
        "jvp": both(m.jvp, 0, 1),
        "vjp": both(m.vjp, 0, 2),
        "second": both(m.second_derivative, 0, 2, 1),
        "jacobian": both(m.jacobian, 0),
        "loss": both(m.loss, 0, 3),
        "loss Hessian": both(m.loss_hessian_product, 0, 3, 1),
        "entropy": both(m.entropy, 0),
        "entropy Hessian": both(m.entropy_hessian_product, 0, 1),
        "expansion": both(m.entropy_expansion, 0, 1),
    }.items():
        close(got, expected, what)
    assert type(m(there[0])) is type(there[0])


def law_empty_input_gives_empty_output(m):
    assert np.asarray(m(np.zeros((0, 3)) + 1.0)).shape == (0, 3)
    assert np.asarray(m(np.zeros((2, 0)))).shape == (2, 0)
    assert np.asarray(m.entropy(np.zeros((2, 0)))).shape == (2,)
    with pytest.raises(ValueError, match="single number"):
        m(1.0)


def law_repr_rebuilds(m):
    assert eval(repr(m), vars(maps)) == m.original
    assert hash(m.original) == hash(eval(repr(m), vars(maps)))


# --- the property sheet, line by line, both ways ------------------------------------------------------------------


def _sample(m, n=200):
    low, high = m.properties().domain
    rng = np.random.default_rng(3)
    return rng.uniform(max(low + 0.01, -3.0), min(high, 3.0), (n, 4)) * rng.choice([1.0, 0.3], (n, 1))


def law_sheet_shift(m):
    z = _sample(m)
    change = np.abs(np.asarray(m(z + 0.5)) - np.asarray(m(z))).max()
    assert (change < 1e-13) == m.properties().shift_invariant


def law_sheet_scale(m):
    z = np.abs(_sample(m)) if m.properties().domain[0] > -np.inf else _sample(m)
    change = np.abs(np.asarray(m(z * 1.5)) - np.asarray(m(z))).max()
    assert (change < 1e-13) == m.properties().scale_invariant


def law_sheet_order(m):
    z = _sample(m)
    p = np.asarray(m(z))
    reversed_ = (p[:, :, None] < p[:, None, :] - 1e-15) & (z[:, :, None] > z[:, None, :])
    assert (not reversed_.any()) == m.properties().order_preserving


def law_sheet_sparse(m):
    sheet = m.properties()
    low = sheet.domain[0]
    z = np.vstack([_sample(m), [[max(low, 0.0), 1.0, 2.0, 2.5]]]) if not -2 < low < 0 else _sample(m)
    zeros = (np.asarray(m(z)) == 0).any()
    assert zeros == sheet.sparse
    assert sheet.strictly_positive != zeros


def law_sheet_differentiable(m):
    """One-sided derivatives of <u, p> agree at the places where members have kinks."""
    sheet = m.properties()
    h, jumps = 1e-7, []
    u, v = np.array([1.0, 2.0, -1.0]), np.array([1.0, 0.0, 0.0])
    for z in np.array([[1.0, 1.0, 3.0], [1.0, 2.0, 2.0], [0.5, 1.5, 0.2], [1.0, 2.0, 1.5], [1.0, 1.5, 0.2]]):
        right, middle, left = (float(np.asarray(m(z + s * h * v)) @ u) for s in (1, 0, -1))
        jumps.append(abs((right - middle) - (middle - left)) / h)
    at_zero = np.zeros(3)
    if sheet.domain[0] == -np.inf:
        right, middle, left = (float(np.asarray(m(at_zero + s * h * v)) @ u) for s in (1, 0, -1))
        jumps.append(abs((right - middle) - (middle - left)) / h)
    assert (max(jumps) < 1e-4) == sheet.differentiable


def law_sheet_lipschitz(m):
    """No pair of points is farther apart after the map than the constant allows, and two tied logits attain it."""
    constant = m.properties().lipschitz
    if constant is None:
        return
    z, (v, _) = _sample(m), directions(200, 4)
    moved = np.linalg.norm(np.asarray(m(z + v)) - np.asarray(m(z)), axis=-1) / np.linalg.norm(v, axis=-1)
    assert moved.max() <= constant * (1 + 1e-12)
    jacobian = np.asarray(m.jacobian(np.array([1.0, 1.0, -90.0])))
    assert np.linalg.norm(jacobian, 2) == pytest.approx(constant, rel=1e-9)


def differences(m, z, v):
    h = 1e-6
    return (np.asarray(m(z + h * v)) - np.asarray(m(z - h * v))) / (2 * h)


LAWS = [f for name, f in globals().items() if name.startswith("law_")]


# FAMILY has one value for each name or two; these have formulas of their own as well.
OTHERS = (maps.Entmax(3.0), maps.Entmax(1.0), maps.Softmax(base=2.0), maps.Taylor(7))


@pytest.mark.parametrize("member", (*FAMILY, *OTHERS), ids=repr)
@pytest.mark.parametrize("law", LAWS, ids=lambda f: f.__name__)
def test_member_obeys(law, member):
    law(saboteurs.Sound(member))


def caught_by(broken):
    caught = set()
    for law in LAWS:
        try:
            law(broken)
        except (Exception, pytest.fail.Exception):
            caught.add(law.__name__)
    return caught


def test_every_saboteur_is_caught_and_no_law_is_idle():
    found = {name: caught_by(broken) for name, broken in saboteurs.MEMBERS.items()}
    assert all(found.values()), [name for name, laws in found.items() if not laws]
    idle = {law.__name__ for law in LAWS} - set().union(*found.values())
    assert not idle, f"no saboteur wakes {idle}"
