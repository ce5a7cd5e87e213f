"""linear_cross_entropy of torch tensors: the values of the dense loss, and its first and second derivatives."""

import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import softmaxes as sm

torch = pytest.importorskip("torch")

N, V, D = 7, 40, 5


def problem(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_(True) for shape in ((N, D), (V, D), (V,))
    )
    target = torch.randint(12, V, (N,), generator=generator)
    target[2] = 3
    return hidden, weight, bias, target


def distributions(mask=None):
    mass = np.random.default_rng(5).random((N, V)) * (1 if mask is None else mask)
    return torch.from_numpy(mass / mass.sum(axis=1, keepdims=True))


MASK = np.random.default_rng(1).random((N, V)) > 0.2
MASK[np.arange(N), problem()[3]] = True
OPTIONS = {
    "base": ({}, {"base": 2.0}),
    "reduction": ({}, {"reduction": "sum"}, {"reduction": "none"}),
    "label_smoothing": ({}, {"label_smoothing": 0.1}),
    "class_weight": ({}, {"class_weight": np.linspace(0, 1, V)}),
    "sample_weight": ({}, {"sample_weight": np.arange(N) / 4}),
    "ignore_index": ({}, {"ignore_index": 3}),
    "z_loss": ({}, {"z_loss": 0.01}),
    "where": ({}, {"where": MASK}),
}


def every_combination():
    for chosen in itertools.product(*OPTIONS.values()):
        yield {name: value for given in chosen for name, value in given.items()}


def dense(hidden, weight, target, bias, options):
    """Return the dense loss as a tensor, its whole graph by autograd."""
    given = {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return sm.cross_entropy(torch.nn.functional.linear(hidden, weight, bias), target, **given)


def least_budget(*arguments, **options):
    with pytest.raises(ValueError, match=r"max_bytes=1 is too small.* needs \d+ bytes") as caught:
        sm.linear_cross_entropy(*arguments, max_bytes=1, **options)
    return int(str(caught.value).split()[-2])


@pytest.mark.parametrize("soft", (False, True), ids=("labels", "distributions"))
@pytest.mark.parametrize("tight", (False, True), ids=("generous", "tight"))
def test_values_and_gradients_are_the_dense_ones(soft, tight):
    hidden, weight, bias, labels = problem()
    for options in every_combination():
        if soft and "ignore_index" in options:
            continue
        target = distributions(options.get("where")) if soft else labels
        budget = least_budget(hidden, weight, target, bias, **options) if tight else 2**26
        value = sm.linear_cross_entropy(hidden, weight, target, bias, max_bytes=budget, **options)
        exact = dense(hidden, weight, target, bias, options)
        torch.testing.assert_close(value, exact, rtol=1e-12, atol=1e-13, msg=lambda m, o=options: f"{o}: {m}")
        u = torch.linspace(-1, 2, N, dtype=torch.float64) if value.ndim else torch.tensor(1.7, dtype=torch.float64)
        found = torch.autograd.grad(value, (hidden, weight, bias), u)
        for a, b in zip(found, torch.autograd.grad(exact, (hidden, weight, bias), u), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12, msg=lambda m, o=options: f"{o}: {m}")


def second_derivatives(value, inputs, directions):
    """Return the gradient of the gradient's product with some directions, the upstream factor's included."""
    u = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape).requires_grad_(True)
    first = torch.autograd.grad(value, inputs, u, create_graph=True)
    along = sum((a * b).sum() for a, b in zip(first, directions, strict=True))
    return torch.autograd.grad(along, (u, *inputs))


@pytest.mark.parametrize("soft", (False, True), ids=("labels", "distributions"))
@pytest.mark.parametrize("tight", (False, True), ids=("generous", "tight"))
def test_second_derivatives_are_the_dense_ones(soft, tight):
    hidden, weight, bias, labels = problem()
    inputs = hidden, weight, bias
    directions = [torch.from_numpy(np.random.default_rng(i).standard_normal(x.shape)) for i, x in enumerate(inputs)]
    for options in itertools.islice(every_combination(), 0, None, 5):
        if soft and "ignore_index" in options:
            continue
        target = distributions(options.get("where")) if soft else labels
        # the second derivatives are swept by torch, as single rows are: that may need a little more
        kinds = (options, options | {"reduction": "none"})
        budget = max(least_budget(hidden, weight, target, bias, **o) for o in kinds) if tight else 2**26
        value = sm.linear_cross_entropy(hidden, weight, target, bias, max_bytes=budget, **options)
        found = second_derivatives(value, inputs, directions)
        exact = second_derivatives(dense(hidden, weight, target, bias, options), inputs, directions)
        for a, b in zip(found, exact, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, msg=lambda m, o=options: f"{o}: {m}")


@pytest.mark.parametrize(
    "options",
    (
        {},
        {"reduction": "sum", "label_smoothing": 0.1, "z_loss": 0.01, "base": 2.0},
        {"reduction": "none", "label_smoothing": 0.1, "class_weight": [0.0, 1.0, 0.5, 2.0]},
        {"sample_weight": [0.5, 0.0, 2.0], "where": [True, True, False, True]},
    ),
)
def test_derivatives_pass_torchs_own_check(options):
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randn(*s, generator=generator, dtype=torch.float64, requires_grad=True) for s in ((3, 2), (4, 2), (4,))
    ]

    def f(h, w, b):
        return sm.linear_cross_entropy(h, w, [3, 0, 1], b, **options)

    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_a_third_derivative_is_refused():
    hidden, weight, bias, target = problem()
    value = sm.linear_cross_entropy(hidden, weight, target, bias)
    (first,) = torch.autograd.grad(value, hidden, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="but no third"):
        second.sum().backward()


def test_the_graph_may_be_kept_and_used_again():
    hidden, weight, bias, target = problem()
    value = sm.linear_cross_entropy(hidden, weight, target, bias)
    first = torch.autograd.grad(
        value, (hidden, weight, bias), torch.tensor(2.0, dtype=torch.float64), retain_graph=True
    )
    again = torch.autograd.grad(value, (hidden, weight, bias), torch.tensor(3.0, dtype=torch.float64))
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(1.5 * a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reduction", ("mean", "none"))
@pytest.mark.parametrize("with_bias", (True, False))
@pytest.mark.parametrize("frozen", (True, False))
def test_only_what_is_wanted_is_differentiated(with_bias, frozen, reduction):
    hidden, weight, bias, target = problem()
    if frozen:
        weight = weight.detach()
    value = sm.linear_cross_entropy(hidden, weight, target, bias if with_bias else None, reduction=reduction)
    value.sum().backward()
    assert hidden.grad is not None
    assert (weight.grad is None) == frozen
    assert (bias.grad is not None) == with_bias
    with torch.no_grad():
        again = sm.linear_cross_entropy(hidden, weight, target, bias if with_bias else None, reduction=reduction)
    assert not again.requires_grad
    torch.testing.assert_close(again, value.detach(), rtol=1e-14, atol=0)


@pytest.mark.parametrize("frozen", ("hidden", "weight", "bias"))
def test_what_is_frozen_costs_no_gradient(frozen):
    rng = np.random.default_rng(0)
    sizes = {"hidden": (2000, 64), "weight": (3000, 64), "bias": (3000,)}
    given = {name: torch.from_numpy(rng.standard_normal(size)).requires_grad_(True) for name, size in sizes.items()}
    target = torch.from_numpy(rng.integers(0, 3000, 2000))
    inputs = given | {frozen: given[frozen].detach()}
    wanted = [x for x in inputs.values() if x.requires_grad]
    sm.linear_cross_entropy(**inputs, target=target, max_bytes=500_000)  # what is imported late is no gradient
    tracemalloc.start()
    value = sm.linear_cross_entropy(**inputs, target=target, max_bytes=500_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000 + sum(x.nbytes for x in wanted)
    exact = torch.autograd.grad(dense(inputs["hidden"], inputs["weight"], target, inputs["bias"], {}), wanted)
    # sums of 3000 products, in another order: each is off by 3000 units of the largest term at most, an eps of 2e-16
    for a, b in zip(torch.autograd.grad(value, wanted), exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_leading_axes_are_kept():
    hidden, weight, bias, target = problem()
    h, y = hidden[:6].detach().reshape(2, 3, D).requires_grad_(True), target[:6].reshape(2, 3)
    mask = MASK[:3]  # broadcasts over the first axis
    mask[:, y] = True
    for reduction in ("none", "mean"):
        value = sm.linear_cross_entropy(h, weight, y, bias, reduction=reduction, where=mask)
        exact = dense(h, weight, y, bias, {"reduction": reduction, "where": mask})
        torch.testing.assert_close(value, exact, rtol=1e-12, atol=0)
        (found,) = torch.autograd.grad(value.sum(), h)
        torch.testing.assert_close(found, torch.autograd.grad(exact.sum(), h)[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", ("bfloat16", "float16"))
def test_half_types_are_summed_in_float32(kind):
    hidden, weight, bias, target = (x.detach() for x in problem())
    narrow = [x.to(getattr(torch, kind)).requires_grad_(True) for x in (hidden, weight, bias)]
    value = sm.linear_cross_entropy(narrow[0], narrow[1], target, narrow[2])
    value.backward()
    wide = [x.detach().double().requires_grad_(True) for x in narrow]
    exact = dense(wide[0], wide[1], target, wide[2], {})
    exact.backward()
    assert value.dtype == narrow[0].dtype
    for a, b in ((value, exact), *((x.grad, y.grad) for x, y in zip(narrow, wide, strict=True))):
        assert a.dtype == value.dtype
        # one rounding to the narrow type; what is below its range is lost
        torch.testing.assert_close(a.double(), b, rtol=torch.finfo(a.dtype).eps, atol=1e-6)


def test_infinite_and_impossible_logits_have_their_limits():
    hidden, weight = torch.ones(1, 1), torch.zeros(4, 1)
    bias = torch.tensor([np.inf, 0.0, np.inf, -np.inf])
    for reduction in ("mean", "none"):
        for label, loss in ((0, np.log(2)), (1, np.inf), (3, np.inf)):
            value = sm.linear_cross_entropy(hidden, weight, [label], bias, reduction=reduction)
            assert float(value) == pytest.approx(loss)
        nothing = torch.full((4,), -np.inf)
        assert np.isnan(float(sm.linear_cross_entropy(hidden, weight, [0], nothing, reduction=reduction)))


@pytest.mark.parametrize("reduction", ("mean", "none"))
def test_a_confident_row_keeps_its_relative_accuracy(reduction):
    hidden = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    weight = torch.zeros(150, 2, dtype=torch.float64)
    weight[0, 0] = 40.0
    weight.requires_grad_(True)
    value = sm.linear_cross_entropy(hidden, weight, [0], reduction=reduction)
    value.sum().backward()
    others = 149 * np.exp(-40.0)
    assert float(value.detach()) == pytest.approx(np.log1p(others), rel=1e-13)
    assert float(weight.grad[0, 0]) == pytest.approx(-others / (1 + others), rel=1e-13)


@pytest.mark.parametrize("reduction", ("mean", "none"))
def test_rows_that_do_not_count_are_never_touched(reduction):
    hidden, weight, bias, target = problem()
    spoilt, marked = hidden.detach().clone(), target.clone()
    spoilt[4], marked[4] = np.nan, -1
    spoilt.requires_grad_(True)
    value = sm.linear_cross_entropy(spoilt, weight, marked, bias, ignore_index=-1, reduction=reduction)
    found = torch.autograd.grad(value.sum(), (spoilt, weight))
    rest = np.arange(N) != 4
    exact = sm.linear_cross_entropy(hidden[rest], weight, target[rest], bias, reduction=reduction)
    torch.testing.assert_close(value[rest] if value.ndim else value, exact, rtol=1e-14, atol=0)
    assert not found[0][4].any()
    torch.testing.assert_close(found[1], torch.autograd.grad(exact.sum(), weight)[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("target", (torch.zeros(0, dtype=torch.int64), [], ()), ids=("tensor", "list", "tuple"))
@pytest.mark.parametrize("reduction", ("mean", "none"))
def test_an_empty_batch_is_worth_nothing(reduction, target):
    hidden, weight, bias, _ = problem()
    value = sm.linear_cross_entropy(hidden[:0], weight, target, bias, reduction=reduction)
    value.sum().backward()
    assert float(value.detach().sum()) == 0
    assert not weight.grad.any()


# peak of memory in a process of its own: what torch allocates shows nowhere else
PEAK = """
import pathlib, re, sys, torch
import softmaxes as sm
reduction, order = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
torch.set_num_threads(1)
N, V, D, budget = 4000, 20000, 16, 12 * 2**20
dtype = torch.bfloat16 if reduction == "half" else torch.float32
hidden, weight = (torch.randn(n, D, dtype=dtype).requires_grad_(True) for n in (N, V))
target = torch.randint(0, V, (N,))

def run(rows):
    options = {"reduction": "mean" if reduction == "half" else reduction, "max_bytes": budget}
    value = sm.linear_cross_entropy(hidden[:rows], weight[:3000 if rows < N else V], target[:rows] % 3000, **options)
    found = torch.autograd.grad(value.sum(), (hidden, weight), create_graph=order > 1)
    return found if order == 1 else torch.autograd.grad(sum(g.sum() for g in found), (hidden, weight))

def resident(what):
    return int(re.search(what + r":\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024

run(500)  # libraries load, pools fill
before = resident("VmRSS")
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: it would begin with the parent's
kept = run(N)
print(resident("VmHWM") - before)
"""


@pytest.mark.parametrize("order", (1, 2))
@pytest.mark.parametrize("reduction", ("mean", "none", "half"))
def test_the_budget_holds(reduction, order):
    """320 MB of logits in a budget of 12 MB; the gradients are results, and so are those that are differentiated."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, reduction, str(order)], capture_output=True, text=True, check=True,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    gradients = 4 * (4000 + 20000) * 16 / 2**20
    # two sets of gradients for each order, and what malloc and the products' own packing keep
    assert float(done.stdout) < 12 + 3 * order * gradients + 8


@pytest.mark.parametrize("reduction", ("mean", "none"))
@pytest.mark.parametrize(
    ("change", "error", "message"),
    (
        ({"target": [40] * N}, ValueError, "40, but the logits have 40 classes"),
        ({"target": [-1] * N}, ValueError, "-1"),
        ({"target": [0]}, ValueError, "shape"),
        ({"target": torch.full((N, V), 0.5)}, ValueError, "adds up to"),
        ({"target": torch.full((N, 3), 1 / 3)}, ValueError, "shape"),
        ({"weight": torch.zeros(D, V)}, ValueError, r"needed are \(\.\.\., D\), \(V, D\)"),
        ({"weight": np.zeros((V, D))}, TypeError, "weight is a ndarray"),
        ({"hidden": torch.zeros(N, D, dtype=torch.complex64)}, TypeError, "complex"),
        ({"bias": torch.zeros(3)}, ValueError, r"bias \(3,\)"),
        ({"max_bytes": 10}, ValueError, "max_bytes=10 is too small"),
        ({"label_smoothing": 2.0}, ValueError, "label_smoothing=2.0"),
        ({"z_loss": -1.0}, ValueError, "z_loss"),
        ({"base": 1.0}, ValueError, "base"),
        ({"class_weight": [1.0]}, ValueError, "class_weight has shape"),
        ({"sample_weight": [-1.0] * N}, ValueError, "sample_weight holds -1"),
        ({"where": np.ones(3, bool)}, ValueError, "does not broadcast"),
        ({"where": np.ones(V, int)}, TypeError, "booleans are needed"),
    ),
)
def test_bad_input_is_refused_with_the_reason(change, error, message, reduction):
    hidden, weight, bias, target = problem()
    given = {"hidden": hidden, "weight": weight, "target": target, "bias": bias, "reduction": reduction} | change
    with pytest.raises(error, match=message):
        sm.linear_cross_entropy(**given)


def test_bad_reductions_and_other_devices_are_refused():
    hidden, weight, bias, target = problem()
    with pytest.raises(ValueError, match="'mean', 'sum', 'none'"):
        sm.linear_cross_entropy(hidden, weight, target, bias, reduction="average")
    with pytest.raises(ValueError, match="weight is on meta, but hidden on cpu"):
        sm.linear_cross_entropy(hidden, weight.to("meta"), target, bias)


def test_the_numpy_form_says_what_to_do_with_tensors():
    hidden, weight, _, target = problem()
    with pytest.raises(TypeError, match="backward"):
        sm.linear_cross_entropy_and_gradient(hidden, weight, target)
