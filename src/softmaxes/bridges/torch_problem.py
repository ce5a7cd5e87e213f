"""What torch's linear cross-entropy has to do: everything but its inputs, read, checked, and on their device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from array_api_compat import torch as xp

from softmaxes.arrays import as_floating, layout
from softmaxes.heads.blocks import Blocks, Product, plan
from softmaxes.heads.counting import budget
from softmaxes.heads.linear import check_shapes
from softmaxes.heads.reading import numpy_type, read
from softmaxes.heads.rows import Kind
from softmaxes.targets import read_target

__all__ = ["Inputs", "Problem", "Tensor", "distributions"]

Tensor: TypeAlias = Any

# logits, their exponentials, a direction and what is made of them: matrices of one block alive at the same time
_MATRICES = 7


@dataclass(frozen=True, eq=False)
class Inputs:
    """hidden (N, D), weight (V, D), bias (V,) or None: the point, a direction from it, or a gradient there."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything but the inputs, as tensors on their device: of the rows that count, `rows`, None if all do."""

    kind: Kind
    rows: Tensor | None
    labels: Tensor | None
    distributions: Tensor | None  # of all rows
    class_weight: Tensor | None
    row_weight: Tensor  # of all rows
    possible: Tensor | None  # (..., V)
    outer: tuple[int, ...]
    reduction: str
    work: torch.dtype
    wide: torch.dtype
    result: torch.dtype
    blocks: Blocks

    @classmethod
    def read(
        cls, hidden: Tensor, weight: Tensor, target: Any, bias: Tensor | None, max_bytes: int, where: Any, options: Any
    ) -> Problem:
        """Validate everything that was given (distributions block by block)."""
        check_shapes(tuple(hidden.shape), tuple(weight.shape), None if bias is None else tuple(bias.shape))
        kinds = [as_floating(x[:0], name) for x, name in ((hidden, "hidden"), (weight, "weight"), (bias, "bias"))
                 if x is not None]  # fmt: skip
        work = _promoted([k.values.dtype for k in kinds])
        outer, (n_classes, n_features), device = tuple(hidden.shape[:-1]), tuple(weight.shape), hidden.device
        wide = torch.float32 if device.type == "mps" else torch.float64
        target = torch.as_tensor(target, device=device)
        soft = target.is_floating_point()
        given = {k: v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        told = read(None if soft else target.cpu().numpy(), outer, n_classes, numpy_type(str(work)), **given)
        if soft and tuple(target.shape) != (*outer, n_classes):
            distributions(target, work, (*outer, n_classes))  # says what is wrong
        counting = told.row_weight.nonzero()[0]
        size = torch.finfo(work).bits // 8
        product = Product(
            n_rows=len(told.row_weight), n_classes=n_classes, n_features=n_features, itemsize=size, gradient=False,
            copies=any(x.dtype != work for x in (hidden, weight)) or len(counting) < len(told.row_weight),
            mask_bytes=(_MATRICES - 1) * size + 2,
        )  # fmt: skip

        def tensor(x: Any, dtype: torch.dtype) -> Tensor:
            return None if x is None else torch.as_tensor(x, device=device, dtype=dtype)

        return cls(
            kind=told.kind,
            rows=None if len(counting) == len(told.row_weight) else tensor(counting, torch.int64),
            labels=tensor(told.labels, torch.int64),
            distributions=target.reshape(-1, n_classes) if soft else None,
            class_weight=tensor(told.class_weight, work),
            row_weight=tensor(told.row_weight, wide),
            possible=None if where is None else _mask(where, outer, n_classes, device),
            outer=outer,
            reduction=told.reduction,
            work=work,
            wide=wide,
            result=_promoted([k.result_dtype for k in kinds]),
            blocks=plan(product, budget(max_bytes)),
        )

    def of(self, rows: Tensor) -> Tensor:
        """Return the entries that count, of one a row."""
        return rows if self.rows is None else rows[self.rows]

    def spread(self, counting: Tensor) -> Tensor:
        """Return one entry a row, 0 for rows that do not count."""
        if self.rows is None:
            return counting
        return torch.zeros_like(self.row_weight).index_copy_(0, self.rows, counting)


def distributions(target: Tensor, work: torch.dtype, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return target distributions, checked; shape: the one that they must have, if it is not theirs."""
    stand_in = torch.zeros((), dtype=work, device=target.device).expand(target.shape if shape is None else shape)
    return read_target(target, stand_in, layout(stand_in, -1, xp)).distributions


def _promoted(dtypes: list[torch.dtype]) -> torch.dtype:
    found = dtypes[0]
    for dtype in dtypes[1:]:
        found = torch.promote_types(found, dtype)
    return found


def _mask(where: Any, outer: tuple[int, ...], n_classes: int, device: torch.device) -> Tensor:
    mask = torch.as_tensor(where, device=device)
    if mask.dtype != torch.bool:
        raise TypeError(f"where has dtype {mask.dtype}; booleans are needed, True where the class is possible")
    try:
        return mask.broadcast_to((*outer, n_classes))
    except RuntimeError as error:
        raise ValueError(
            f"where has shape {tuple(mask.shape)}, which does not broadcast to {(*outer, n_classes)}"
        ) from error
