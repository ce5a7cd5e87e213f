"""The command `softmaxes`, also as `python -m softmaxes`: exit codes, and messages in place of tracebacks.

0: done. 1: a check that the command makes has failed. 2: what the user gave can't be used, said in one message.
130: interrupted. 141: the reader of the output left. Anything else that goes wrong is a defect of ours and shows its
traceback.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from softmaxes.errors import UserError

# package that may be missing -> the extra that brings it
EXTRAS = {
    "altair": "report",
    "cyclopts": "train",
    "dask": "dask",
    "distributed": "dask",
    "jinja2": "report",
    "onnx": "onnx",
    "pyarrow": "train",
    "rich": "train",
    "safetensors": "train",
    "scipy": "train",
    "skl2onnx": "onnx",
    "sklearn": "train",
    "vl_convert": "report",
}


def main() -> None:
    """Run the command line on the arguments of the process, and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments
        What follows the name of the command.
    """
    try:
        from softmaxes.cli import call

        with warnings.catch_warnings():
            warnings.showwarning = note
            status = call(list(arguments))
        sys.stdout.flush()
    except UserError as error:
        return fail(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is None:
            raise
        return fail(
            f"this command needs the package {package}, which is not installed: pip install 'softmaxes[{extra}]'"
        )
    except ImportError as error:
        if "SOFTMAXES_ISA" not in str(error):
            raise
        return fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted")
        return 130
    except BrokenPipeError:
        # The reader is gone; without this, Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as what it is to the user: a remark, without the line of code that gave it."""
    print(f"note: {message}", file=sys.stderr)


def fail(message: str) -> int:
    """Print a message to standard error, and return the status for it."""
    name = "softmaxes"
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        name = f"\x1b[1;31m{name}\x1b[0m"
    print(f"{name}: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
