"""The explorer: one self-contained page in which the whole family is seen at work.

The page is built from `explorer/` at the root of the repository and committed here as `index.html`, so that
installing needs no Node. It fetches nothing; what a caller adds travels inside it as JSON.
"""

from __future__ import annotations

import json
import os
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmaxes.errors import UserError

__all__ = ["open_browser", "page", "write"]

_SLOT = '<script id="softmaxes-data" type="application/json">null</script>'

# A page of this many numbers opens at once and follows its sliders; more rows would only draw the same pictures.
_MOST_NUMBERS = 60_000


def page() -> str:
    """Return the page as it is installed, without data.

    Examples
    --------
    >>> from softmaxes import explorer
    >>> explorer.page()[:15]
    '<!doctype html>'
    """
    return Path(__file__).with_name("index.html").read_text(encoding="utf-8")


def write(
    path: str | os.PathLike[str],
    *,
    logits: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
) -> Path:
    """Write the explorer to a file, with a model's own logits inside it if they are given.

    Parameters
    ----------
    path : where to write the page.
    logits : (n, K), finite, at least two classes. Of more than 60,000 numbers evenly spaced rows are kept, and the
        page says of how many.
    labels : (n,), the true classes: members of `classes`, or column numbers from 0 to K - 1 where those are names or
        not given. They open the calibration section on the data.
    classes : K names or numbers, in the order of the columns.

    Returns
    -------
    The path that was written.

    Raises
    ------
    UserError
        Logits that are not a finite table, or are probabilities; labels that name no class; labels or classes
        without logits.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from softmaxes import explorer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = explorer.write(pathlib.Path(folder, "explorer.html"), logits=[[2.0, 1.0], [0.5, 3.0]], labels=[0, 1])
    ...     '"labels":[0,1]' in made.read_text()
    True
    """
    if logits is None:
        if labels is not None or classes is not None:
            raise UserError("labels and classes describe logits, and no logits were given; pass logits=")
        content = page()
    else:
        content = _filled(page(), _payload(logits, labels, classes))
    path = Path(path)
    try:
        path.write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"cannot write the explorer to {path}: {error.strerror}") from error
    return path


def open_browser(path: str | os.PathLike[str] | None = None) -> None:
    """Open a written explorer, or the installed page, in the user's browser.

    Raises UserError, with the path to open by hand, where there is no browser.
    """
    target = Path(__file__).with_name("index.html") if path is None else Path(path).resolve()
    if not webbrowser.open(target.as_uri()):
        raise UserError(f"no browser could be started; open this file yourself: {target}")


def _payload(logits: ArrayLike, labels: ArrayLike | None, classes: Sequence[object] | None) -> dict[str, Any]:
    table = _checked(logits)
    rows, width = table.shape
    names = None if classes is None else [str(name) for name in classes]
    if names is not None and len(names) != width:
        raise UserError(f"{len(names)} class names were given for {width} columns of logits")
    truth = None if labels is None else _class_numbers(labels, rows, width, classes)
    kept = _evenly(rows, max(2, _MOST_NUMBERS // width))
    return {
        "logits": table[kept].tolist(),
        "labels": None if truth is None else truth[kept].tolist(),
        "classes": names,
        "rows": rows,
    }


def _checked(logits: ArrayLike) -> NDArray[np.float64]:
    try:
        table = np.asarray(logits, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"logits must be a table of numbers, one row a case: {error}") from error
    if table.ndim != 2 or table.shape[0] == 0 or table.shape[1] < 2:
        raise UserError(f"logits must have shape (n, K) with n >= 1 and K >= 2, not {table.shape}")
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise UserError(f"logits must be finite to be drawn; row {row}, column {column} holds {table[row, column]}")
    if (table >= 0).all() and np.allclose(table.sum(axis=1), 1, rtol=0, atol=1e-4):
        raise UserError("these are probabilities, not logits: every row is >= 0 and sums to 1; pass np.log of them")
    return table


def _class_numbers(labels: ArrayLike, rows: int, width: int, classes: Sequence[object] | None) -> NDArray[np.int64]:
    given = np.asarray(labels)
    if given.shape != (rows,):
        raise UserError(f"labels must have shape ({rows},), one for each row of logits, not {given.shape}")
    are_columns = given.dtype.kind in "iu" and (classes is None or np.asarray(classes).dtype.kind not in "iuf")
    if classes is not None and not are_columns:
        number = {name: k for k, name in enumerate(np.asarray(classes).tolist())}
        for label in given.tolist():
            if label not in number:
                raise UserError(f"the label {label!r} is none of the classes {list(number)[:10]}")
        return np.array([number[label] for label in given.tolist()], dtype=np.int64)
    if not are_columns:
        raise UserError(f"labels without classes= must be integers from 0 to {width - 1}, not {given.dtype}")
    if given.min() < 0 or given.max() >= width:
        raise UserError(f"labels go from {given.min()} to {given.max()}; {width} columns need 0 to {width - 1}")
    return given.astype(np.int64)


def _evenly(rows: int, most: int) -> NDArray[np.int64]:
    """Return the numbers of at most `most` rows, evenly spaced and without repetition."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))


def _filled(text: str, payload: dict[str, Any]) -> str:
    """Return the page with the payload in its slot; nothing in a name can end the script element."""
    packed = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        packed = packed.replace(character, f"\\u{ord(character):04x}")
    if text.count(_SLOT) != 1:
        raise RuntimeError("the installed explorer page has no slot for data; build it again")
    return text.replace(_SLOT, _SLOT.replace("null", packed))
