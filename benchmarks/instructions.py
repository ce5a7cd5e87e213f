"""python -m benchmarks.instructions: how many instructions each kernel needs an entry, counted by callgrind.

Unlike a time, the count does not depend on the machine's mood: a change of the kernels can be judged on any machine.
Needs g++ and valgrind (which has no AVX-512: the AVX2 and the baseline kernels stand for it). The count of a call is a
difference of two runs, so that nothing but the kernel is in it. Prints the ratio to the recorded counts and, with
--record, replaces them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent / "native"
RECORD = HERE / "results" / "instructions.json"

OPERATIONS = ("softmax", "log_softmax", "logsumexp", "cross_entropy_and_gradient")
SHAPES = ((10, 64), (128, 64), (1000, 16), (32_000, 1))
OPTIONS = ["-std=c++20", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
OPTIONS += ["-fno-exceptions", "-fno-rtti"]
SETS = {"baseline": [], "avx2": ["-DSOFTMAXES_AVX2", "-mavx2", "-mfma", "-mf16c"]}
AVX512 = ["-DSOFTMAXES_AVX512", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"]


def build(folder: Path) -> Path:
    """Compile the kernels as the package does (CMakeLists.txt) and link them to the driver."""
    objects = []
    for name, options in {**SETS, "avx512": AVX512}.items():
        target = folder / f"{name}.o"
        subprocess.run(["g++", *OPTIONS, *options, "-c", NATIVE / "kernels.cpp", "-o", target], check=True)
        objects.append(target)
    program = folder / "instructions"
    sources = [HERE / "instructions.cpp", NATIVE / "dispatch.cpp"]
    flags = ["-std=c++20", "-O2", "-DSOFTMAXES_X86", f"-I{NATIVE}", "-pthread"]
    subprocess.run(["g++", *flags, *sources, *objects, "-o", program], check=True)
    return program


def collected(program: Path, *arguments: object) -> int:
    """Return the instructions of a whole run."""
    words = [str(a) for a in arguments]
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def count() -> dict[str, float]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for isa, operation, dtype in itertools.product(SETS, OPERATIONS, ("float32", "float64")):
            for columns, rows in SHAPES:
                once, thrice = (collected(program, isa, operation, dtype, columns, rows, n) for n in (1, 3))
                per_entry = (thrice - once) / 2 / (columns * rows)
                found[f"{isa} {operation} {dtype} {rows}x{columns}"] = round(per_entry, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    missing = [tool for tool in ("g++", "valgrind") if not shutil.which(tool)]
    if missing:
        parser.error(f"needed here: {', '.join(missing)}; try apt-get install {' '.join(missing)}")
    before = json.loads(RECORD.read_text())["instructions an entry"] if RECORD.exists() else {}
    counts = count()
    for name, value in counts.items():
        change = f"  {value / before[name]:.3f} of the recorded {before[name]}" if name in before else ""
        print(f"{name:60s} {value:8.3f}{change}")
    if options.record:
        compiler = subprocess.run(
            ["g++", "-dumpfullversion"], capture_output=True, text=True, check=True
        ).stdout.strip()
        RECORD.write_text(json.dumps({"compiler": f"g++ {compiler}", "instructions an entry": counts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
