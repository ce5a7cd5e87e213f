"""The family: every member under one interface, listed once.

A newcomer adds a file with a frozen value in it, and one line to FAMILY; laws, losses, the classifier, the command
line, the docs page, the report and the explorer read the list.
"""

from __future__ import annotations

from softmaxes.maps.base import Member, Properties
from softmaxes.maps.functions import entmax, linear_normalize, sparsemax, spherical_softmax, taylor_softmax
from softmaxes.maps.generalized import Generalized
from softmaxes.maps.hardmax import Hardmax
from softmaxes.maps.linear import Linear, MinShift
from softmaxes.maps.normalised import NormalisedScores
from softmaxes.maps.polynomial import Taylor
from softmaxes.maps.regularised import RegularisedArgmax
from softmaxes.maps.sigmoid import log_sigmoid, sigmoid, softplus
from softmaxes.maps.softmax import Softmax
from softmaxes.maps.spherical import Spherical
from softmaxes.maps.tsallis import Entmax, Sparsemax

__all__ = [
    "FAMILY",
    "Entmax",
    "Generalized",
    "Hardmax",
    "Linear",
    "Member",
    "MinShift",
    "NormalisedScores",
    "Properties",
    "RegularisedArgmax",
    "Softmax",
    "Sparsemax",
    "Spherical",
    "Taylor",
    "entmax",
    "linear_normalize",
    "log_sigmoid",
    "member",
    "sigmoid",
    "softplus",
    "sparsemax",
    "spherical_softmax",
    "taylor_softmax",
]

FAMILY: tuple[Member, ...] = (
    Softmax(),
    Softmax(temperature=0.5),
    Linear(),
    MinShift(),
    Taylor(2),
    Taylor(3),
    Taylor(4),
    Spherical(),
    Spherical(epsilon=0.5),
    Generalized.softplus(),
    Generalized.double_exponential(),
    Sparsemax(),
    Entmax(1.5),
    Entmax(1.2),
    Hardmax(),
)
"""The members by example: one value for each name that a user may give, the first of a name being its default."""


def member(name: str | Member) -> Member:
    """Return the member of this name ("softmax", "sparsemax", "softplus", ...), or the member itself.

    Raises ValueError that lists the known names, TypeError for anything but a name or a member.

    Examples
    --------
    >>> from softmaxes.maps import member
    >>> member("entmax")
    Entmax(alpha=1.5)
    """
    if isinstance(name, Member):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a map is a name or a member of the family, not {type(name).__name__}")
    known: dict[str, Member] = {}
    for m in FAMILY:
        known.setdefault(m.title if isinstance(m, Generalized) else m.name, m)
    if name not in known:
        raise ValueError(f"no map is called {name!r}; known are {', '.join(known)}")
    return known[name]
