"""Output layers for many classes: exact cross-entropy without the logits, and heads that are cheaper than softmax."""

from softmaxes.heads.adaptive import AdaptiveSoftmax
from softmaxes.heads.adaptive_functions import (
    adaptive_cross_entropy,
    adaptive_cross_entropy_and_gradient,
    adaptive_log_softmax,
)
from softmaxes.heads.adaptive_search import Search, adaptive_argmax, adaptive_top_k
from softmaxes.heads.adaptive_weights import AdaptiveWeights, Cluster
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
    "AdaptiveWeights",
    "Cluster",
    "CostModel",
    "FullSoftmax",
    "Head",
    "HierarchicalSoftmax",
    "LogUniformSampler",
    "SampledSoftmax",
    "Sampler",
    "Search",
    "SphericalHead",
    "TopMixSampler",
    "UniformSampler",
    "UnigramSampler",
    "adaptive_argmax",
    "adaptive_cross_entropy",
    "adaptive_cross_entropy_and_gradient",
    "adaptive_log_softmax",
    "adaptive_top_k",
    "choose_cutoffs",
    "linear_cross_entropy",
    "linear_cross_entropy_and_gradient",
]
