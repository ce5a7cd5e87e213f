"""The same bytes from every instruction set, and from the generic text within the promised errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.accuracy.oracle import ExactRow, largest_ulp_error
from tests.laws.core.digest import digests
from tests.laws.core.subject import Core, normal
from tests.saboteurs.core_saboteurs import SABOTEURS

from softmaxes import generic, native

ROOT = Path(__file__).resolve().parents[3]
SETS = native.describe()["available"]


def elsewhere(isa, threads):
    """Return the digests made by another process that may use this instruction set alone."""
    script = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "import json; from softmaxes import native; from tests.laws.core.digest import digests\n"
        "from tests.laws.core.subject import Core\n"
        "print(json.dumps([native.describe()['isa'], digests(Core())]))"
    )
    environment = os.environ | {"SOFTMAXES_ISA": isa, "SOFTMAXES_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    used, found = json.loads(done.stdout)
    assert used == isa, f"asked for {isa}, got {used}"
    return found


@pytest.mark.parametrize("isa", SETS)
def test_every_instruction_set_gives_the_same_bytes(isa):
    here = digests(Core())
    there = elsewhere(isa, threads=1)
    different = [name for name in here if here[name] != there[name]]
    assert not different, (
        f"{isa} differs from {native.describe()['isa']} in {len(different)} of {len(here)}: {different[:5]}"
    )


def test_an_unknown_instruction_set_is_refused():
    environment = os.environ | {"SOFTMAXES_ISA": "abacus"}
    done = subprocess.run(
        [sys.executable, "-c", "import softmaxes; softmaxes.softmax([1.0])"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "abacus" in done.stderr


def test_one_changed_bit_changes_the_digest():
    saboteur = next(s for s in SABOTEURS if s.name == "every_other_call_differs")
    assert digests(saboteur.core) != digests(Core())


def generic_answer(function, x):
    with np.errstate(all="ignore"):
        return generic.logsumexp(x, np) if function == "logsumexp" else getattr(generic, function)(x, 1.0, np)


# The generic text is the specification; in its own type its sums and its exponential cost it a little more.
GENERIC_BOUND = {"softmax": 6, "log_softmax": 3, "logsumexp": 3}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", GENERIC_BOUND)
@pytest.mark.parametrize("width", [1, 2, 10, 100, 1000, 40_000])
def test_the_generic_text_and_the_kernel_answer_the_same_question(function, dtype, width):
    for scale, offset in ((1, 3), (30, 0), (3, 1000)):
        few = (normal(400, scale=scale, seed=width) + offset).astype(dtype)  # few distinct logits: a quick exact answer
        x = np.random.default_rng(width).choice(few, width)
        if function == "logsumexp" and -np.log(width) <= x.max() <= 0:
            continue  # where log Z is near 0 the generic text promises an absolute error only
        error = largest_ulp_error(generic_answer(function, x), ExactRow.of(x), function)
        assert error <= GENERIC_BOUND[function], f"the generic text is off by {error:.2f} ULP"


@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_generic_text_and_the_kernel_have_the_same_exceptions(function, dtype):
    """NaN, infinities and empty rows land in the same entries."""
    rng = np.random.default_rng(0)
    x = normal(300, 7, dtype=dtype)
    for value in (np.nan, np.inf, -np.inf):
        x[rng.random(x.shape) < 0.15] = value
    x[:20] = np.where(rng.random((20, 7)) < 0.5, -np.inf, x[:20])
    x[20:25] = -np.inf
    kernel, text = Core().named(function)(x), generic_answer(function, x)
    for same in (np.isnan, np.isposinf, np.isneginf):
        empty = np.isneginf(x).all(axis=-1)
        assert np.array_equal(same(kernel)[~empty], same(text)[~empty]), same.__name__
