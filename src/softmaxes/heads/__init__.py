"""Output layers for many classes: exact cross-entropy without the logits, and heads that are cheaper than softmax."""

from softmaxes.heads.adaptive import AdaptiveSoftmax, Argmax
from softmaxes.heads.base import Head
from softmaxes.heads.cutoffs import CostModel, choose_cutoffs
from softmaxes.heads.full import FullSoftmax
from softmaxes.heads.linear_cross_entropy import linear_cross_entropy, linear_cross_entropy_and_gradient

__all__ = [
    "AdaptiveSoftmax",
    "Argmax",
    "CostModel",
    "FullSoftmax",
    "Head",
    "choose_cutoffs",
    "linear_cross_entropy",
    "linear_cross_entropy_and_gradient",
]
