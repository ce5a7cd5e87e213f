"""Losses of logits against targets; never of probabilities."""

from softmaxes.losses.crossentropy import cross_entropy, cross_entropy_and_gradient

__all__ = ["cross_entropy", "cross_entropy_and_gradient"]
