"""`softmaxes family`: the members of the family, and what each is like."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from .console import table

__all__ = ["family"]

PROPERTIES = {
    "shift_invariant": "shift",
    "scale_invariant": "scale",
    "order_preserving": "order",
    "sparse": "sparse",
    "differentiable": "smooth",
    "strictly_positive": "positive",
}


def family(logits: Annotated[list[float] | None, Parameter(allow_leading_hyphen=True)] = None, /) -> None:
    """List the ways from scores to probabilities, and what each of them keeps.

    shift: adding a number to all logits changes nothing. scale: multiplying them by one changes nothing. order: a
    larger logit never gets less. sparse: probabilities can be exactly 0. smooth: differentiable everywhere. positive:
    probabilities are never 0. Lipschitz: how fast probabilities can change with the logits, at most.

    Softmax alone is both a normalised score and a regularised argmax.

    Examples:

    ```
    softmaxes family
    softmaxes family 2 1 -0.5
    ```

    Parameters
    ----------
    logits
        Logits to see the probabilities of every member for.
    """
    from softmaxes.maps import FAMILY

    if logits:
        z = np.array(logits)
        rows = [(repr(member), *probabilities(member, z)) for member in FAMILY]
        table(rows, heads=("member", *(f"{value:g}" for value in logits)), numbers=True)
        return
    rows = []
    for member in FAMILY:
        sheet = member.properties()
        kept = ["yes" if getattr(sheet, name) else "-" for name in PROPERTIES]
        low, high = sheet.domain
        domain = "all" if (low, high) == (-inf, inf) else f"{low:.3g} to {high:.3g}"
        rows.append((repr(member), *kept, "-" if sheet.lipschitz is None else f"{sheet.lipschitz:.3g}", domain))
    table(rows, heads=("member", *PROPERTIES.values(), "Lipschitz", "logits"))


def probabilities(member: Any, z: Any) -> list[str]:
    """Return the probabilities of one member as text; a dash for logits that it refuses."""
    try:
        return [f"{p:.4f}" for p in member(z).tolist()]
    except ValueError:
        return ["-"] * len(z)
