"""Tests of the tests: every broken core is caught by the law that it names, and no law is idle."""

import pytest
from tests.laws.core import determinism, dtypes, identities, layouts, masks, nonfinite, outputs, refusals, temperature  # noqa: F401
from tests.laws.core.subject import LAWS
from tests.saboteurs.core_saboteurs import SABOTEURS


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda s: s.name)
def test_the_law_notices(saboteur):
    with pytest.raises(AssertionError):
        LAWS[saboteur.breaks].examine(saboteur.core)


def test_no_law_is_idle():
    assert not set(LAWS) - {saboteur.breaks for saboteur in SABOTEURS}
