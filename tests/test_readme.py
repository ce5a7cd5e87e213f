"""What the README says in numbers is what was recorded."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_speed_is_the_recorded_one(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)
    from benchmarks.summary import RESULTS, summary

    table = summary(json.loads(RESULTS.read_text()))
    readme = (ROOT / "README.md").read_text()
    assert table in readme, "run python -m benchmarks.summary and put its output into the README"
