"""JAX on the CPU, compiled and waited for; it has no out=."""

import jax
import jax.numpy as jnp

PACKAGE = "jax"
jax.config.update("jax_enable_x64", True)


def _cross_entropy(x, target):
    return -jnp.take_along_axis(jax.nn.log_softmax(x), target[:, None], axis=-1).mean()


FUNCTIONS = {
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "logsumexp": jax.scipy.special.logsumexp,
}


def prepare(task, logits, target):
    if task.output == "warm":
        return None
    x = jnp.asarray(logits)
    if task.operation == "cross_entropy_and_gradient":
        compiled, labels = jax.jit(jax.value_and_grad(_cross_entropy)), jnp.asarray(target)
        return lambda: jax.block_until_ready(compiled(x, labels))
    if task.operation not in FUNCTIONS:
        return None
    compiled = jax.jit(FUNCTIONS[task.operation], static_argnums=1)
    return lambda: jax.block_until_ready(compiled(x, task.axis))
