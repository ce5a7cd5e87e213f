"""A head as plain data and arrays, for the model file, and back: `softmaxes.persistence` seals the two into one file.

Trees, orders and tables are made anew from the counts; what training changes, the random generator included, is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.heads.adaptive import AdaptiveSoftmax
from softmaxes.heads.base import Head
from softmaxes.heads.cutoffs import projected
from softmaxes.heads.full import FullSoftmax
from softmaxes.heads.hierarchical import HierarchicalSoftmax
from softmaxes.heads.sampled import SampledSoftmax
from softmaxes.heads.samplers import LogUniformSampler, TopMixSampler, UniformSampler, UnigramSampler
from softmaxes.heads.spherical import SphericalHead

HEADS = {c.__name__: c for c in (AdaptiveSoftmax, FullSoftmax, HierarchicalSoftmax, SampledSoftmax, SphericalHead)}
SAMPLERS = {c.__name__: c for c in (LogUniformSampler, TopMixSampler, UniformSampler, UnigramSampler)}
Tensors = dict[str, NDArray[Any]]


def head_document(head: Head, tensors: Tensors) -> dict[str, Any]:
    """Return what a head is besides arrays, as data for JSON; the arrays are added to `tensors`.

    Raises TypeError for heads, samplers and random generators that a file can't name, and ValueError for weights that
    are not finite: a head that has diverged is not worth keeping.
    """
    if HEADS.get(type(head).__name__) is not type(head):
        raise TypeError(f"a {type(head).__name__} can't be saved; {', '.join(HEADS)} can")
    state = head.rng.bit_generator.state
    if state["bit_generator"] not in ("PCG64", "PCG64DXSM"):
        raise TypeError(f"a head with a generator {state['bit_generator']} can't be saved; give a seed as rng")
    for name, values in (("counts", head.counts), ("class_weight", head.class_weight)):
        if values is not None:
            tensors[name] = values
    for part, arrays in head._parts().items():
        for name, array in arrays.state().items():
            if not np.isfinite(array).all():
                raise ValueError(f"the head has diverged: its {part} is not finite, and was not saved")
            tensors[f"{part}.{name}"] = array
    document = {
        "type": type(head).__name__,
        "n_features": head.n_features,
        "n_classes": head.n_classes,
        "learning_rate": head.learning_rate,
        "dtype": head.dtype.name,
        "ignore_index": head.ignore_index,
        "settings": head._settings(),
        "rng": state,
    }
    if isinstance(head, SampledSoftmax):
        arguments = head.sampler.arguments()
        if SAMPLERS.get(type(head.sampler).__name__) is not type(head.sampler):
            raise TypeError(f"{head.sampler!r} can't be saved; {', '.join(SAMPLERS)} can")
        if arguments.get("counts") is not None:
            tensors["sampler.counts"] = arguments.pop("counts")
        document["sampler"] = {"type": type(head.sampler).__name__, **arguments}
    return document


def head_from(document: Mapping[str, Any], tensors: Tensors) -> Head:
    """Return the head that `head_document` described; raises ValueError or KeyError if the two do not fit together."""
    kind, settings = document["type"], dict(document["settings"])
    if kind not in HEADS:
        raise ValueError(f"a head of type {kind!r} is not known")
    if isinstance(settings.get("cutoffs"), list):
        settings["cutoffs"] = tuple(settings["cutoffs"])
    n_features, n_classes = document["n_features"], document["n_classes"]
    # before anything of that size is made
    needed, there = _entries(n_features, n_classes, settings), sum(t.size for t in tensors.values())
    if not 0 <= needed <= there:
        raise ValueError(f"{n_classes} classes of {n_features} features need {needed} weights, the file has {there}")
    if "sampler" in document:
        given = dict(document["sampler"])
        sampler = SAMPLERS[given.pop("type")]
        settings["sampler"] = sampler(**given | {k[8:]: v for k, v in tensors.items() if k.startswith("sampler.")})
    rng = np.random.Generator(getattr(np.random, _known(document["rng"]["bit_generator"]))(0))
    head = HEADS[kind](
        n_features, n_classes, tensors.get("counts"), rng,
        learning_rate=document["learning_rate"], dtype=document["dtype"], class_weight=tensors.get("class_weight"),
        ignore_index=document["ignore_index"], **settings,
    )  # fmt: skip
    for name, part in head._parts().items():
        part.restore({k.removeprefix(name + "."): t for k, t in tensors.items() if k.startswith(name + ".")})
    rng.bit_generator.state = document["rng"]
    return head


def _entries(n_features: int, n_classes: int, settings: Mapping[str, Any]) -> int:
    """Return how many weights such a head has at least."""
    if "cutoffs" not in settings:
        return (n_classes - 1) * n_features
    cutoffs = settings["cutoffs"]
    total = ((*cutoffs, n_classes)[0] + len(cutoffs)) * n_features
    for j, (start, stop) in enumerate(pairwise((*cutoffs, n_classes)), 1):
        total += (stop - start + n_features) * projected(n_features, settings["divisor"], j)
    return int(total)


def _known(generator: Any) -> str:
    if generator not in ("PCG64", "PCG64DXSM"):
        raise ValueError(f"a generator {generator!r} is not known")
    return str(generator)
