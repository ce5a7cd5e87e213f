"""Members with one thing wrong each. A law that catches none of them is asleep; one that none catches is a hole."""

import dataclasses

import numpy as np

from softmaxes import maps


class Sound:
    """A member as it is, under the name by which the laws look up its definition."""

    def __init__(self, original, **replaced):
        self.original = original
        self._replaced = replaced

    def __call__(self, *args):
        return self._run("__call__", *args)

    def __getattr__(self, name):
        return lambda *args: self._run(name, *args)

    def _run(self, name, *args):
        if name in self._replaced:
            return self._replaced[name](self.original, *args)
        return getattr(self.original, name)(*args)

    def __repr__(self):
        return self._replaced["repr"] if "repr" in self._replaced else repr(self.original)


def _claims(member, **wrong):
    return Sound(member, properties=lambda m: dataclasses.replace(m.properties(), **wrong))


def _as_numpy(f):
    return lambda m, z, *others: f(m, np.asarray(z), *(np.asarray(o) for o in others))


def _cross_rows(m, z):
    p = np.exp(np.asarray(z) - np.max(z))
    return p / p.sum(-1, keepdims=True) if np.ndim(z) > 1 else p / p.sum()


SOFT, TAYLOR, SPARSE, ENTMAX, LINEAR = maps.Softmax(), maps.Taylor(2), maps.Sparsemax(), maps.Entmax(1.5), maps.Linear()

MEMBERS = {
    "forgets to divide": Sound(SOFT, __call__=lambda m, z: np.exp(z)),
    "value off by 1e-9": Sound(SOFT, __call__=lambda m, z: m(z) * (1 + 1e-9)),
    "one class is not certain": Sound(SOFT, __call__=lambda m, z: m(z) * (1 - 1e-9)),
    "log of the rounded p": Sound(SOFT, log=lambda m, z: np.log(m(z))),
    "log by max alone": Sound(SOFT, log=lambda m, z: z - np.max(z, axis=-1, keepdims=True)),
    "jvp with the transpose": Sound(TAYLOR, jvp=lambda m, z, v: m.vjp(z, v)),
    "vjp with the transpose": Sound(TAYLOR, vjp=lambda m, z, u: m.jvp(z, u)),
    "jacobian transposed": Sound(TAYLOR, jacobian=lambda m, z: np.swapaxes(m.jacobian(z), -1, -2)),
    "second derivative of the diagonal only": Sound(SOFT, second_derivative=lambda m, z, u, v: u * m.jvp(z, v)),
    "second derivative without bend": Sound(ENTMAX, second_derivative=lambda m, z, u, v: 0 * u * v * m(z)),
    "soft target without Omega(y)": Sound(SPARSE, loss=lambda m, z, y: m.loss(z, y) - 0.1),
    "gradient subtracts 1": Sound(SOFT, loss_and_gradient=lambda m, z, y: (m.loss(z, y), m(z) - y)),
    "gradient of the target's probability for all": Sound(
        SOFT, loss_and_gradient=lambda m, z, y: (m.loss(z, y), (m(z) * y).sum(-1, keepdims=True) - y)
    ),
    "any target will do": Sound(SOFT, loss=lambda m, z, y: m.loss(z, np.clip(y, 0, 4) if np.ndim(y) < 2 else y)),
    "loss as a difference": Sound(SPARSE, loss=lambda m, z, y: (m.loss(z, y) + 1e3) - 1e3),
    "loss Hessian of softmax for all": Sound(TAYLOR, loss_hessian_product=lambda m, z, y, v: maps.Softmax().jvp(z, v)),
    "entropy in bits": Sound(SOFT, entropy=lambda m, z: m.entropy(z) / np.log(2)),
    "entropy gradient p - 1": Sound(SOFT, entropy_gradient=lambda m, z: m(z) - 1),
    "entropy Hessian diag p - pp": Sound(SOFT, entropy_hessian_product=lambda m, z, v: m.jvp(z, v)),
    "expansion of first order": Sound(
        SOFT, entropy_expansion=lambda m, z, d: m.entropy(z) + (m.entropy_gradient(z) * d).sum(-1)
    ),
    "masks by a large negative number": Sound(LINEAR, vjp=lambda m, z, u: m.vjp(z, u) + 1e-30),
    "fills NaN": Sound(SOFT, __call__=lambda m, z: np.nan_to_num(m(z), nan=0.2)),
    "NaN at infinity": Sound(SOFT, __call__=lambda m, z: m(z) + 0 * np.where(np.isposinf(z), np.nan, 0.0)),
    "one maximum for all rows": Sound(SOFT, __call__=lambda m, z: m(z) * (1 + 1e-13 * np.ndim(z))),
    "reads memory in its own order": Sound(SOFT, __call__=_as_numpy(lambda m, z: m(z.ravel("K").reshape(z.shape)))),
    "favours the first class": Sound(SOFT, __call__=lambda m, z: m(z) + 1e-9 * (np.arange(np.shape(z)[-1]) == 0)),
    "always float64": Sound(SOFT, __call__=lambda m, z: m(np.asarray(z, np.float64))),
    "NumPy only": Sound(SOFT, __call__=_as_numpy(lambda m, z: m(z))),
    "fails on nothing": Sound(SOFT, __call__=lambda m, z: m(z) / (np.asarray(z).size > 0)),
    "repr of something else": Sound(ENTMAX, repr="Entmax(alpha=1.6)"),
    "claims shifts": _claims(TAYLOR, shift_invariant=True),
    "denies shifts": _claims(SOFT, shift_invariant=False),
    "claims scales": _claims(SOFT, scale_invariant=True),
    "claims order": _claims(maps.Spherical(), order_preserving=True),
    "claims zeros": _claims(SOFT, sparse=True),
    "denies zeros": _claims(SPARSE, sparse=False),
    "claims smoothness": _claims(SPARSE, differentiable=True),
    "claims too much contraction": _claims(SOFT, lipschitz=0.4),
    "claims too little contraction": _claims(SOFT, lipschitz=1.0),
}
