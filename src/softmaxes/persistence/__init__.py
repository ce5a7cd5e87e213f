"""The model file: `save` writes it, `load` reads it and executes nothing, `describe` says what is in it.

`container` seals arrays and JSON into one file; `contents` says what of a model goes into them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from softmaxes.errors import UserError
from softmaxes.files import replacing

from .container import SCHEMA, sealed, unsealed
from .contents import model_document, model_from

__all__ = ["SCHEMA", "describe", "load", "save"]


def save(model: Any, path: str | Path) -> None:
    """Write a fitted model to a file; a file that is there already survives until the new one is whole.

    Parameters
    ----------
    model
        A fitted `SoftmaxClassifier`, a head of `softmaxes.heads`, or a `softmaxes.tables.TableModel`, which brings the
        recipe for its table.
    path
        Where to write, usually NAME.softmaxes.

    Raises
    ------
    TypeError
        If the model is none of these.
    UserError
        If the file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from softmaxes.classifier import from_parameters
    >>> clf = from_parameters(np.array(["no", "yes"]), np.array([[2.0]]), np.array([-1.0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf, folder + "/model.softmaxes")
    ...     load(folder + "/model.softmaxes").predict([[0.0], [1.0]]).tolist()
    ['no', 'yes']
    """
    tensors: dict[str, NDArray[Any]] = {}
    document = model_document(model, tensors)
    data = sealed(document, tensors)
    with replacing(path) as file:
        file.write(data)


def load(path: str | Path) -> Any:
    """Return the model in a file: what `save` was given.

    Loading executes nothing that the file says.

    Raises
    ------
    UserError
        If the file can't be read, is no model, is truncated or changed, or was written by a newer version.
    """
    document, tensors = unsealed(path)
    try:
        return model_from(document, tensors)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is a softmaxes model with malformed contents: {error!r}") from error


def describe(path: str | Path) -> dict[str, Any]:
    """Return what the header of a model file says, as plain data, after the same checks as `load`."""
    load(path)
    document, tensors = unsealed(path)
    return {**document, "tensors": {name: [str(t.dtype), *t.shape] for name, t in sorted(tensors.items())}}
