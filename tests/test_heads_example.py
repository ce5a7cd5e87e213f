"""The next-word example runs from the shell and ends in one page that needs nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "examples" / "next_word" / "next_word.py"


def run(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def babble(path, n=24_000):
    """Write a text in which every word tells a good deal about the next one."""
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + i) for i in rng.integers(0, 26, 5)) for _ in range(60)]
    at, text = 0, []
    for _ in range(n):
        at = (3 * at + rng.integers(0, 4)) % 60
        text.append(words[at])
    path.write_text(" ".join(text))


def test_the_example_trains_every_head_and_writes_one_page(tmp_path):
    babble(tmp_path / "text.txt")
    page = tmp_path / "page.html"
    done = run(tmp_path / "text.txt", "--output", page, "--seconds", 0.4, "--vocabulary", 61, "--judged", 500,
               "--hidden", 16, "--embedded", 8, "--batch", 64)  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = page.read_text()
    assert shown.count("<svg") == 4  # two charts, each for wide and for narrow windows
    assert "$" not in shown
    assert 'src="http' not in shown
    assert 'href="http' not in shown
    runs = json.loads(page.with_suffix(".json").read_text())["runs"]
    assert [r["head"] for r in runs] == ["full", "adaptive", "sampled", "hierarchical", "spherical"]
    for r in runs:
        assert r["head"] in shown
        assert r["parameters"] > 0
        assert r["working"] > 0
        assert all(1 < point["perplexity"] < 200 for point in r["points"])
        assert [p["words"] for p in r["points"]] == sorted(p["words"] for p in r["points"])


def test_the_example_says_what_it_needs(tmp_path):
    missing = run(tmp_path / "nothing.txt")
    assert missing.returncode == 2
    assert "README.md says how to get a text" in missing.stderr
    (tmp_path / "short.txt").write_text("in the beginning")
    short = run(tmp_path / "short.txt")
    assert short.returncode != 0
    assert "at least 20000 are needed" in short.stderr
    unknown = run(tmp_path / "short.txt", "--heads", "full,quantum")
    assert unknown.returncode == 2
    assert "quantum unknown" in unknown.stderr
