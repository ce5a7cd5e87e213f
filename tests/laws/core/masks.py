"""Laws of `where=`, of -inf as an impossible class, and of rows in which nothing is possible."""

import itertools

import numpy as np
from tests.laws.core.subject import ELEMENTWISE, FUNCTIONS, equal, law, normal, refuses, same_bits, within_ulp

TYPES = ("float32", "float64", "float16")
IMPOSSIBLE = {"softmax": 0, "log_softmax": -np.inf, "softmin": 0, "hardmax": 0}


@law(itertools.product(ELEMENTWISE, TYPES))
def masked_entries_are_impossible(core, case):
    function, dtype = case
    x = normal(6, 40, dtype=dtype)
    keep = np.random.default_rng(1).random(x.shape) < 0.6
    got = core.named(function)(x, where=keep)
    equal(got[~keep], np.full((~keep).sum(), IMPOSSIBLE[function]), case)


@law(itertools.product(("softmax", "log_softmax", "logsumexp"), ("float32", "float64")))
def a_mask_is_a_deletion(core, case):
    function, dtype = case
    x = normal(5, 40, dtype=dtype)
    keep = np.random.default_rng(2).random(x.shape) < 0.5
    got = core.named(function)(x, where=keep)
    for i in range(len(x)):
        result = got[i] if function == "logsumexp" else got[i][keep[i]]
        within_ulp(result, x[i][keep[i]], function, 4, (case, i))


@law(itertools.product(FUNCTIONS, TYPES))
def a_mask_is_minus_infinity(core, case):
    """Bits of `where=` equal those of -inf written into the row (softmin: +inf; soft_argmax keeps the positions)."""
    function, dtype = case
    x = normal(5, 40, dtype=dtype)
    keep = np.random.default_rng(3).random(x.shape) < 0.5
    never = np.inf if function == "softmin" else -np.inf
    same_bits(
        core.named(function)(x, where=keep), core.named(function)(np.where(keep, x, np.array(never, dtype))), case
    )


@law(itertools.product(FUNCTIONS, TYPES))
def what_is_masked_cannot_be_seen(core, case):
    function, dtype = case
    x = normal(4, 30, dtype=dtype)
    keep = np.random.default_rng(4).random(x.shape) < 0.5
    want = core.named(function)(x, where=keep)
    for junk in (np.nan, np.inf, -np.inf, np.finfo(dtype).max):
        spoilt = np.where(keep, x, np.array(junk, dtype))
        same_bits(core.named(function)(spoilt, where=keep), want, (case, junk))


@law(itertools.product(FUNCTIONS, TYPES))
def a_mask_broadcasts(core, case):
    function, dtype = case
    x = normal(3, 4, 10, dtype=dtype)
    rng = np.random.default_rng(5)
    for shape in ((10,), (4, 10), (3, 1, 10), (1, 1, 10)):
        keep = rng.random(shape) < 0.6
        full = np.broadcast_to(keep, x.shape).copy()
        for axis in (-1, 1):
            got = core.named(function)(x, axis=axis, where=keep)
            same_bits(got, core.named(function)(x, axis=axis, where=full), (case, shape, axis))


@law(FUNCTIONS)
def a_mask_that_does_not_fit_is_refused(core, function):
    refuses(lambda: core.named(function)(normal(3, 4), where=np.ones(3, bool)), ValueError)


@law(itertools.product(("softmax", "log_softmax"), TYPES, ("-inf", "where")))
def a_row_without_a_possible_class_follows_the_policy(core, case):
    function, dtype, how = case
    call = core.named(function)
    x = normal(3, 5, dtype=dtype)
    options = {}
    if how == "where":
        options["where"] = np.array([[True] * 5, [False] * 5, [True] * 5])
    else:
        x[1] = -np.inf
    others = call(x[[0, 2]])
    logs = function == "log_softmax"
    policies = {
        "nan": np.full(5, np.nan),
        "zero": np.full(5, -np.inf if logs else 0.0),
        "uniform": np.full(5, -np.log(5) if logs else 0.2).astype(dtype),
    }
    equal(call(x, **options)[1], policies["nan"], (case, "default"))
    for policy, want in policies.items():
        got = call(x, empty=policy, **options)
        equal(got[1], want, (case, policy))
        same_bits(got[[0, 2]], others, (case, policy))
    refuses(lambda: call(x, empty="raise", **options), ValueError)
    same_bits(call(x[[0, 2]], empty="raise"), others, (case, "raise, where every row has a class"))


@law(TYPES)
def logsumexp_of_nothing_is_minus_infinity(core, dtype):
    x = np.full((2, 4), -np.inf, dtype)
    equal(core.logsumexp(x), [-np.inf, -np.inf], dtype)
    equal(core.logsumexp(np.zeros((2, 4), dtype), where=np.zeros((2, 4), bool)), [-np.inf, -np.inf], dtype)


@law(("softmax", "log_softmax"))
def a_policy_must_be_known(core, function):
    refuses(lambda: core.named(function)(normal(2, 3), empty="whatever"), ValueError, "whatever", "uniform")
