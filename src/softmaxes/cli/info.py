"""`softmaxes info`: what runs here, or what a model file holds."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from softmaxes import __version__, native

from .calibrate import described
from .console import say, table

__all__ = ["info"]

PACKAGES = ("numpy", "scipy", "scikit-learn", "pyarrow", "safetensors", "altair", "vl-convert-python", "dask", "onnx")


MOST_COLUMNS = 30


def info(model: Path | None = None, /) -> None:
    """Show what runs here and why, or what a model file holds.

    Without MODEL: the version, the instruction set in use, the threads, which kernels are compiled and which are not
    and why, and the versions of the packages that softmaxes builds on. The environment variable SOFTMAXES_ISA forces
    another of the instruction sets listed; the results are the same bits.

    Examples:

    ```
    softmaxes info
    SOFTMAXES_ISA=portable softmaxes info
    softmaxes info flowers.softmaxes
    ```

    Parameters
    ----------
    model
        A model file.
    """
    if model is None:
        show_library()
    else:
        show_model(model)


def show_library() -> None:
    """Print the version, the machine and the kernels."""
    found = native.describe()
    forced = os.environ.get("SOFTMAXES_ISA")
    table(
        [
            ("softmaxes", __version__),
            ("Python", f"{platform.python_version()} on {platform.machine()}"),
            ("instruction set", str(found["isa"]) + (f" (SOFTMAXES_ISA={forced})" if forced else "")),
            ("others here", ", ".join(map(str, found["available"])) + "  (force one with SOFTMAXES_ISA=NAME)"),
            ("threads", str(found["threads"])),
        ]
    )
    say()
    table([(name, str(state)) for name, state in found["kernels"].items()], heads=("kernel", "runs"))
    say()
    table([(name, installed(name)) for name in PACKAGES], heads=("package", "version"))


def installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def show_model(path: Path) -> None:
    """Print what a model file holds."""
    from softmaxes import persistence
    from softmaxes.tables import TableModel

    model = persistence.load(path)
    classifier: Any = getattr(model, "classifier", model)
    rows = [
        ("file", f"{path}, {path.stat().st_size:,} bytes"),
        ("classes", f"{len(classifier.classes_)}: {', '.join(map(str, classifier.classes_[:10].tolist()))}"),
        ("features", f"{classifier.n_features_in_:,}"),
    ]
    if isinstance(model, TableModel):
        rows.append(("target", str(model.recipe.target)))
    rows.append(("calibration", described(model)))
    if isinstance(model, TableModel):
        rows += [
            (name.replace("_", " "), str(value))
            for name, value in model.facts.items()
            if not isinstance(value, dict | list)
        ]
    table(rows)
    if isinstance(model, TableModel):
        columns = [(c.name, type(c).__name__.lower(), f"{len(c.features):,}") for c in model.recipe.columns]
        columns += [(name, f"not used: {reason}", "0") for name, reason in model.recipe.unused]
        say()
        table(columns[:MOST_COLUMNS], heads=("column", "read as", "features"))
        if len(columns) > MOST_COLUMNS:
            say(f"and {len(columns) - MOST_COLUMNS} more columns")
