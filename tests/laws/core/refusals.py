"""Laws of what is refused, always by a message that helps."""

import itertools

import numpy as np
from tests.laws.core.subject import FUNCTIONS, law, normal, refuses

REFUSED = {
    "complex64": np.ones(3, np.complex64),
    "complex128": np.ones(3, np.complex128),
    "object": np.array([1, 2, 3], object),
    "U1": np.array(["a", "b"]),
    "S1": np.array([b"a", b"b"]),
    "datetime64": np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"),
    "timedelta64": np.array([1, 2], "timedelta64[s]"),
    "void": np.zeros(3, [("a", float)]),
}


@law(itertools.product(FUNCTIONS, REFUSED))
def other_dtypes_are_refused_by_name(core, case):
    function, dtype = case
    x = REFUSED[dtype]
    call = (lambda: core.kl_divergence(x, x)) if function == "kl_divergence" else (lambda: core.named(function)(x))
    refuses(call, TypeError, str(x.dtype))


@law(FUNCTIONS)
def masked_arrays_are_never_unmasked(core, function):
    for mask in ([False, False, True], False):
        x = np.ma.array([1.0, 2.0, 3.0], mask=mask)
        call = (
            (lambda x=x: core.kl_divergence(x, x))
            if function == "kl_divergence"
            else (lambda x=x: core.named(function)(x))
        )
        refuses(call, TypeError, "where")


@law(("softmax", "log_softmax"))
def a_masked_out_is_refused(core, function):
    refuses(lambda: core.named(function)(normal(3), out=np.ma.array(np.zeros(3))), TypeError, "out")
