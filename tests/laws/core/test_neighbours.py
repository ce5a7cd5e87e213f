"""Rows are done several at once, a row to a lane: each gives the same beside any others and in any layout."""

import numpy as np
import pytest

import softmaxes as sm
from softmaxes import native

SPECIAL = (np.nan, np.inf, -np.inf, 1e30, -1e30)


def hard_rows(rng, rows, columns, dtype):
    """Return logits of every kind side by side: ties, huge and tiny ones, infinities, NaN, rows without a class."""
    logits = (rng.normal(size=(rows, columns)) * rng.choice([1, 30, 400])).astype(dtype)
    for value in SPECIAL:
        if rng.random() < 0.4:
            logits[rng.random((rows, columns)) < rng.choice([0.02, 0.5])] = value
    if rng.random() < 0.3:
        logits[rng.integers(rows)] = -np.inf
    return np.round(logits) if rng.random() < 0.3 else logits


def layouts(function, logits, **options):
    """Return the function of the rows, once for each way in which they can lie in memory."""
    columns_first = np.ascontiguousarray(logits.T)
    stacked = np.ascontiguousarray(np.stack([logits[::-1], logits]).transpose(0, 2, 1))
    yield np.array([function(row, **options) for row in logits])
    yield function(columns_first, axis=0, **options).T
    yield np.moveaxis(function(stacked, axis=1, **options)[1], 0, -1)
    if function is not sm.logsumexp:
        for array, axis in ((logits.copy(), 1), (columns_first, 0)):
            function(array, axis=axis, out=array, **options)
            yield array if axis else array.T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 9, 16, 17, 33, 48, 49, 63, 64, 65])
def test_a_short_row_is_the_same_beside_any_others_and_in_any_layout(columns, dtype):
    rng = np.random.default_rng(columns)
    for rows in (1, 5, 16, 40):
        logits = hard_rows(rng, rows, columns, dtype)
        for function, options in ((sm.softmax, {}), (sm.softmax, {"temperature": 0.7}), (sm.log_softmax, {}),
                                  (sm.log_softmax, {"temperature": 3.0}), (sm.logsumexp, {})):  # fmt: skip
            with np.errstate(all="ignore"):
                whole = function(logits, **options)
                for other in layouts(function, logits, **options):
                    assert whole.tobytes() == np.ascontiguousarray(other).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [49, 64, 65, 80, 128, 129, 191, 1000, 1025])
@pytest.mark.parametrize("scale", [0.1, 1, 3])
def test_a_long_row_is_the_same_ready_and_along_another_axis(columns, dtype, scale):
    rng = np.random.default_rng(columns)
    for rows, offset in ((5, 0), (64, 0), (64, -300), (130, 5)):
        logits = (rng.normal(size=(columns, rows)) * scale + offset).astype(dtype)
        for function in (sm.softmax, sm.log_softmax, sm.logsumexp):
            ready, along = function(np.ascontiguousarray(logits.T)), function(logits, axis=0)
            assert ready.tobytes() == np.ascontiguousarray(along.T).tobytes()
            if function is not sm.logsumexp:
                in_place = logits.copy()
                function(in_place, axis=0, out=in_place)
                assert ready.tobytes() == np.ascontiguousarray(in_place.T).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 2, 3, 10, 16, 17, 64, 65])
def test_losses_of_short_rows_are_the_same_with_and_without_gradient_and_in_place(columns, dtype):
    rng = np.random.default_rng(columns)
    logits = hard_rows(rng, 37, columns, dtype)
    target = rng.integers(0, columns, len(logits))
    losses, alone, in_place = (np.empty(len(logits)) for _ in range(3))
    gradient, written = np.empty_like(logits), logits.copy()
    native.cross_entropy_rows(logits, target, losses, gradient)
    native.cross_entropy_rows(logits, target, alone)
    native.cross_entropy_rows(written, target, in_place, written)
    assert losses.tobytes() == alone.tobytes() == in_place.tobytes()
    assert gradient.tobytes() == written.tobytes()
    for i in range(len(logits)):
        one = np.empty(1)
        native.cross_entropy_rows(logits[i : i + 1].copy(), target[i : i + 1], one)
        assert one.tobytes() == losses[i : i + 1].tobytes()
