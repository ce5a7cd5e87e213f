"""torch differentiates through every member and loss, once and twice.

torch is no dependency of the tests: `python -m pytest tests/rivals` runs this where it is installed.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import softmaxes as sm  # noqa: E402
from softmaxes import losses  # noqa: E402
from softmaxes.maps import FAMILY  # noqa: E402


def rows(m):
    low, high = m.properties().domain
    rng = np.random.default_rng(7)
    z = rng.uniform(max(low + 0.1, -2.0), min(high, 2.0), (1, 4))
    return torch.tensor(z, requires_grad=True)


@pytest.mark.parametrize("m", FAMILY, ids=repr)
def test_values_and_both_derivatives(m):
    z = rows(m)
    assert np.allclose(m(z).detach().numpy(), m(z.detach().numpy()), rtol=1e-14)
    u = torch.tensor(np.random.default_rng(8).normal(size=(1, 4)))
    (gradient,) = torch.autograd.grad((m(z) * u).sum(), z, create_graph=True)
    assert np.allclose(gradient.detach().numpy(), m.vjp(z.detach().numpy(), u.numpy()), rtol=1e-11, atol=1e-13)
    assert torch.autograd.gradcheck(m, (z,), atol=1e-6)
    assert torch.autograd.gradgradcheck(m, (z,), atol=1e-6)


@pytest.mark.parametrize("m", FAMILY, ids=repr)
def test_losses_and_entropy(m):
    z = rows(m)
    y = m(z.detach()).argmax(-1)
    (gradient,) = torch.autograd.grad(m.loss(z, y).sum(), z)
    _, expected = m.loss_and_gradient(z.detach().numpy(), y.numpy())
    assert np.allclose(gradient.numpy(), expected, rtol=1e-11, atol=1e-13)
    assert torch.autograd.gradcheck(lambda z: m.loss(z, y), (z,), atol=1e-6)
    assert torch.autograd.gradgradcheck(lambda z: m.loss(z, y), (z,), atol=1e-6)
    (gradient,) = torch.autograd.grad(m.entropy(z).sum(), z)
    assert np.allclose(gradient.numpy(), m.entropy_gradient(z.detach().numpy()), rtol=1e-10, atol=1e-12)


def test_masked_logits_have_gradient_zero():
    for m in (sm.Softmax(), sm.Sparsemax(), sm.Entmax(1.5), sm.Taylor(2), sm.Spherical(0.5)):
        z = torch.tensor([[1.0, -np.inf, 0.5]], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(m(z)[0, 0], z)
        assert gradient[0, 1] == 0 and torch.all(torch.isfinite(gradient)), m


def test_cross_entropy_matches_torch_with_every_shared_option():
    rng = np.random.default_rng(9)
    z = torch.tensor(rng.normal(size=(6, 5)), requires_grad=True)
    y = torch.tensor([0, 4, 2, -100, 1, 1])
    weight = torch.tensor(rng.uniform(0.5, 2, 5))
    for smoothing in (0.0, 0.1):
        for reduction in ("mean", "sum", "none"):
            shared = {"label_smoothing": smoothing, "reduction": reduction}
            expected = torch.nn.functional.cross_entropy(z, y, weight=weight, ignore_index=-100, **shared)
            got = sm.cross_entropy(z, y, class_weight=weight, ignore_index=-100, **shared)
            assert torch.allclose(got, expected, rtol=1e-13)
            slopes = [torch.autograd.grad(x.sum(), z, retain_graph=True)[0] for x in (got, expected)]
            assert torch.allclose(*slopes, rtol=1e-12, atol=1e-15)
    assert torch.autograd.gradgradcheck(lambda z: sm.cross_entropy(z, y, ignore_index=-100, z_loss=0.1), (z,))


def test_float16_and_bfloat16_tensors_keep_their_type():
    for dtype in (torch.float16, torch.bfloat16):
        z = torch.tensor([[0.5, 1.0, -1.0]], dtype=dtype)
        assert sm.Sparsemax()(z).dtype == dtype and losses.cross_entropy(z, torch.tensor([1])).dtype == dtype


def test_sigmoid_has_the_right_slope_at_zero():
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for function, slope in ((sm.sigmoid, 0.25), (sm.softplus, 0.5), (sm.log_sigmoid, 0.5)):
        assert torch.autograd.grad(function(z).sum(), z)[0].item() == slope
