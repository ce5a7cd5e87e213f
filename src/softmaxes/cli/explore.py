"""`softmaxes explore`: the interactive page, empty or with a model's own predictions in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from softmaxes.errors import UserError
from softmaxes.files import check_writable
from softmaxes.tables import open_table

from .calibrate import labelled_logits
from .console import say
from .evaluate import load_model

__all__ = ["explore"]


def explore(
    model: Path | None = None,
    data: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    browser: bool = True,
    target: str | None = None,
    ignore_extra: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> None:
    """Open the explorer, a page on which the family of softmaxes can be seen and touched.

    It is one file that needs no connection. With a model and rows whose classes are known, their logits go into it.

    Examples:

    ```
    softmaxes explore
    softmaxes explore flowers.softmaxes flowers-2025.csv --output explorer.html --no-browser
    ```

    Parameters
    ----------
    model
        A model that `softmaxes fit` saved.
    data
        A table with the columns that the model was trained on, and the class.
    output
        Where to write the page. [default: explorer.html if a model is given, else nowhere]
    browser
        Open the page in the browser.
    target
        The column that holds the class. [default: the one that it was trained with]
    ignore_extra
        Accept columns that the model was not trained on.
    delimiter
        The character between the fields of a CSV, if the guess is wrong.
    encoding
        The character set of a CSV, such as utf-8 or latin-1, if the guess is wrong.
    """
    from softmaxes import explorer

    if (model is None) != (data is None):
        raise UserError("a model needs rows to be seen on: softmaxes explore MODEL DATA")
    if model is not None and output is None:
        output = Path("explorer.html")
    if output is None and not browser:
        raise UserError("--no-browser leaves nothing to do without --output FILE")
    if output is not None:
        check_writable(output)
    if model is not None and data is not None:
        fitted = load_model(model)
        opened = open_table(data, delimiter=delimiter, encoding=encoding)
        logits, codes = labelled_logits(fitted, opened, target, ignore_extra=ignore_extra)
        classes = fitted.classes_
        explorer.write(output or "", logits=logits, labels=classes[codes], classes=classes.tolist())
    elif output is not None:
        explorer.write(output)
    if output is not None:
        say(f"wrote {output}")
    if browser:
        explorer.open_browser(output)
