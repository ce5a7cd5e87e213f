"""JAX differentiates, compiles and maps every member and loss.

JAX is no dependency of the tests: `python -m pytest tests/rivals` runs this where it is installed.
"""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

import softmaxes as sm  # noqa: E402
from softmaxes.maps import FAMILY  # noqa: E402


def rows(m):
    low, high = m.properties().domain
    rng = np.random.default_rng(7)
    return rng.uniform(max(low + 0.1, -2.0), min(high, 2.0), (3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


# Compiling takes seconds: one member of each kind of text is compiled and mapped, all are differentiated.
COMPILED = [sm.Softmax(), sm.Taylor(2), sm.Entmax(1.2), sm.Hardmax()]


@pytest.mark.parametrize("m", COMPILED, ids=repr)
def test_jit_and_vmap(m):
    z, _, _ = rows(m)
    assert np.allclose(jax.jit(m)(z), m(z), rtol=1e-12)
    assert np.allclose(jax.vmap(m)(jnp.asarray(z)), m(z), rtol=1e-12)
    slope = jax.jit(jax.vmap(jax.grad(lambda row: m.loss(row, jnp.asarray(1)))))(z)
    assert np.allclose(slope, m.loss_and_gradient(z, np.ones(3, int))[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("m", FAMILY, ids=repr)
def test_derivatives(m):
    z, u, v = rows(m)
    _, moved = jax.jvp(m, (jnp.asarray(z),), (jnp.asarray(v),))
    assert np.allclose(moved, m.jvp(z, v), rtol=1e-10, atol=1e-12)

    def inner(z):
        return jnp.sum(u * m(z))

    assert np.allclose(jax.grad(inner)(jnp.asarray(z)), m.vjp(z, u), rtol=1e-10, atol=1e-12)
    second = jax.jvp(jax.grad(inner), (jnp.asarray(z),), (jnp.asarray(v),))[1]
    assert np.allclose(second, m.second_derivative(z, u, v), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("m", FAMILY, ids=repr)
def test_losses(m):
    z, _, v = rows(m)
    y = np.asarray(m(z)).argmax(-1)
    value, expected = m.loss_and_gradient(z, y)

    def total(z):
        return jnp.sum(m.loss(z, jnp.asarray(y)))

    got, slope = jax.value_and_grad(total)(jnp.asarray(z))
    assert np.allclose(got, value.sum(), rtol=1e-12)
    assert np.allclose(slope, expected, rtol=1e-10, atol=1e-12)
    curved = jax.jvp(jax.grad(total), (jnp.asarray(z),), (jnp.asarray(v),))[1]
    assert np.allclose(curved, m.loss_hessian_product(z, y, v), rtol=1e-9, atol=1e-11)


def test_cross_entropy_compiles_with_traced_labels():
    z, y = np.random.default_rng(1).normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    options = {"label_smoothing": 0.1, "z_loss": 0.2, "class_weight": np.arange(1.0, 5.0)}
    value, gradient = sm.cross_entropy_and_gradient(z, y, **options)
    options["class_weight"] = jnp.asarray(options["class_weight"])
    got, slope = jax.jit(jax.value_and_grad(lambda z, y: sm.cross_entropy(z, y, **options)))(z, y)
    assert np.allclose(got, value, rtol=1e-13) and np.allclose(slope, gradient, rtol=1e-11, atol=1e-15)
