"""Output layers for many classes: exact cross-entropy without the logits, and heads that are cheaper than softmax."""

from softmaxes.heads.adaptive import AdaptiveSoftmax, Argmax
from softmaxes.heads.base import Head
from softmaxes.heads.cutoffs import CostModel, choose_cutoffs
from softmaxes.heads.full import FullSoftmax
from softmaxes.heads.hierarchical import HierarchicalSoftmax
from softmaxes.heads.linear import linear_cross_entropy, linear_cross_entropy_and_gradient
from softmaxes.heads.sampled import SampledSoftmax
from softmaxes.heads.samplers import LogUniformSampler, Sampler, TopMixSampler, UniformSampler, UnigramSampler
from softmaxes.heads.spherical import SphericalHead

__all__ = [
    "AdaptiveSoftmax",
    "Argmax",
    "CostModel",
    "FullSoftmax",
    "Head",
    "HierarchicalSoftmax",
    "LogUniformSampler",
    "SampledSoftmax",
    "Sampler",
    "SphericalHead",
    "TopMixSampler",
    "UniformSampler",
    "UnigramSampler",
    "choose_cutoffs",
    "linear_cross_entropy",
    "linear_cross_entropy_and_gradient",
]
