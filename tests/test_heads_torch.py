"""linear_cross_entropy of torch tensors: the values of the dense loss, and its first and second derivatives."""

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
    return hidden, weight, bias, torch.randint(0, V, (N,), generator=generator)


OPTIONS = {
    "plain": {},
    "sum of everything": {"reduction": "sum", "label_smoothing": 0.1, "z_loss": 0.01, "base": 2.0},
    "each row": {"reduction": "none", "label_smoothing": 0.1},
    "weights": {"class_weight": np.linspace(0, 1, V), "sample_weight": np.arange(N) / 4},
    "ignored": {"ignore_index": 3, "class_weight": np.linspace(0, 1, V)},
    "mask": {"where": np.arange(V) != 11},
}
LEAST = 10 * V * 8  # one row


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("tight", (False, True))
def test_values_and_gradients_are_the_dense_ones(options, tight):
    max_bytes = 2**26
    if tight:  # blocks of three rows by torch, or the smallest blocks by NumPy
        max_bytes = 3 * LEAST if options.get("reduction") == "none" else 60_000
    hidden, weight, bias, target = problem()
    target[target == 11] = 12
    target[2] = 3
    value = sm.linear_cross_entropy(hidden, weight, target, bias, max_bytes=max_bytes, **options)
    expected = sm.cross_entropy((hidden @ weight.T + bias).detach().numpy(), target.numpy(), **options)
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-12)
    u = torch.linspace(-1, 2, N, dtype=torch.float64) if value.ndim else torch.tensor(1.7, dtype=torch.float64)
    found = torch.autograd.grad(value, (hidden, weight, bias), u)
    dense = torch.nn.functional.linear(hidden, weight, bias)
    given = {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    exact = torch.autograd.grad(sm.cross_entropy(dense, target, **given), (hidden, weight, bias), u)
    for a, b in zip(found, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("options", [OPTIONS[k] for k in ("plain", "sum of everything", "each row", "weights")])
def test_first_and_second_derivatives_pass_torchs_own_check(options):
    hidden, weight, bias, target = problem()

    def f(h, w, b):
        return sm.linear_cross_entropy(h, w[:4], target[:3] % 4, b[:4], max_bytes=2**16, **shortened)

    shortened = {
        k: v[: 4 if k == "class_weight" else 3] if isinstance(v, np.ndarray) else v for k, v in options.items()
    }
    inputs = tuple(x.detach()[:4, :3].requires_grad_(True) if x.ndim == 2 else x.detach()[:4].requires_grad_(True)
                   for x in (hidden[:3], weight, bias))  # fmt: skip
    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("with_bias", (True, False))
@pytest.mark.parametrize("frozen", (True, False))
def test_only_what_is_wanted_is_differentiated(with_bias, frozen):
    hidden, weight, bias, target = problem()
    if frozen:
        weight = weight.detach()
    value = sm.linear_cross_entropy(hidden, weight, target, bias if with_bias else None)
    value.backward()
    assert hidden.grad is not None
    assert (weight.grad is None) == frozen
    assert (bias.grad is not None) == with_bias
    with torch.no_grad():
        again = sm.linear_cross_entropy(hidden, weight, target, bias if with_bias else None)
    assert not again.requires_grad
    assert float(again) == pytest.approx(float(value.detach()), rel=1e-14)


def test_half_types_are_computed_by_blocks():
    hidden, weight, bias, target = (x.detach() for x in problem())
    narrow = [x.to(torch.bfloat16).requires_grad_(True) for x in (hidden, weight, bias)]
    value = sm.linear_cross_entropy(narrow[0], narrow[1], target, narrow[2], max_bytes=2 * LEAST)
    value.backward()
    assert narrow[0].grad.dtype == torch.bfloat16
    assert float(value.detach()) == pytest.approx(
        float(sm.linear_cross_entropy(hidden, weight, target, bias)), rel=0.05
    )


def test_a_budget_too_small_names_the_least():
    hidden, weight, bias, target = problem()
    with pytest.raises(ValueError, match=f"needs {LEAST} bytes"):
        sm.linear_cross_entropy(hidden, weight, target, bias, max_bytes=LEAST - 1, reduction="none")


def test_the_numpy_form_says_what_to_do_with_tensors():
    hidden, weight, _, target = problem()
    with pytest.raises(TypeError, match="backward"):
        sm.linear_cross_entropy_and_gradient(hidden, weight, target)
