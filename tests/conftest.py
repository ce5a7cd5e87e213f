"""One harsh setting for every test: seeded, quiet, and with the tests' own tables importable as ``tests.<room>``."""

import sys
from pathlib import Path

import hypothesis

# pytest's importlib mode adds nothing to sys.path; tables of cases are shared as `tests.laws...`.
sys.path.append(str(Path(__file__).resolve().parent.parent))

hypothesis.settings.register_profile(
    "house",
    deadline=None,  # the machine may be shared: no test judges time
    derandomize=True,  # the same examples for everyone; `--hypothesis-profile=search` looks for new ones
    max_examples=60,
    database=None,
)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("house")
