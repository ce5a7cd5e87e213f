"""Softmax over a row that does not fit in memory, and over one that lies on several machines.

    python examples/logz_out_of_memory.py logits.npy probabilities.npy

The row is read twice, a chunk at a time: once for its LogZ state, once for exp(x - log Z). The state is a few kB
whatever the length of the row. It is exact: chunks of another size, or states that came from other machines in another
order, give the same bits.
"""

import sys
from pathlib import Path

import numpy as np

from softmaxes import LogZ


def state_of(row: np.ndarray, chunk: int, offset: int = 0) -> LogZ:
    """Return the state of a (memory-mapped) row."""
    starts = range(0, len(row), chunk)
    return LogZ.reduce(LogZ.of(row[start : start + chunk], offset=offset + start) for start in starts)


def softmax_of_file(logits: Path, probabilities: Path, chunk: int = 1 << 20) -> LogZ:
    """Write the softmax of one saved row of float32 or float64 logits to another file; return the row's state."""
    row = np.load(logits, mmap_mode="r")
    out = np.lib.format.open_memmap(probabilities, mode="w+", dtype=row.dtype, shape=row.shape)
    state = state_of(row, chunk)
    for start in range(0, len(row), chunk):
        out[start : start + chunk] = np.exp(row[start : start + chunk].astype(np.float64) - state.log_z)
    out.flush()
    return state


def state_of_parts(parts: list[Path], chunk: int = 1 << 20) -> LogZ:
    """Return the state of a row whose parts are saved in several files, as each machine would send it: as an array."""
    sent, offset = [], 0
    for path in parts:
        row = np.load(path, mmap_mode="r")
        sent.append(state_of(row, chunk, offset).to_array())
        offset += len(row)
    return LogZ.reduce(LogZ.from_array(array) for array in sent)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    result = softmax_of_file(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"log Z {result.log_z}, entropy {result.entropy} nats, {result.count} entries")
