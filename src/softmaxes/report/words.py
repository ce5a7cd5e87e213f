"""Numbers as people read them, and the report's summary in plain words."""

from __future__ import annotations

from softmaxes.report.evidence import Evidence, Reliability, Score, Training

__all__ = [
    "NAMES",
    "calibration",
    "count",
    "decimal",
    "interval",
    "level",
    "listed",
    "percent",
    "score_value",
    "seconds",
    "summary",
]

# What a score is called, and what one should know of it.
NAMES = {
    "log_loss": ("Log-loss", "Mean of −log of the probability given to what came true, in nats."),
    "brier_score": ("Brier score", "Mean squared error of the probabilities, from 0 to 2."),
    "accuracy": ("Accuracy", "How often the likeliest class is the true one."),
    "top_5_accuracy": ("Top-5 accuracy", "How often the true class is among the five likeliest."),
    "calibration_error": ("Calibration error", "Mean gap between confidence and frequency, in 15 bins (ECE)."),
    "debiased_calibration_error": ("Debiased calibration error", "Root mean square gap, freed of sampling noise."),
    "smooth_calibration_error": ("Smooth calibration error", "Mean gap after smoothing: no bins to choose."),
}
SHARES = ("accuracy", "top_5_accuracy", "calibration_error", "debiased_calibration_error", "smooth_calibration_error")


def count(number: float) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{round(number):,}".replace(",", "\u202f")


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with this many significant digits and no exponent where a person would write none."""
    if value is None:
        return "–"
    if value == 0.0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}" if abs(value) < 10 ** (digits - 1) else count(value)
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}×10{_superscript(int(exponent))}"
    return text.rstrip(".").replace("-", "−")


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percent(share: float | None) -> str:
    """Return a share in percent: a tenth of a percent, or finer near 0 and 100."""
    if share is None:
        return "–"
    near = min(abs(share), abs(1.0 - share))
    digits = 1 if near >= 0.001 or near == 0.0 else 2
    if near == 0.0:
        digits = 0
    return f"{100 * share:.{digits}f}\u202f%".replace("-", "−")


def level(evidence: Evidence) -> str:
    """Return the level of the intervals: 95 %."""
    return f"{100 * evidence.level:g}\u202f%"


def score_value(name: str, value: float | None) -> str:
    """Return a score's value as it is usually written; a score that is not finite as infinity."""
    if value is None:
        return "∞"
    return percent(value) if name in SHARES else decimal(value, 4)


def interval(name: str, score: Score) -> str:
    """Return a score's interval in words."""
    if score.low is None or score.high is None:
        return "no finite interval"
    return f"{score_value(name, score.low)} to {score_value(name, score.high)}"


def seconds(value: float | None) -> str:
    """Return a duration."""
    if value is None:
        return "–"
    if value < 120:
        return f"{value:.1f} s" if value >= 0.05 else f"{1000 * value:.0f} ms"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def listed(names: list[str] | tuple[str, ...], most: int = 6) -> str:
    """Return names as a sentence has them: a, b and c."""
    shown = [str(name) for name in names[:most]]
    if len(names) > most:
        return ", ".join(shown) + f" and {count(len(names) - most)} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def summary(evidence: Evidence) -> list[str]:
    """Return the report in plain words, a sentence or two to a paragraph."""
    return [part for part in (_task(evidence), _quality(evidence), _trust(evidence), _fit(evidence)) if part]


def _task(evidence: Evidence) -> str:
    t = evidence.training
    classes = f"{count(len(evidence.classes))} classes ({listed(evidence.classes)})"
    what = f"predicts {t.target}, one of {classes}" if t.target else f"tells apart {classes}"
    learned = []
    if t.rows:
        learned.append(f"{count(t.rows)} rows")
    if t.columns:
        used = sum(c.kind != "not used" for c in t.columns)
        learned.append(f"{count(used)} column{'' if used == 1 else 's'}")
    elif t.n_features:
        learned.append(f"{count(t.n_features)} features")
    text = f"This softmax classifier {what}."
    if learned:
        source = f" of {t.data}" if t.data else ""
        text += f" It learned from {' and '.join(learned)}{source}"
        text += f", in {seconds(t.seconds)}." if t.seconds is not None else "."
    if t.calibration:
        text += f" Its probabilities were then calibrated by {calibration(t)}."
    return text


def calibration(training: Training) -> str | None:
    """Return what the calibration is, and on what it was fitted."""
    if not training.calibration or not training.rows_calibrated:
        return training.calibration
    return f"{training.calibration}, fitted on {count(training.rows_calibrated)} {training.calibrated_on or 'rows'}"


def _quality(evidence: Evidence) -> str:
    if not evidence.rows:
        return "No rows were judged, so there are no scores."
    accuracy, loss = evidence.scores["accuracy"], evidence.scores["log_loss"]
    text = (
        f"On {evidence.judged_on} ({count(evidence.rows)}) it was right {percent(accuracy.value)} of the time "
        f"({level(evidence)} interval: {interval('accuracy', accuracy)})."
    )
    if loss.value is None:
        return text + " It gave probability 0 to something that happened, which makes its log-loss infinite."
    if evidence.baseline_log_loss:
        gain = 1.0 - loss.value / evidence.baseline_log_loss
        text += (
            f" Its log-loss is {decimal(loss.value, 3)}; always answering with the class frequencies would give "
            f"{decimal(evidence.baseline_log_loss, 3)}, so it "
            + (f"removes {percent(gain)} of the uncertainty." if gain > 0 else "is worse than knowing nothing.")
        )
    return text


def _trust(evidence: Evidence) -> str:
    bins = evidence.reliability.bins
    if not bins:
        return ""
    claimed, true = confidence_and_frequency(evidence.reliability)
    accuracy, error = evidence.scores["accuracy"], evidence.scores["debiased_calibration_error"]
    text = f"On average it claims {percent(claimed)} and is right {percent(true)}"
    if accuracy.low is None or accuracy.high is None or accuracy.low <= claimed <= accuracy.high:
        if error.low == 0.0:
            return text + ": these rows show no miscalibration, and a stated probability can be taken at its word."
        return text + ", but not evenly: look at the reliability diagram before trusting a single probability."
    word = "overconfident" if claimed > true else "too modest"
    return text + f": it is {word} by {100 * abs(claimed - true):.1f} points, more than chance explains."


def confidence_and_frequency(reliability: Reliability) -> tuple[float, float]:
    """Return the mean confidence and how often the likeliest class came."""
    return (
        sum(b.share * b.confidence for b in reliability.bins),
        sum(b.share * b.frequency for b in reliability.bins),
    )


def _fit(evidence: Evidence) -> str:
    certificate = evidence.training.certificate
    if certificate is None:
        return ""
    if certificate.relative is None:
        return "No penalty bounds the weights, so nothing is proven about how near the optimum the training stopped."
    near = decimal(certificate.relative, 2)
    if certificate.met:
        return f"The training is finished: no weights of this kind could lower its objective by more than {near} of it."
    return f"The training was stopped early: the objective may be up to {near} of it above the best possible."
