"""The recipe of ARCHITECTURE.md, followed literally: a member in one class; every law runs on it by itself."""

from dataclasses import dataclass

import numpy as np
import pytest

from softmaxes import losses, maps
from softmaxes.maps.base import Properties
from softmaxes.maps.normalised import NormalisedScores, scores_of_values

from .saboteurs import Sound
from .test_maps import LAWS


@dataclass(frozen=True)
class Quartic(NormalisedScores):
    """p_k = (z_k^4 + 1) / sum (z_j^4 + 1)."""

    name = "quartic"

    def properties(self):
        return Properties(
            shift_invariant=False,
            scale_invariant=False,
            order_preserving=False,
            sparse=False,
            differentiable=True,
            strictly_positive=True,
        )

    def _scores(self, z, xp):
        possible = z != -xp.inf
        y = xp.where(possible, z, xp.zeros_like(z))
        return scores_of_values(y**4 + 1, 4 * y**3, 12 * y**2, possible, xp)


@pytest.mark.parametrize("law", LAWS, ids=lambda f: f.__name__)
def test_the_newcomer_obeys(law, monkeypatch):
    monkeypatch.setattr(maps, "Quartic", Quartic, raising=False)
    law(Sound(Quartic()))


def test_the_rest_follows(monkeypatch):
    monkeypatch.setattr(maps, "FAMILY", (*maps.FAMILY, Quartic()))
    assert maps.member("quartic") == Quartic()
    z, y = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 2, 1, 1])
    value, gradient = losses.MapLoss(Quartic()).value_and_gradient(z, y)
    assert value == pytest.approx(-np.mean(np.log(Quartic()(z)[np.arange(4), y])), rel=1e-13)
    assert np.all(np.isfinite(gradient))
