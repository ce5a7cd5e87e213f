"""Every law of the exponential core, on every case of its table."""

import pytest
from tests.laws.core import determinism, dtypes, identities, layouts, masks, nonfinite, outputs, refusals, temperature  # noqa: F401
from tests.laws.core.subject import LAWS, Core


@pytest.mark.parametrize("name", LAWS)
def test_the_core_obeys(name):
    LAWS[name].examine(Core())
