"""The certificate measures what is there: it praises no one, and notices a broken implementation."""

import json
from decimal import Decimal

import numpy as np
import pytest

from softmaxes import certify, reference
from softmaxes.errors import UserError

FEW = [case for case in certify.CASES if case.name in ("confident", "limit", "bytes", "log Z is 0", "masked")]


def naive(x):
    with np.errstate(all="ignore"):
        e = np.exp(np.asarray(x) - np.max(x))
        return e / e.sum()


@pytest.fixture
def naive_library(monkeypatch):
    functions = {
        "softmax": naive,
        "log_softmax": lambda x: np.log(np.maximum(naive(x), 1e-300)),
        "logsumexp": lambda x: np.log(np.exp(np.asarray(x, float)).sum()),
    }
    monkeypatch.setitem(certify.IMPLEMENTATIONS, "ours", lambda: functions)


def test_every_promise_is_kept():
    certificate = certify.certify()
    assert not certificate.broken, certificate.table()


def test_a_broken_library_is_noticed(naive_library):
    broken = {(m.case, m.function) for m in certify.certify(cases=FEW).broken}
    assert {("confident", "log_softmax"), ("limit", "softmax"), ("bytes", "softmax")} <= broken


def test_the_same_rows_every_time():
    for case in certify.CASES:
        if not case.long:
            assert all(np.array_equal(case.row(d), case.row(d)) for d in case.dtypes)


def test_the_table_and_the_json_tell_the_same():
    certificate = certify.certify(cases=FEW)
    lines = certificate.table().splitlines()
    record = json.loads(certificate.to_json())
    assert len(lines) - 1 == len(record["measured"]) == len(certificate.measured)
    assert record["versions"]["softmaxes"]


def test_refusals_are_findings(monkeypatch):
    def refuse(x):
        raise TypeError("no bytes here")

    monkeypatch.setitem(certify.IMPLEMENTATIONS, "ours", lambda: dict.fromkeys(certify.FUNCTIONS, refuse))
    certificate = certify.certify(cases=FEW[:1])
    assert len(certificate.broken) == len(certificate.measured)
    assert "refused" in certificate.table()


def test_unknown_and_missing_implementations_are_named(monkeypatch):
    with pytest.raises(UserError, match="'numpyro'; known are ours, scipy, torch, jax"):
        certify.certify("numpyro")

    def absent():
        raise ImportError("nothing here")

    monkeypatch.setitem(certify.IMPLEMENTATIONS, "torch", absent)
    with pytest.raises(UserError, match="pip install torch"):
        certify.certify("torch")


def test_errors_in_units():
    assert reference.ulp_error(1.0, Decimal(1), "float64") == 0
    assert reference.ulp_error(float(np.nextafter(1, 2)), Decimal(1), "float64") == 1
    assert reference.ulp_error(0.0, Decimal(2) ** -1074, "float64") == 1
    assert reference.ulp_error(0.0, Decimal("1e-400"), "float64") < 1e-70
    assert reference.ulp_error(float("nan"), Decimal(1), "float64") == np.inf
    assert reference.ulp_error(1e-300, Decimal(0), "float64") == np.inf
    assert reference.ulp_error(-np.inf, Decimal("-1e400"), "float64") == 0
    assert reference.ulp_error(np.inf, Decimal("-1e400"), "float64") == np.inf


def test_an_answer_of_another_shape_or_kind_is_wrong():
    row = np.array([0.0, 1.0])
    assert reference.largest_ulp("softmax", row, np.array([0.5])) == np.inf
    assert reference.largest_ulp("softmax", row, np.array([0, 1])) == np.inf
    with pytest.raises(ValueError, match="possible class"):
        reference.exact_row(np.array([-np.inf]))
