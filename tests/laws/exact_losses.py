"""Losses in mpmath, written from their definitions: the expected values of the laws, never the code under test."""

from mpmath import exp, inf, ln, mpf, workdps

DIGITS = 400  # a loss of exp(-700) is there beside 1


def log_softmax(z):
    """Return log p for one row of mpf logits; -inf entries are impossible."""
    top = max(z)
    total = sum(exp(x - top) for x in z if x > -inf)
    return [x - top - ln(total) if x > -inf else -inf for x in z]


def logsumexp(z):
    top = max(z)
    return top + ln(sum(exp(x - top) for x in z if x > -inf))


def smoothed(q, z, smoothing):
    """Return (1 - e) q + e u with u uniform over the possible classes."""
    possible = [x > -inf for x in z]
    return [
        (1 - mpf(smoothing)) * a + (mpf(smoothing) / sum(possible) if b else 0)
        for a, b in zip(q, possible, strict=True)
    ]


def cross_entropy(
    logits, target, *, base=None, reduction="mean", label_smoothing=0.0, class_weight=None, sample_weight=None,
    ignore_index=None, z_loss=0.0,
):  # fmt: skip
    """Return (value, gradient) of rows of floats with labels (ints) or distributions (lists), by the definition."""
    with workdps(DIGITS):
        n, k = len(logits), len(logits[0])
        w = [mpf(float(x)) for x in class_weight] if class_weight is not None else [mpf(1)] * k
        s = [mpf(float(x)) for x in sample_weight] if sample_weight is not None else [mpf(1)] * n
        unit = mpf(1) if base is None else ln(mpf(base))
        losses, gradients, weights = [], [], []
        for i in range(n):
            z = [mpf(float(x)) for x in logits[i]]
            label = not isinstance(target[i], (list, tuple))
            if label and ignore_index is not None and target[i] == ignore_index:
                losses.append(mpf(0))
                gradients.append([mpf(0)] * k)
                continue
            q = [mpf(int(j == target[i])) for j in range(k)] if label else [mpf(float(x)) for x in target[i]]
            weights.append(s[i] * (w[target[i]] if label else 1))
            c = [a * b for a, b in zip(w, smoothed(q, z, label_smoothing), strict=True)]
            lp, lse = log_softmax(z), logsumexp(z)
            p = [exp(x) if x > -inf else mpf(0) for x in lp]
            loss = sum(-a * b for a, b in zip(c, lp, strict=True) if a) / unit + mpf(z_loss) * lse**2
            gradient = [(sum(c) * p[j] - c[j]) / unit + 2 * mpf(z_loss) * lse * p[j] for j in range(k)]
            losses.append(s[i] * loss)
            gradients.append([s[i] * g for g in gradient])
        if reduction == "none":
            return losses, gradients
        divisor = sum(weights) if reduction == "mean" and sum(weights) else mpf(1)
        return sum(losses) / divisor, [[g / divisor for g in row] for row in gradients]
