"""The report: evidence (numbers only) -> one self-contained HTML page.

    probabilities, y -> evidence -> render -> a file that opens anywhere, offline

`evidence` gathers everything that the page shows as JSON-able numbers; `render` is a pure function of it. For rows that
come in blocks, merge `Judged` states and pass them to `evidence_of`. `training_of` reads from a fitted model what it
knows of its training.
"""

from typing import Any

from softmaxes.report.evidence import Evidence, Training, evidence, evidence_of
from softmaxes.report.facts import training_of
from softmaxes.report.judged import Judged
from softmaxes.report.uncertainty import standard_errors

__all__ = [
    "Evidence",
    "Judged",
    "Training",
    "evidence",
    "evidence_of",
    "render",
    "standard_errors",
    "training_of",
]


def __getattr__(name: str) -> Any:
    # drawing needs Altair; counting, which every score on the command line is made of, does not
    if name == "render":
        from softmaxes.report.render import render

        globals()["render"] = render
        return render
    raise AttributeError(f"module 'softmaxes.report' has no attribute {name!r}")
