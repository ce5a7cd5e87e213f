"""Commands on the workers of a dask cluster: processes of this machine, or whatever an address leads to."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, reduce
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softmaxes.errors import UserError
from softmaxes.sources import Source
from softmaxes.sources.distributed import each
from softmaxes.tables import Labels, Profile, Recipe, Table, TableModel, Targets, numbered, parts_of, profile

from .console import note, progress
from .judging import judged_rows
from .passes import Here, Passes, dtype_of

if TYPE_CHECKING:
    from softmaxes.report import Judged

__all__ = ["OnCluster", "check_cluster", "reading"]

PATIENCE = 20
"""Seconds after which a cluster that does not answer, or has no workers, is given up."""

Reading = Callable[[Table], Passes]


def check_cluster(dask: str | None, workers: int | None, memory: str | None = None) -> None:
    """Raise UserError unless the options that say where to work go together."""
    if workers is not None and workers < 1:
        raise UserError(f"--workers is {workers}; a whole number of at least 1 is needed")
    if workers is not None and dask is not None:
        raise UserError("--workers starts a cluster on this machine and --dask names another; pass one of them")
    if memory is not None and (workers is not None or dask is not None):
        raise UserError(
            "--memory is for a fit by this process alone; the workers of a cluster write what is too much for them to "
            "disk as dask is configured"
        )


@contextmanager
def reading(dask: str | None, workers: int | None, budget: int | None = None) -> Iterator[Reading]:
    """Lend what reads a table: this process, worker processes that are started and ended, or a running cluster."""
    if dask is None and workers is None:
        yield lambda table: Here(table, budget)
        return
    import distributed  # noqa: F401 - it sets the levels of its loggers when it is imported

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told by the command, in one message
    with ExitStack() as stack:
        client = stack.enter_context(started(stack, workers) if workers is not None else connected(str(dask)))
        yield lambda table: OnCluster(client, table)


def started(stack: ExitStack, workers: int) -> Any:
    """Return a client of as many new processes of one thread each, which end with the stack."""
    from distributed import Client, LocalCluster

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="softmaxes-", ignore_cleanup_errors=True))
    # A terminal sends Ctrl-C to all its processes. The thread that starts the workers, and so these, inherit that it is
    # blocked: it reaches this process alone, which ends them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            local_directory=folder,
            preload=["softmaxes.cli.worker"],
            silence_logs=logging.CRITICAL,
        )
        stack.enter_context(cluster)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return Client(cluster)


def connected(address: str) -> Any:
    """Return a client of a cluster that has workers."""
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise UserError(
            f"there is no dask scheduler at {address!r}: {str(error).splitlines()[0]}; an address such as "
            "tcp://host:8786 is needed, as `dask scheduler` prints it"
        ) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        raise UserError(f"the cluster at {address} has no workers; start some: dask worker {address}") from error
    return client


class OnCluster(Passes):
    """A table whose parts are read by the workers of a cluster; they must see its files by the same paths.

    What the parts are depends on the files alone, and what workers find is merged in the order of the parts. So no
    result depends on how many workers there are.
    """

    def __init__(self, client: Any, table: Table) -> None:
        self.client = client
        self.table = table
        self._rows: list[int] = []

    @cached_property
    def _unnumbered(self) -> list[Table]:
        parts = parts_of(self.table)
        workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
        if len(parts) < workers:
            note(
                f"{self.table.name} can be read in {len(parts)} parts only, which is less than the {workers} workers; "
                "more row groups or more files would be more parts"
            )
        return parts

    @property
    def parts(self) -> list[Table]:
        """The parts, once `targets` has counted their rows."""
        return numbered(self._unnumbered, self._rows)

    def targets(self, target: str, labels: Labels | None = None) -> tuple[Labels, NDArray[Any]]:
        self.table.require(target, "the class")
        states = self._each("reading classes", Targets.of, [(part, target) for part in self._unnumbered])
        self._rows = [len(state.places) for state in states]
        return Targets.merged(states).classified(self.table.name, target, labels)

    def profile(self, columns: Collection[str], categorical: Collection[str], keep: NDArray[np.bool_]) -> Profile:
        calls = [
            (part, tuple(columns), tuple(categorical), mask)
            for part, mask in zip(self.parts, self._cut(keep), strict=True)
        ]
        return reduce(Profile.merge, self._each("profiling", _profiled, calls), Profile())

    @contextmanager
    def rows(self, recipe: Recipe, labels: Labels, codes: NDArray[Any], keep: NDArray[np.bool_]) -> Iterator[Source]:
        """Lend the rows as partitions that the workers hold."""
        from softmaxes.sources.dask_tables import partitions

        dtype = dtype_of(self.table, recipe)
        with progress("encoding", len(keep)) as advance:
            rows = partitions(
                self.client,
                self.parts,
                recipe,
                labels,
                self._cut(keep),
                dtype=dtype,
                done=lambda number: advance(self._rows[number]),
            )
        yield rows

    def judged(self, model: TableModel, codes: NDArray[Any], keep: NDArray[np.bool_] | None) -> Judged:
        from softmaxes.report import Judged

        masks = self._cut(keep) if keep is not None else [None] * len(self._rows)
        calls = [(model, part, own, mask) for part, own, mask in zip(self.parts, self._cut(codes), masks, strict=True)]
        return reduce(Judged.merge, self._each("scoring", judged_rows, calls), Judged())

    def _each(self, task: str, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        names = [part.name for part in self._unnumbered]
        with progress(task, len(calls)) as advance:
            return each(self.client, function, calls, names, lambda number: advance(1))

    def _cut(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        return [array[start:stop] for start, stop in pairwise(accumulate(self._rows, initial=0))]


def _profiled(part: Table, columns: tuple[str, ...], categorical: tuple[str, ...], keep: NDArray[np.bool_]) -> Profile:
    return profile(part, columns=columns, categorical=categorical, keep=keep)
