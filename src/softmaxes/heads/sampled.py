"""Training with a sample of the classes: sampled softmax and noise-contrastive estimation. Evaluation stays exact."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmaxes import native
from softmaxes.heads.base import Matrix, Seed, Vector
from softmaxes.heads.counting import whole
from softmaxes.heads.full import LinearHead
from softmaxes.heads.samplers import LogUniformSampler, Sampler, TopMixSampler, UniformSampler, UnigramSampler
from softmaxes.heads.updates import sum_by_row

SamplerName = Literal["auto", "uniform", "log_uniform", "unigram", "top_mix"]


class SampledSoftmax(LinearHead):
    r"""A softmax head trained on the target and n_samples drawn classes, shared by the rows of a batch.

    loss="softmax" replaces the partition sum by an unbiased estimate of it,

    .. math:: -\log \frac{e^{z_y}}{\hat Z}, \qquad
              \hat Z = e^{z_y} + \sum_{s \ne y} e^{z_s - \log E_s}, \qquad \mathbb{E}\, \hat Z = Z

    where E_s is the expected number of times that class s is drawn: the log-q correction, which the sampler itself
    reports. (Z^ is unbiased; log Z^ and the gradient are only consistent: their bias falls like 1 / n_samples.)
    loss="nce" tells the target from the draws by logistic regression on z - log E, and makes Z close to 1.
    `log_prob`, `loss`, `predict` and `top_k` are those of the full softmax, never sampled.

    Besides the parameters of `FullSoftmax`:

    Parameters
    ----------
    n_samples : how many classes to draw for each step.
    loss : "softmax" or "nce".
    sampler : a `Sampler`, or one of "uniform", "log_uniform", "unigram" (counts^0.75), "top_mix" (the n_samples most
        frequent classes always, n_samples of the others); "auto" is unigram with counts and uniform without.
    correction : False leaves the log-q correction out, which trains another model than softmax.

    Examples
    --------
    >>> import numpy as np
    >>> import softmaxes as sm
    >>> head = sm.heads.SampledSoftmax(2, 1000, rng=0, n_samples=20, learning_rate=0.5)
    >>> hidden, target = np.eye(2), np.array([7, 123])
    >>> for _ in range(100):
    ...     estimate, d_hidden = head.step(hidden, target)
    >>> head.predict(hidden)
    array([  7, 123])
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        counts: ArrayLike | None = None,
        rng: Seed = None,
        *,
        n_samples: int = 256,
        sampler: Sampler | SamplerName = "auto",
        loss: Literal["softmax", "nce"] = "softmax",
        correction: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_classes, counts, rng, **options)
        if loss not in ("softmax", "nce"):
            raise ValueError(f"loss={loss!r}; it is 'softmax' or 'nce'")
        self.n_samples = whole(n_samples, "n_samples")
        self.sampler = self._sampler(sampler)
        if self.sampler.n_classes != n_classes:
            raise ValueError(f"{self.sampler!r} does not draw from the head's {n_classes} classes")
        self.kind = loss
        self.correction = correction

    def _settings(self) -> dict[str, Any]:
        own = {"n_samples": self.n_samples, "loss": self.kind, "correction": self.correction}
        return super()._settings() | own

    def _sampler(self, given: Sampler | SamplerName) -> Sampler:
        if isinstance(given, Sampler):
            return given
        if given == "uniform" or (given == "auto" and self.counts is None):
            return UniformSampler(self.n_classes)
        if given == "log_uniform":
            return LogUniformSampler(self.n_classes, self.counts)
        if given not in ("auto", "unigram", "top_mix"):
            raise ValueError(f"sampler={given!r}; give a Sampler, 'uniform', 'log_uniform', 'unigram' or 'top_mix'")
        if self.counts is None:
            raise ValueError(f"sampler={given!r} needs counts=: how often each class occurs")
        if given == "top_mix":
            return TopMixSampler(self.counts, min(self.n_samples, self.n_classes - 1))
        return UnigramSampler(self.counts)

    def _step(self, hidden: Matrix, labels: Vector, weight: Vector) -> tuple[float, Matrix]:
        drawn = self.sampler.draw(self.rng, self.n_samples)
        of_targets, of_drawn = self.weight.values[labels], self.weight.values[drawn]
        z = np.empty((len(labels), 1 + len(drawn)), self.dtype)
        z[:, 0] = np.einsum("ij,ij->i", hidden, of_targets) + self.bias.values[labels]
        z[:, 1:] = hidden @ of_drawn.T + self.bias.values[drawn]
        loss = self._differentiate(z, labels, drawn, weight)  # z is now the gradient
        d_hidden = z[:, :1] * of_targets + z[:, 1:] @ of_drawn
        touched = np.concatenate([labels, drawn])
        rows, gradient = sum_by_row(touched, np.concatenate([z[:, :1] * hidden, z[:, 1:].T @ hidden]))
        _, d_bias = sum_by_row(touched, np.concatenate([z[:, 0], z[:, 1:].sum(axis=0)]))
        self.weight.descend_rows(rows, gradient, self.learning_rate)
        self.bias.descend_rows(rows, d_bias, self.learning_rate)
        return loss, d_hidden

    def _differentiate(self, z: Matrix, labels: Vector, drawn: Vector, weight: Vector) -> float:
        """Return the loss and replace the logits of target and draws by the gradient."""
        if self.correction or self.kind == "nce":
            z[:, 1:] -= self.sampler.log_expected(drawn, self.n_samples)
        if self.kind == "nce":
            z[:, 0] -= self.sampler.log_expected(labels, self.n_samples)
            z[:, 0] *= -1
            losses = np.logaddexp(0, z).sum(axis=1, dtype=np.float64)
            np.divide(weight[:, None], 1 + np.exp(-z.astype(np.float64)), out=z, casting="same_kind")
            z[:, 0] *= -1
            return float(weight @ losses)
        # a draw that happens to be the target is in the sum already
        z[:, 1:][drawn == labels[:, None]] = -np.inf
        losses = np.empty(len(labels))
        native.cross_entropy_rows(z, np.zeros(len(labels), np.int64), losses, z, weight)
        return float(weight @ losses)
