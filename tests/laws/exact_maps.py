"""The family in mpmath, from the definitions alone, with derivatives by mpmath differences: what the laws expect.

A member without a definition here is compared with its own values in extended precision, more coarsely.
"""

import functools

import numpy as np
from mpmath import exp, factorial, inf, log, log1p, mp, mpf

from softmaxes import maps

mp.dps = max(mp.dps, 90)  # ten digits of a loss of 1e-20 remain after differences with steps of 1e-20


def _normalised(phi):
    def probabilities(z):
        weights = [phi(x) if x > -inf else mpf(0) for x in z]
        return [w / sum(weights) for w in weights]

    return probabilities


def _min_shift(z):
    low = min(x for x in z if x > -inf)
    y = [x - low if x > -inf else mpf(0) for x in z]
    return [x / sum(y) for x in y] if sum(y) else _normalised(lambda x: mpf(1))(z)


def _softmax(beta):
    def probabilities(z):
        top = max(z)
        return _normalised(lambda x: exp(beta * (x - top)))(z)

    return probabilities


def _sparsemax(z):
    ordered = sorted((x for x in z if x > -inf), reverse=True)
    best = max(k for k in range(1, len(ordered) + 1) if 1 + k * ordered[k - 1] > sum(ordered[:k]))
    tau = (sum(ordered[:best]) - 1) / best
    return [max(x - tau, mpf(0)) for x in z]


def _entmax(alpha):
    """By Newton's method on the convex falling sum, from the left end of tau in [(a-1) max z - 1, ...]."""
    e = mpf(alpha) - 1
    if e == 0:
        return _softmax(1)

    def probabilities(z):
        y = [e * x for x in z]
        tau = max(y) - 1
        for _ in range(200):
            kept = [x - tau for x in y if x > tau]
            step = (sum(x ** (1 / e) for x in kept) - 1) * e / sum(x ** (1 / e - 1) for x in kept)
            tau += step
            if abs(step) < mpf(10) ** -(mp.dps - 5):
                break
        return [(x - tau) ** (1 / e) if x > tau else mpf(0) for x in y]

    return probabilities


def _hardmax(z):
    top = max(z)
    return [mpf(int(x == top)) / sum(x == top for x in z) for x in z]


def definition(member):
    """Return the map as a function from a list of mpf to a list of mpf, or None."""
    match member:
        case maps.Softmax():
            return _softmax(1 / mpf(member.temperature) if member.base is None else log(mpf(member.base)))
        case maps.Linear():
            return _normalised(lambda x: x)
        case maps.MinShift():
            return _min_shift
        case maps.Taylor():
            return _normalised(lambda x: sum(x**i / factorial(i) for i in range(member.order + 1)))
        case maps.Spherical():
            return _normalised(lambda x: x * x + mpf(member.epsilon))
        case maps.Generalized(title="softplus"):
            return _normalised(lambda x: log1p(exp(x)))
        case maps.Generalized(title="double_exponential"):
            return _normalised(lambda x: exp(exp(x)))
        case maps.Sparsemax():
            return _sparsemax
        case maps.Entmax():
            return _entmax(member.alpha)
        case maps.Hardmax():
            return _hardmax
    return None


def regulariser(member):
    """Return Omega of the members whose loss is Fenchel-Young, else None."""
    alpha = {maps.Sparsemax: 2, maps.Hardmax: None}.get(type(member), getattr(member, "alpha", 0))
    if alpha == 0:
        return None
    if alpha is None:
        return lambda q: mpf(0)
    if alpha == 1:
        return lambda q: sum(x * log(x) for x in q if x > 0)
    alpha = mpf(alpha)
    return lambda q: sum(x**alpha - x for x in q if x > 0) / (alpha * (alpha - 1))


class Exact:
    """The exact answers for one member and one row: values, and derivatives by central differences."""

    def __init__(self, member):
        self.probabilities = definition(member)
        self.omega = regulariser(member)
        self.step = mpf(10) ** -20

    @classmethod
    @functools.cache
    def of(cls, member):
        return cls(member)

    def entropy(self, z):
        return -sum(p * log(p) for p in self.probabilities(z) if p > 0)

    def loss(self, z, q):
        p = self.probabilities(z)
        if self.omega is None:
            return -sum(b * (log(a) if a > 0 else -inf) for a, b in zip(p, q, strict=True) if b)
        product = sum((a - b) * x for a, b, x in zip(p, q, z, strict=True) if a != b)
        return product - self.omega(p) + self.omega(q)

    def along(self, function, z, v):
        """Return the derivative of function (to a list) along v."""
        h = self.step
        plus = function([a + h * b for a, b in zip(z, v, strict=True)])
        minus = function([a - h * b for a, b in zip(z, v, strict=True)])
        return [(a - b) / (2 * h) for a, b in zip(plus, minus, strict=True)]

    def gradient(self, function, z):
        """Return the gradient of function (to a number)."""
        units = [[mpf(int(i == j)) for i in range(len(z))] for j in range(len(z))]
        return [self.along(lambda x: [function(x)], z, unit)[0] for unit in units]

    def product(self, z, u):
        """Return J^T u."""
        return self.gradient(lambda x: sum(a * b for a, b in zip(u, self.probabilities(x), strict=True)), z)


def numbers(row):
    return [mpf(float(x)) for x in row]


def floats(row):
    return np.array([float(x) for x in row])


@functools.cache
def answer(member, what, z, *others):
    """Return one exact answer as floats; rows come as tuples so that the saboteurs reuse what was computed."""
    exact, z, others = Exact.of(member), numbers(z), [numbers(o) for o in others]
    match what:
        case "value":
            return floats(exact.probabilities(z))
        case "log":
            return floats(log(p) if p > 0 else -inf for p in exact.probabilities(z))
        case "jvp":
            return floats(exact.along(exact.probabilities, z, others[0]))
        case "vjp":
            return floats(exact.product(z, others[0]))
        case "second":
            return floats(exact.along(lambda x: exact.product(x, others[0]), z, others[1]))
        case "loss":
            return float(exact.loss(z, others[0]))
        case "loss_gradient":
            return floats(exact.gradient(lambda x: exact.loss(x, others[0]), z))
        case "loss_hessian":
            return floats(exact.along(lambda x: exact.gradient(lambda y: exact.loss(y, others[0]), x), z, others[1]))
        case "entropy":
            return float(exact.entropy(z))
        case "entropy_gradient":
            return floats(exact.gradient(exact.entropy, z))
        case "entropy_hessian":
            return floats(exact.along(lambda x: exact.gradient(exact.entropy, x), z, others[0]))
    raise KeyError(what)
