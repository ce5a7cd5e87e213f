"""`softmaxes fit`: from a table to a saved model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from softmaxes import persistence
from softmaxes.errors import UserError
from softmaxes.files import check_writable
from softmaxes.sources import Arrays, Sparse
from softmaxes.tables import TableModel, open_table

from .calibrate import Method, described, with_calibration
from .cluster import check_cluster, reading
from .console import note, say, spinner, table
from .judging import check_report, judge, show_scores, write_report
from .memory import bytes_of, peak_bytes
from .training import OUT_OF_FOLD, Training, listed, out_of_fold_logits

__all__ = ["fit"]


def fit(
    data: Path,
    /,
    *,
    target: str,
    model: Path | None = None,
    report: Path | None = None,
    C: Annotated[float, Parameter(name="--C")] = 1.0,
    map: str = "softmax",
    l1_ratio: float = 0.0,
    holdout: float | None = None,
    test: Path | None = None,
    calibrate: Method | None = None,
    seed: int = 0,
    ignore: Annotated[list[str] | None, Parameter(negative="")] = None,
    categorical: Annotated[list[str] | None, Parameter(negative="")] = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    threads: int | None = None,
    memory: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    checkpoint: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a softmax classifier on a table and save it.

    Numbers are brought to mean 0 and variance 1; names become one feature for each category; text of several words
    becomes its tf-idf weights; dates become their parts; missing values are filled in and pointed out to the model.
    Columns that can't help (constant, row numbers, identifiers) are left out, and named. A fifth of the rows is held
    out, class by class, before anything is learned from the table, and the scores are those of the held-out rows.

    Examples:

    ```
    softmaxes fit flowers.csv --target species
    softmaxes fit visits.parquet --target outcome --model visits.softmaxes --test visits-2025.parquet
    softmaxes fit survey.csv --target vote --ignore id --categorical postcode --C 0.1
    softmaxes fit big.parquet --target y --memory 700MB --checkpoint big.checkpoint
    softmaxes fit folder/ --target y --workers 4
    softmaxes fit /shared/folder/ --target y --dask tcp://scheduler:8786
    ```

    Parameters
    ----------
    data
        The table: CSV (delimiter, encoding and decimal mark are found out), Parquet or Arrow, with column names; or
        a folder of such files.
    target
        The column that holds the class.
    model
        Where to save the model. [default: the name of DATA with .softmaxes, in the current folder]
    report
        Write a report on the scores as one HTML file that needs nothing else.
    C
        Inverse strength of the penalty on the weights, as in scikit-learn: smaller is more cautious; inf for none.
    map
        The way from scores to probabilities, with the loss that goes with it: softmax, sparsemax, entmax, ... as
        `softmaxes family` lists them.
    l1_ratio
        The share of the penalty that is on the weights' absolute values and makes many of them 0, from 0 to 1.
    holdout
        The share of rows to hold out for the scores. [default: 0.2, or 0 with --test]
    test
        A second table with the same columns, for the scores instead of held-out rows.
    calibrate
        Fit a calibration of the probabilities, on predictions for the training rows by five models that each leave a
        fifth of them out. temperature is one number and always safe; the others have more, and need many rows.
    seed
        Decides which rows are held out: the same seed, the same rows.
    ignore
        A column to leave out; repeat the option for more.
    categorical
        A column of numbers that are names (postcodes, product numbers); repeat the option for more.
    delimiter
        The character between the fields of a CSV, if the guess is wrong.
    encoding
        The character set of a CSV, such as utf-8 or latin-1, if the guess is wrong.
    threads
        How many threads to use. [default: all that help] The model does not depend on it.
    memory
        How much memory to use, such as 700MB or 2GB. Features that don't fit are written once to a temporary file
        (TMPDIR says where), or made anew for every pass if the disk has no room. The model does not depend on it.
    workers
        Train on so many worker processes, started for it. Files and row groups are shared out among them; the model
        depends on how DATA is divided into these, but not on the number of workers, nor on whether one dies.
    dask
        Train on the workers of a running Dask cluster, which must see DATA by the same path: the scheduler's address.
    checkpoint
        A file in which the training notes how far it is; it is removed when the model is saved.
    resume
        Go on from the checkpoint of a training that was killed, to the same model.
    """
    from softmaxes.classifier import SoftmaxClassifier
    from softmaxes.report import evidence_of, training_of

    began = time.perf_counter()
    model = model or Path(f"{data.resolve().stem}.softmaxes")
    check_writable(model)
    check_report(report)
    check_settings(C, map, l1_ratio, seed, threads)
    check_checkpoint(checkpoint, resume)
    check_cluster(dask, workers, memory)
    budget = None if memory is None else bytes_of(memory)
    opened = open_table(data, delimiter=delimiter, encoding=encoding)
    tested = None if test is None else open_table(test, delimiter=delimiter, encoding=encoding)
    if holdout is None:
        holdout = 0.2 if tested is None else 0.0
    if report is not None and tested is None and holdout == 0:
        raise UserError("--report needs rows to judge the model on: --holdout above 0, or --test FILE")
    new = partial(SoftmaxClassifier, C=C, map=map, l1_ratio=l1_ratio, threads=threads)
    evidence = None
    with reading(dask, workers, budget) as read:
        training = Training.of(
            read(opened), target, share=holdout, seed=seed, ignored=ignore or [], categorical=categorical or []
        )
        for remark in training.remarks():
            note(remark)
        fitted, seconds, errors = train(training, new, checkpoint, calibrate, seed, errors=report is not None)
        fitted = replace(fitted, facts={**training.facts(data, seed), **fitted.facts})
        if tested is not None or training.held.any():
            judged = (
                training.passes.judged(fitted, training.codes, training.held)
                if tested is None
                else judge(fitted, read(tested), target)
            )
            evidence = evidence_of(
                judged,
                fitted.classes_.tolist(),
                training=training_of(fitted, profile=training.profile, seconds=seconds, standard_errors=errors),
                title=f"{target} from {data.name}",
                judged_on=f"the rows of {test.name}" if test else "the held-out rows",
            )
            scores = {name: score.value for name, score in evidence.scores.items()}
            fitted = replace(fitted, facts={**fitted.facts, "scores": scores})
    persistence.save(fitted, model)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    show(training, fitted)
    if evidence is None:
        say("\nNo rows were held out and no --test was given, so there are no scores.")
    else:
        say()
        show_scores(evidence)
    if report is not None and evidence is not None:
        write_report(evidence, report)
    wrote = str(model) if report is None else f"{model} and {report}"
    wrote += memory_taken(budget)
    say(f"\n{time.perf_counter() - began:.1f} seconds; saved {wrote}")


def check_checkpoint(checkpoint: Path | None, resume: bool) -> None:
    if checkpoint is None:
        if resume:
            raise UserError("--resume needs --checkpoint FILE, to say from where")
        return
    check_writable(checkpoint)
    if checkpoint.exists() and not resume:
        raise UserError(f"{checkpoint} is there already; pass --resume to go on from it, or remove it to start anew")
    if resume and not checkpoint.exists():
        note(f"there is no checkpoint {checkpoint}; the training starts from the beginning")


def train(
    training: Training,
    new: Callable[[], Any],
    checkpoint: Path | None,
    calibrate: Method | None,
    seed: int,
    *,
    errors: bool,
) -> tuple[TableModel, float, Any]:
    """Return the model, the seconds that its training took, and its standard errors if asked for and rows are here."""
    from softmaxes.report import standard_errors

    with training.rows() as rows:
        started = time.perf_counter()
        with spinner("training"):
            classifier = new().fit(rows, checkpoint=checkpoint)
        seconds = time.perf_counter() - started
        fitted = TableModel(classifier, training.recipe)
        if calibrate is not None:
            codes = training.codes[training.trained]
            logits = out_of_fold_logits(new, rows, codes, len(training.labels), seed)
            fitted = with_calibration(fitted, calibrate, *logits, OUT_OF_FOLD)
        at_hand = errors and isinstance(rows, (Arrays, Sparse))
        found = standard_errors(classifier, (block.features for block in rows.blocks(4096))) if at_hand else None
    return fitted, seconds, found


def memory_taken(budget: int | None) -> str:
    """Return how much memory was used, where a budget was given; a note if it was not enough."""
    if budget is None:
        return ""
    peak = peak_bytes()
    if peak > budget:
        note(f"the work took {peak / 1e6:.0f} MB, more than --memory; docs/scaling.md says what takes how much")
    return f"; {peak / 1e6:.0f} MB of memory at most"


def check_settings(C: float, map: str, l1_ratio: float, seed: int, threads: int | None) -> None:
    from softmaxes.solvers.training import loss_of

    if not C > 0:
        raise UserError(f"--C is {C:g}; a number above 0 is needed (inf for no penalty)")
    if not 0 <= l1_ratio <= 1:
        raise UserError(f"--l1-ratio is {l1_ratio:g}; a number from 0 to 1 is needed")
    if seed < 0:
        raise UserError(f"--seed is {seed}; a whole number of at least 0 is needed")
    if threads is not None and threads < 1:
        raise UserError(f"--threads is {threads}; a whole number of at least 1 is needed")
    try:
        loss_of(map)
    except ValueError as error:
        raise UserError(f"--map: {error}") from error


def show(training: Training, model: TableModel) -> None:
    """Print what was trained, and on what."""
    classifier: Any = model.classifier
    counts = {
        "to train on": training.trained.sum(),
        "held out": training.held.sum(),
    }
    table(
        [
            ("rows", ", ".join(f"{count:,} {use}" for use, count in counts.items() if count)),
            ("columns", f"{len(model.recipe.columns)} used, making {len(model.recipe.features):,} features"),
            ("classes", f"{len(training.labels)}: {listed(list(map(str, training.labels.values)))}"),
            ("training", f"{classifier.n_iter_} iterations, {certificate(classifier.optimality_)}"),
            *([("calibration", described(model))] if model.calibration else []),
        ]
    )


def certificate(optimality: Any) -> str:
    """Return in words how far from the best model of its kind the solution can be."""
    if optimality.suboptimality_bound == float("inf"):
        return f"gradient norm {optimality.gradient_norm:.1e}"
    return f"proven within {optimality.relative:.1e} of the best possible loss"
