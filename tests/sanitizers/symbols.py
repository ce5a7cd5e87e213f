"""python symbols.py BUILD: every kernel object of a build exports its table of kernels, and nothing else.

A weak symbol (a template, an inline function) compiled for AVX-512 could be chosen for the whole program, and would
then end it on an older processor.
"""

import subprocess
import sys
from pathlib import Path


def shared(listing, name):
    """Return the symbols of an `nm` listing that others could use, but for the table itself."""
    defined = [line.split(maxsplit=2) for line in listing.splitlines() if len(line.split(maxsplit=2)) == 3]
    return [symbol for _, kind, symbol in defined if kind in "TDBRWVuiG" and symbol != f"softmaxes::kernels_{name}"]


def main(build):
    objects = sorted(build.rglob("kernels_*.dir/**/kernels.cpp.o"))
    if not objects:
        sys.exit(f"no kernel objects under {build}")
    for path in objects:
        name = (
            next(p.name for p in path.parents if p.name.startswith("kernels_"))
            .removeprefix("kernels_")
            .removesuffix(".dir")
        )
        listing = subprocess.run(
            ["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True
        ).stdout
        if found := shared(listing, name):
            sys.exit(f"kernels_{name} shares {found}; put them in an unnamed namespace")
        print(f"kernels_{name}: exports its table alone")


assert shared("0000 W float softmaxes::exp<float>(float)\n0010 T softmaxes::kernels_x", "x"), "the check sees nothing"

if __name__ == "__main__":
    main(Path(sys.argv[1]))
