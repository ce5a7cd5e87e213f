"""The threads that wait between calls: many callers at once, more threads than processors, and a forked process."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import softmaxes as sm

LOGITS = np.random.default_rng(0).standard_normal((700, 1000), np.float32)
FUNCTIONS = (sm.softmax, sm.log_softmax, sm.logsumexp)


def alone() -> list[bytes]:
    return [function(LOGITS, threads=1).tobytes() for function in FUNCTIONS]


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_more_threads_than_processors_give_the_same_bytes(threads: int) -> None:
    for _ in range(3):
        assert [function(LOGITS, threads=threads).tobytes() for function in FUNCTIONS] == alone()


def test_many_callers_at_once_get_what_one_gets() -> None:
    want = alone()

    def call(number: int) -> bool:
        index = number % len(FUNCTIONS)
        return FUNCTIONS[index](LOGITS, threads=1 + number % 4).tobytes() == want[index]

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(call, range(120)))


FORKING = """
import os, warnings
import numpy as np, softmaxes as sm
warnings.simplefilter("ignore")  # Python 3.12 warns of every fork in a process with threads
logits = np.random.default_rng(0).standard_normal((700, 1000), np.float32)
want = sm.softmax(logits, threads=2).tobytes()  # now there are threads that the fork will not have
child = os.fork()
if child == 0:
    os._exit(0 if sm.softmax(logits, threads=2).tobytes() == want else 1)
assert os.waitpid(child, 0)[1] == 0
assert sm.softmax(logits, threads=2).tobytes() == want
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_computes_with_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=60)
