"""`softmaxes certify`: the accuracy promises, measured here and now."""

from __future__ import annotations

from .console import say

__all__ = ["certify"]


def certify(*implementations: str, long: bool = False, json: bool = False) -> int:
    """Measure the errors of softmax, log_softmax and logsumexp on rows that are known to be hard.

    The exact answers come from decimal arithmetic, and errors are in ULP, units in the last place. Rivals that are
    installed can be measured on the same rows. The status is 1 if softmaxes breaks one of its own promises.

    Examples:

    ```
    softmaxes certify
    softmaxes certify ours scipy torch
    ```

    Parameters
    ----------
    implementations
        Any of ours, scipy, torch, jax. [default: ours]
    long
        Measure the rows of millions of entries too.
    json
        Print the measurements as JSON, for programs.
    """
    from softmaxes import certify as certification

    certificate = certification.certify(*implementations, long=long)
    if json:
        say(certificate.to_json())
    else:
        say(certificate.table())
        say()
        count = len(certificate.broken)
        say(
            f"{len(certificate.measured)} measurements; "
            + (f"{count} promises BROKEN" if count else "every promise kept")
        )
    return 1 if certificate.broken else 0
