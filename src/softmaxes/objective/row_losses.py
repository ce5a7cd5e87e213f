"""What a row loses, given its logits: cross-entropy by the native kernel, or the loss of any member of the family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from softmaxes import native
from softmaxes.maps import Member, RegularisedArgmax, Softmax


class RowLoss(Protocol):
    """What a row loses, given its logits.

    shift_invariant: whether adding a number to all logits of a row changes nothing. convex: whether the loss is a
    Fenchel-Young loss with gradient p - y, for which optima are certified.
    """

    @property
    def shift_invariant(self) -> bool: ...

    @property
    def convex(self) -> bool: ...

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        """Write the loss of each row, and over the logits its gradient times the row's weight."""

    def intercept(self, share: np.ndarray) -> np.ndarray:
        """Return logits whose probabilities are near share, (n_classes,), and which the loss admits."""


def to_probabilities(logits: np.ndarray, losses: np.ndarray) -> None:
    """Overwrite logits, (rows, n_classes), with their softmax; losses, (rows,), becomes lse - z_0."""
    first = np.zeros(len(logits), np.int64)
    native.cross_entropy_rows(logits, first, losses, logits, None, threads=1)
    logits[:, 0] += 1  # it was p - e_0


@dataclass(frozen=True)
class SoftmaxLoss:
    """Cross-entropy of the softmax, lse(z) - <y, z>, by the native kernel."""

    shift_invariant: bool = True
    convex: bool = True

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        if targets.ndim == 1:
            scale = None if weights is None else np.ascontiguousarray(weights, np.float64)
            native.cross_entropy_rows(logits, np.ascontiguousarray(targets, np.int64), losses, logits, scale, threads=1)
            return
        # lse - <q, z> = (lse - z_0) - <q, z - z_0>: both terms are differences, so no offset of a row is felt.
        shifted = np.einsum("ij,ij->i", targets, logits - logits[:, :1], dtype=np.float64)
        to_probabilities(logits, losses)
        losses -= shifted
        logits -= targets
        if weights is not None:
            logits *= weights[:, None]

    def intercept(self, share: np.ndarray) -> np.ndarray:
        log_share = np.log(np.maximum(share, np.finfo(float).tiny))
        centred: np.ndarray = log_share - log_share.mean()
        return centred


@dataclass(frozen=True)
class MemberLoss:
    """The loss of a member of the family: -log p_y, or its Fenchel-Young loss."""

    member: Member

    @property
    def shift_invariant(self) -> bool:
        return self.member.properties().shift_invariant

    @property
    def convex(self) -> bool:
        return isinstance(self.member, RegularisedArgmax) and not isinstance(self.member, Softmax)

    def tile(self, logits: np.ndarray, targets: Any, weights: np.ndarray | None, losses: np.ndarray) -> None:
        low, high = self.member.properties().domain
        inside = (logits > low) & (logits < high) if np.isfinite([low, high]).any() else np.isfinite(logits)
        if not inside.all():  # outside its domain the loss is infinite, and a line search has to turn back
            losses[...] = np.inf
            logits[...] = 0
            return
        of_row, gradient = self.member.loss_and_gradient(logits, targets)
        losses[...] = of_row
        logits[...] = gradient if weights is None else gradient * weights[:, None]

    def intercept(self, share: np.ndarray) -> np.ndarray:
        low, _ = self.member.properties().domain
        if np.isfinite(low):
            inside: np.ndarray = low + len(share) * np.maximum(share, 1e-3)
            return inside
        # Not at 0: members that are even in the logits (spherical) have no slope there.
        size: np.ndarray = np.sqrt(len(share) * np.maximum(share, 1e-3))
        return size
