"""Laws of cross-entropy: exact values, every combination of options, masks and infinities, and what is refused.

A law takes an implementation with the signature of `cross_entropy_and_gradient`; the broken ones at the end must
each be caught by at least one law.
"""

import functools
import itertools
import json
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

import softmaxes as sm

from . import exact_losses as exact

VECTORS = json.loads((Path(__file__).parents[1] / "accuracy" / "vectors.json").read_text())["cases"]
CASES = [c for c in VECTORS if c["fn"] == "cross_entropy"]


def numpy_path(logits, target, *args, **options):
    """The fused kernel wherever it applies."""
    return sm.cross_entropy_and_gradient(logits, target, *args, **options)


def generic_path(logits, target, axis=-1, **options):
    """The generic text in a strict Array API namespace."""
    options = {k: array_api_strict.asarray(np.asarray(v)) if _is_array(v) else v for k, v in options.items()}
    value, gradient = sm.cross_entropy_and_gradient(
        array_api_strict.asarray(np.asarray(logits)), array_api_strict.asarray(np.asarray(target)), axis, **options
    )
    return np.asarray(value), np.asarray(gradient)


def _is_array(v):
    return isinstance(v, (list, np.ndarray))


WIDTHS = [(np.float64, "out64", 2.0**-53, 5e-324), (np.float32, "out32", 2.0**-24, 1.5e-45)]

PATHS = [numpy_path, generic_path]


def check(got, expected, scale, unit, what):
    """Hold |got - expected| to a few units of the scale on which a plain evaluation rounds."""
    got = np.asarray(got, dtype=np.float64)
    expected = np.asarray(expected, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where(got == expected, 0.0, np.abs(got - expected))
    bound = unit * np.asarray(scale, dtype=np.float64)
    assert got.shape == expected.shape, what
    assert np.all(error <= bound), f"{what}: got {got}, expected {expected}"


def law_reference_vectors(ce):
    """Values and gradients of vectors.json, in both widths, to a few units of their natural scale."""
    for case in CASES:
        x, size = case["in"]["x"], len(case["in"]["x"])
        target = np.asarray(case["in"].get("q", case["in"].get("target")))
        options = {k: case["in"][k] for k in ("base", "label_smoothing") if k in case["in"]}
        for dtype, out, unit, least in (
            (np.float64, "out64", 2.0**-53, 5e-324),
            (np.float32, "out32", 2.0**-24, 1.5e-45),
        ):
            if dtype is np.float32 and not case["f32"]:
                continue
            row = np.array([float(v) for v in x], dtype)
            value, gradient = ce(row, target, **options)
            c = 8 + np.log2(size)
            for name, got in (("value", value), ("grad", gradient)):
                expected = np.array(case[out][name], dtype=np.float64)
                scale = np.array(case["scale"][name], dtype=np.float64)
                check(got, expected, scale + least / unit, c * unit, f"{case['id']} {name} {dtype.__name__}")


def law_confident_rows_keep_their_digits(ce):
    """Losses far below the unit roundoff, and 1 - p_y, to full relative accuracy."""
    for gap in (1.0, 20.0, 40.0, 300.0, 700.0):
        (value, gradient), (loss, slope) = ce([[0.0, -gap]], [0]), exact.cross_entropy([[0.0, -gap]], [0])
        check(value, float(loss), float(loss), 1e-15, f"loss at gap {gap}")
        check(gradient, np.array(slope, dtype=float), np.abs(np.array(slope, dtype=float)), 1e-15, f"gradient {gap}")


GRID = list(
    itertools.product(
        ("labels", "distributions"), (0.0, 0.1), (False, True), (False, True), (None, -7), (0.0, 0.3), (None, 2),
        ("mean", "sum", "none"),
    )
)  # fmt: skip


@functools.cache
def grid_cases():
    """Return (what, logits, target, options, value, gradient) for all options together, by the definition."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(4, 3)) * 3
    logits[1, 2] = -np.inf
    labels = np.array([2, 0, 1, 2])
    soft = rng.dirichlet(np.ones(3), size=4)
    soft[1] = [0.25, 0.75, 0.0]
    cases = []
    for kind, smoothing, classes, samples, ignored, z_loss, base, reduction in GRID:
        options = {"label_smoothing": smoothing, "z_loss": z_loss, "base": base, "reduction": reduction}
        if classes:
            options["class_weight"] = np.array([0.5, 2.0, 3.0])
        if samples:
            options["sample_weight"] = np.array([1.0, 0.0, 2.5, 0.5])
        target = labels.copy() if kind == "labels" else soft
        if ignored is not None:
            if kind == "distributions":
                continue
            target[2] = ignored
            options["ignore_index"] = ignored
        value, gradient = exact.cross_entropy(logits.tolist(), target.tolist(), **options)
        value, gradient = np.array(value, dtype=float), np.array(gradient, dtype=float)
        cases.append((f"{kind} {options}", logits, target, options, value, gradient))
    return cases


def law_every_combination_of_options(ce):
    """All options together, against the definition in mpmath."""
    for what, logits, target, options, expected, slopes in grid_cases():
        value, gradient = ce(logits, target, **options)
        check(value, expected, 1 + np.abs(expected), 1e-14, what)
        check(gradient, slopes, 3 + np.abs(slopes), 1e-14, what)


def law_weightless_rows_contribute_nothing(ce):
    """Weight 0 and ignored rows are out, even with NaN or without any possible class; no rows at all give 0."""
    logits = np.array([[1.0, 2.0], [np.nan, 1.0], [-np.inf, -np.inf]])
    value, gradient = ce(logits[:1], np.array([0]))
    for options in ({"sample_weight": np.array([1.0, 0.0, 0.0])}, {"ignore_index": 9}):
        target = np.array([0, 9, 9]) if "ignore_index" in options else np.array([0, 1, 1])
        got, slopes = ce(logits, target, **options)
        assert float(got) == pytest.approx(float(value), rel=1e-15)
        assert np.allclose(slopes, [gradient[0], [0, 0], [0, 0]], rtol=1e-15, atol=0)
    nothing, slopes = ce(logits[1:], np.array([9, 9]), ignore_index=9)
    assert float(nothing) == 0.0 and np.all(np.asarray(slopes) == 0.0)
    nothing, slopes = ce(np.zeros((0, 3)), np.zeros(0, dtype=int))
    assert float(nothing) == 0.0 and np.asarray(slopes).shape == (0, 3)
    value, gradient = ce(np.array([[0.0, 1.0]]), np.array([0]), class_weight=np.array([0.0, 1.0]))
    assert float(value) == 0.0 and np.all(np.asarray(gradient) == 0.0)


def law_impossible_classes_and_limits(ce):
    """-inf: gradient exactly 0; +inf: the limit; NaN: that row alone; an impossible target: +inf and p - e_y."""
    inf = np.inf
    logits = np.array(
        [[0.0, -inf, 0.0], [inf, 0.0, inf], [inf, 0.0, inf], [np.nan, 0.0, 0.0], [0.0, -inf, 0.0], [-inf, -inf, -inf]]
    )
    value, gradient = ce(logits, np.array([0, 2, 1, 0, 1, 0]), reduction="none")
    half = np.log(2.0)
    assert np.allclose(value, [half, half, inf, np.nan, inf, np.nan], rtol=1e-15, equal_nan=True)
    expected = [[-0.5, 0, 0.5], [0.5, 0, -0.5], [0.5, -1, 0.5], [np.nan] * 3, [0.5, -1, 0.5]]
    assert np.allclose(np.asarray(gradient)[:5], expected, rtol=1e-15, atol=0, equal_nan=True)
    masked = ce(np.array([[0.0, 5.0, 0.0]]), np.array([0]), where=np.array([[True, False, True]]))
    assert float(masked[0]) == pytest.approx(half, rel=1e-15) and np.asarray(masked[1])[0, 1] == 0.0
    smooth, slopes = ce(logits[:1], np.array([0]), label_smoothing=0.5)
    assert float(smooth) == pytest.approx(half, rel=1e-15) and np.asarray(slopes)[0, 1] == 0.0


def law_gradient_rows_add_up_to_nothing(ce):
    """Shift invariance: without z-loss the gradient of a row sums to 0, and shifts leave everything as it was."""
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(size=(5, 7)) * 64) / 16
    target = rng.integers(0, 7, 5)
    value, gradient = ce(logits, target, label_smoothing=0.2, class_weight=np.arange(1.0, 8.0))
    assert np.abs(np.asarray(gradient).sum(axis=1)).max() < 1e-15 * 8
    moved, _ = ce(logits + 1024.0, target, label_smoothing=0.2, class_weight=np.arange(1.0, 8.0))
    assert float(moved) == pytest.approx(float(value), rel=1e-15)


def law_any_axis(ce):
    """The class axis may be any axis."""
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(2, 5, 3)), rng.integers(0, 5, (2, 3))
    value, gradient = ce(logits, target, 1, reduction="none")
    for i, j in np.ndindex(2, 3):
        one, slope = ce(logits[i, :, j], target[i, j])
        assert float(np.asarray(value)[i, j]) == pytest.approx(float(one), rel=1e-15)
        assert np.allclose(np.asarray(gradient)[i, :, j], slope, rtol=1e-14, atol=1e-16)


LAWS = [f for name, f in globals().items() if name.startswith("law_")]


@pytest.mark.parametrize("path", PATHS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("law", LAWS, ids=lambda f: f.__name__)
def test_cross_entropy_obeys(law, path):
    law(path)


def test_kernel_and_generic_text_agree():
    rng = np.random.default_rng(2)
    for dtype, unit in ((np.float32, 2.0**-24), (np.float64, 2.0**-53)):
        logits = (rng.normal(size=(50, 33)) * rng.choice([0.1, 3, 50], size=(50, 1))).astype(dtype)
        target = rng.integers(0, 33, 50)
        weight = rng.uniform(size=33)
        fast, slow = (ce(logits, target, class_weight=weight, reduction="none") for ce in PATHS)
        scale = 1 + np.abs(slow[0]) + np.abs(logits).max(axis=1)
        check(fast[0], slow[0], scale, 8 * unit, dtype.__name__)
        check(fast[1], slow[1], (np.ones_like(logits) * np.abs(logits).max(axis=1)[:, None]), 8 * unit, dtype.__name__)
        assert fast[0].dtype == fast[1].dtype == dtype


DTYPES = ["float16", "float32", "float64", "longdouble", "int8", "uint8", "int64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_follow_the_table(dtype):
    logits = np.array([[0, 1, 1], [1, 0, 0]], dtype)
    value, gradient = sm.cross_entropy_and_gradient(logits, [1, 2])
    expected = {"int8": "f4", "uint8": "f4", "bool": "f4", "int64": "f8"}.get(dtype, dtype)
    assert value.dtype == gradient.dtype == np.dtype(expected)
    assert float(value) == pytest.approx(np.mean([np.log(2 + np.exp(-1)), np.log(2 + np.e)]), rel=2e-3)
    assert float(sm.cross_entropy(logits, [1, 2])) == float(value)


def test_gradient_can_be_written_over_the_logits_and_nowhere_else_that_overlaps():
    rng = np.random.default_rng(3)
    logits, target = rng.normal(size=(4, 6)), rng.integers(0, 6, 4)
    _, expected = sm.cross_entropy_and_gradient(logits, target)
    place = logits.copy()
    _, got = sm.cross_entropy_and_gradient(place, target, gradient_out=place)
    assert got is place and np.array_equal(place, expected)
    for out in (np.empty((4, 6)), np.empty((6, 4)).T, np.empty((4, 12))[:, ::2]):
        assert np.array_equal(sm.cross_entropy_and_gradient(logits, target, gradient_out=out)[1], expected)
    soft = np.full((4, 6), 1 / 6)
    out = np.empty((4, 6))
    assert sm.cross_entropy_and_gradient(logits, soft, gradient_out=out)[1] is out
    shared = np.zeros(48)
    with pytest.raises(ValueError, match="overlaps"):
        sm.cross_entropy_and_gradient(shared[:24].reshape(4, 6), target, gradient_out=shared[6:30].reshape(4, 6))
    with pytest.raises(ValueError, match="shape"):
        sm.cross_entropy_and_gradient(logits, target, gradient_out=np.empty((4, 5)))
    out = np.full((4, 6), 5.0)
    with pytest.raises(ValueError, match="6 classes"):
        sm.cross_entropy_and_gradient(logits, target + 6, gradient_out=out)
    assert np.all(out == 5.0)


def test_layouts_do_not_matter():
    rng = np.random.default_rng(4)
    logits, target = rng.normal(size=(4, 6)), rng.integers(0, 6, 4)
    value, gradient = sm.cross_entropy_and_gradient(logits, target)
    wide = np.zeros((8, 12))
    wide[::2, ::2] = logits
    frozen = logits.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(logits), wide[::2, ::2], logits.astype(logits.dtype.newbyteorder()), frozen):
        got = sm.cross_entropy_and_gradient(same, target)
        assert got[0] == value and np.array_equal(got[1], gradient)


REFUSED = [
    ({"target": [0, 3]}, ValueError, r"target\[1\] is 3.*3 classes"),
    ({"target": [0, -1]}, ValueError, r"target\[1\] is -1.*ignore_index"),
    ({"target": [0.0, 1.0]}, ValueError, "class indices must be integers"),
    ({"target": [[1, 0, 0], [0, 1, 0]]}, ValueError, "one-hot rows as floating-point"),
    ({"target": [[0.5, 0.5, 0.5], [1.0, 0, 0]]}, ValueError, r"row \[0\] adds up to 1.5"),
    ({"target": [[1.5, -0.5, 0], [1.0, 0, 0]]}, ValueError, "-0.5"),
    ({"target": [[np.nan, 0.5, 0], [1.0, 0, 0]]}, ValueError, "nan"),
    ({"target": ["a", "b"]}, TypeError, "dtype"),
    ({"target": [[1.0, 0, 0], [1.0, 0, 0]], "ignore_index": 0}, ValueError, "sample_weight of 0"),
    ({"target": [0, 1], "class_weight": [1, 2]}, ValueError, r"class_weight has shape \(2,\)"),
    ({"target": [0, 1], "class_weight": [1, 2, np.inf]}, ValueError, "finite"),
    ({"target": [0, 1], "sample_weight": [1, -2]}, ValueError, "not negative"),
    ({"target": [0, 1], "reduction": "average"}, ValueError, "'mean', 'sum', 'none'"),
    ({"target": [0, 1], "base": 1}, ValueError, "base"),
    ({"target": [0, 1], "label_smoothing": 1.5}, ValueError, "from 0 to 1"),
    ({"target": [0, 1], "z_loss": -1}, ValueError, "z_loss"),
    ({"target": [0, 1], "where": [1, 1, 0]}, TypeError, "booleans"),
    ({"target": [0, 1], "where": [True, False]}, ValueError, "broadcast"),
    ({"target": np.ma.array([0, 1], mask=[0, 1])}, TypeError, "masked"),
]


@pytest.mark.parametrize("options, error, message", REFUSED, ids=lambda v: str(v)[:40])
def test_what_cannot_be_used_is_refused_clearly(options, error, message):
    with pytest.raises(error, match=message):
        sm.cross_entropy(np.zeros((2, 3)), **options)


def test_small_label_types_reach_many_classes():
    logits = np.zeros((2, 1000))
    assert sm.cross_entropy(logits, np.array([0, 100], np.int8)) == pytest.approx(np.log(1000))
    assert sm.cross_entropy(logits, np.array([0, 200], np.uint8)) == pytest.approx(np.log(1000))


# --- broken implementations: each must be caught ---------------------------------------------------------------


def _plain(logits, target, axis=-1, *, base=None, reduction="mean", label_smoothing=0.0, class_weight=None,
           sample_weight=None, ignore_index=None, z_loss=0.0, where=None, **broken):  # fmt: skip
    """A textbook implementation with a switch for each classical mistake."""
    z = np.moveaxis(np.asarray(logits, dtype=np.result_type(np.asarray(logits).dtype, np.float32)), axis, -1)
    if where is not None:
        z = np.where(where, z, -np.inf)
    target = np.asarray(target)
    k = z.shape[-1]
    with np.errstate(all="ignore"):
        top = z.max(-1, keepdims=True) if z.size else np.zeros((*z.shape[:-1], 1))
        e = np.exp(z - top)
        log_p = z - top - np.log(e.sum(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        s = np.ones(z.shape[:-1]) if sample_weight is None else np.asarray(sample_weight)
        labels = target.dtype.kind in "iu"
        if labels:
            if ignore_index is not None:
                s = s * (target != ignore_index)
                target = np.where(target == ignore_index, 0, target)
            q = np.eye(k)[target]
        else:
            q = target
        count = k if "smooths_impossible" in broken else (z > -np.inf).sum(-1, keepdims=True)
        u = (np.ones_like(q) if "smooths_impossible" in broken else (z > -np.inf)) / count
        q = (1 - label_smoothing) * q + label_smoothing * u
        w = np.ones(k) if class_weight is None else np.asarray(class_weight)
        c = w * q
        unit = 1 if base is None else np.log(10 if "always_base_10" in broken else base)
        losses = -np.where(c > 0, c * log_p, 0).sum(-1) / unit
        gradient = (c.sum(-1, keepdims=True) * p - c) / unit
        if "forgets_class_weight_in_gradient" in broken:
            gradient = (p - c) / unit
        lse = top[..., 0] + np.log(e.sum(-1))
        losses = losses + z_loss * lse**2
        gradient = gradient + 2 * z_loss * lse[..., None] * p
        losses, gradient = np.where(s > 0, s * losses, 0), np.where(s[..., None] > 0, s[..., None] * gradient, 0)
        weight = s * (w[target] if labels else 1.0)
        divisor = weight.sum() if reduction == "mean" else 1.0
        if "divides_by_rows" in broken and reduction == "mean":
            divisor = float(s.size)
        divisor = divisor or 1.0
    sign = -1 if "minus_gradient" in broken else 1
    value = losses if reduction == "none" else losses.sum() / divisor
    return value, sign * np.moveaxis(gradient, -1, axis) / divisor


def _saboteur(name):
    def broken(logits, target, axis=-1, **options):
        return _plain(logits, target, axis, **options, **{name: True})

    broken.__name__ = name
    return broken


def _gradient_of_a_neighbour(logits, target, axis=-1, **options):
    value, gradient = sm.cross_entropy_and_gradient(logits, target, axis, **options)
    return value, np.roll(gradient, 1, axis)


def _unshifted(logits, target, axis=-1, **options):
    """Subtracts 1 from p_y: all digits of confident rows are gone."""
    value, gradient = sm.cross_entropy_and_gradient(logits, target, axis, **options)
    return value, (gradient + 1.0) - 1.0


def _nan_spreads(logits, target, axis=-1, **options):
    value, gradient = sm.cross_entropy_and_gradient(logits, target, axis, **options)
    return value, gradient * (np.nan if np.isnan(np.asarray(logits, float)).any() else 1.0)


def _ignores_axis(logits, target, axis=-1, **options):
    return sm.cross_entropy_and_gradient(logits, target, -1, **options)


def _moves_with_shifts(logits, target, axis=-1, **options):
    value, gradient = sm.cross_entropy_and_gradient(logits, target, axis, **options)
    return value * (1 + 1e-12 * np.nan_to_num(np.max(logits, initial=0))), gradient


SABOTEURS = [
    *map(_saboteur, ("plain_log_of_sum", "smooths_impossible", "always_base_10", "forgets_class_weight_in_gradient",
                     "divides_by_rows", "minus_gradient")),
    _gradient_of_a_neighbour, _unshifted, _nan_spreads, _ignores_axis, _moves_with_shifts,
]  # fmt: skip


def caught_by(implementation):
    caught = []
    for law in LAWS:
        try:
            law(implementation)
        except Exception:
            caught.append(law.__name__)
    return caught


def test_every_saboteur_is_caught_and_no_law_is_idle():
    caught = {broken.__name__: caught_by(broken) for broken in SABOTEURS}
    assert all(caught.values()), caught
    assert {name for laws in caught.values() for name in laws} == {law.__name__ for law in LAWS}
