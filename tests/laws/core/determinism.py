"""Laws of the bits: the same input gives the same bytes, whoever computes them and with whatever beside it."""

import itertools
import threading

import numpy as np
from tests.laws.core.subject import FUNCTIONS, law, normal, same_bits

THREADED = ("softmax", "log_softmax", "logsumexp")
TYPES = ("float32", "float64", "float16")


@law(itertools.product(THREADED, TYPES, ((64, 1000), (3, 70_001), (1, 200_003), (3000, 9), (33, 50, 20))))
def threads_do_not_change_a_bit(core, case):
    function, dtype, shape = case
    x = normal(*shape, dtype=dtype)
    axis = 1 if len(shape) == 3 else -1
    want = core.named(function)(x, axis=axis, threads=1)
    for threads in (2, 3, None):
        same_bits(core.named(function)(x, axis=axis, threads=threads), want, (case, threads))


@law(itertools.product(FUNCTIONS, TYPES, (1, 7, 64, 129, 1000)))
def a_row_does_not_see_its_neighbours(core, case):
    function, dtype, width = case
    x = normal(37, width, dtype=dtype)
    call = core.named(function)
    whole = call(x)
    for start, stop in ((0, 1), (1, 2), (3, 20), (36, 37), (5, 37)):
        same_bits(call(x[start:stop]), whole[start:stop], (case, start, stop))
    same_bits(call(np.ascontiguousarray(x[::-1]))[::-1], whole, (case, "rows reversed"))


@law(itertools.product(FUNCTIONS, TYPES))
def twice_is_the_same(core, case):
    function, dtype = case
    x = normal(50, 300, dtype=dtype)
    same_bits(core.named(function)(x), core.named(function)(x), case)


@law(THREADED)
def many_python_threads_may_call_at_once(core, function):
    x = normal(40, 2000, dtype=np.float32)
    want = core.named(function)(x)
    results = [None] * 8

    def work(i):
        results[i] = core.named(function)(x)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for got in results:
        same_bits(got, want, function)
