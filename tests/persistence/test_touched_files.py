"""A file that was cut, changed or forged is refused with one clear error."""

import hashlib
import json
import re

import numpy as np
import pytest
from tests.persistence.cases import table_model

from softmaxes import persistence
from softmaxes.calibration import CALIBRATIONS
from softmaxes.classifier import from_parameters
from softmaxes.errors import UserError
from softmaxes.persistence import container
from softmaxes.tables import TableModel


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "m.softmaxes"
    model, _ = table_model()
    small = TableModel(model.classifier, model.recipe, None, {})
    persistence.save(small, path)
    return path.read_bytes()


def loads(data, path):
    path.write_bytes(data)
    return persistence.load(path)


def every_flip_is_refused(load, data, path):
    """A flipped bit in any byte of the file makes loading fail with UserError; all eight bits of some bytes."""
    for position in range(len(data)):
        bits = range(8) if position < 16 or position % 97 == 0 else [position % 8]
        for bit in bits:
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            try:
                load(bytes(flipped), path)
            except UserError:
                continue
            return False
    return True


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("short") / "m"
    persistence.save(from_parameters(np.array(["no", "yes"]), np.ones((1, 2)), np.zeros(1)), path)
    return path.read_bytes()


def test_every_flipped_bit_is_noticed(short, tmp_path):
    assert every_flip_is_refused(loads, short, tmp_path / "m")


def test_without_the_checksum_some_would_not_be(short, tmp_path, monkeypatch):
    monkeypatch.setattr(container, "is_whole", lambda data: True)
    assert not every_flip_is_refused(loads, short, tmp_path / "m")


def test_every_truncation_is_noticed(saved, tmp_path):
    for size in [*range(0, len(saved), 37), len(saved) - 1]:
        with pytest.raises(UserError, match=r"cut short|not a softmaxes model|is empty"):
            loads(saved[:size], tmp_path / "m")


@pytest.mark.parametrize("tail", [b"\0", b"more", b" " * 1000])
def test_a_tail_is_noticed(saved, tmp_path, tail):
    with pytest.raises(UserError, match="damaged"):
        loads(saved + tail, tmp_path / "m")


def resealed(data, change, metadata=None):
    """Return a file with another document inside and a checksum that is right: what a malicious writer would make."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    document = json.loads(header["__metadata__"]["model"])
    document = change(document) or document
    header["__metadata__"] |= {"model": json.dumps(document), "sha256": "0" * 64, **(metadata or {})}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    made = len(text).to_bytes(8, "little") + text + data[8 + length :]
    return made.replace(b"0" * 64, hashlib.sha256(made).hexdigest().encode(), 1)


def test_a_newer_schema_is_refused_with_advice(saved, tmp_path):
    newer = resealed(saved, lambda d: d.update(softmaxes="9.1.0"), {"schema": "2"})
    with pytest.raises(UserError, match=r"newer softmaxes \(version 9.1.0, schema 2\).*up to 1.*--upgrade softmaxes"):
        loads(newer, tmp_path / "m")


def test_a_rewritten_file_with_the_right_checksum_loads(saved, tmp_path):
    assert isinstance(loads(resealed(saved, lambda d: None), tmp_path / "m"), TableModel)


OF_TWO_CLASSES = CALIBRATIONS["temperature"]().fit([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]], [0, 1, 1]).to_dict()

MALFORMED = {
    "not an object": lambda d: ["list"],
    "another kind": lambda d: d.update(kind="pickle"),
    "no kind": lambda d: d.pop("kind"),
    "no classifier": lambda d: d.pop("classifier"),
    "classifier is text": lambda d: d.update(classifier="x"),
    "one label": lambda d: d["classifier"]["labels"].update(values=[1]),
    "too many labels": lambda d: d["classifier"]["labels"].update(values=[1, 2, 3, 4]),
    "labels twice": lambda d: d["classifier"]["labels"].update(values=[1, 1, 2]),
    "labels of another type": lambda d: d["classifier"]["labels"].update(values=["a", "b", "c"]),
    "labels are lists": lambda d: d["classifier"]["labels"].update(values=[[1], [2], [3]]),
    "labels too large": lambda d: d["classifier"]["labels"].update(values=[1, 2, 10**30]),
    "an odd type of labels": lambda d: d["classifier"]["labels"].update(dtype="O8,U9"),
    "an unknown parameter": lambda d: d["classifier"]["parameters"].update(evil=1),
    "a fitted attribute as parameter": lambda d: d["classifier"]["parameters"].update(coef_=1),
    "an unknown solver": lambda d: d["classifier"]["parameters"].update(solver={"solver": "os.system"}),
    "a solver with odd fields": lambda d: d["classifier"]["parameters"].update(solver={"solver": "lbfgs", "x": 1}),
    "parameters are a list": lambda d: d["classifier"].update(parameters=[1]),
    "iterations are text": lambda d: d["classifier"].update(n_iter="many"),
    "optimality is short": lambda d: d["classifier"].update(optimality={"tol": 1}),
    "feature names are short": lambda d: d["classifier"].update(feature_names=["a"]),
    "another recipe": lambda d: d["recipe"]["columns"].pop(),
    "no recipe": lambda d: d.update(recipe=None),
    "recipe is text": lambda d: d.update(recipe="x"),
    "a column of another kind": lambda d: d["recipe"]["columns"][0].update(kind="eval"),
    "calibration is text": lambda d: d.update(calibration="x"),
    "an unknown calibration": lambda d: d.update(calibration={"method": "Evil"}),
    "a calibration of other classes": lambda d: d.update(calibration=OF_TWO_CLASSES),
    "facts are a list": lambda d: d.update(facts=[]),
    "nested without end": lambda d: d.update(facts=json.loads("[" * 500 + "]" * 500)),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_document_is_one_clear_error(saved, tmp_path, case):
    with pytest.raises(UserError, match=r"m\b.*"):
        loads(resealed(saved, MALFORMED[case]), tmp_path / "m")


BAD_METADATA = (
    {"schema": "0"},
    {"schema": "x"},
    {"schema": ""},
    {"format": "other"},
    {"model": "{"},
    {"model": "[" * 100_000},
    {"model": '{"kind": NaN}'},
)


@pytest.mark.parametrize("metadata", BAD_METADATA)
def test_malformed_metadata_is_one_clear_error(saved, tmp_path, metadata):
    with pytest.raises(UserError, match=r"softmaxes model|malformed"):
        loads(resealed(saved, lambda d: None, metadata), tmp_path / "m")


def test_coefficients_must_be_finite(tmp_path):
    clf = from_parameters(np.arange(3), np.full((3, 2), np.nan), np.zeros(3))
    persistence.save(clf, tmp_path / "m")
    with pytest.raises(UserError, match="not finite"):
        persistence.load(tmp_path / "m")


STRANGERS = {
    "nothing": b"",
    "text": b"a,b\n1,2\n",
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "a huge header": (2**62).to_bytes(8, "little") + b"{",
    "zeros": b"\0" * 100,
    "another safetensors file": None,
}


@pytest.mark.parametrize("case", STRANGERS)
def test_other_files_are_refused(tmp_path, case):
    import safetensors.numpy

    data = STRANGERS[case] if STRANGERS[case] is not None else safetensors.numpy.save({"a": np.zeros(3)})
    with pytest.raises(UserError, match="is not a softmaxes model"):
        loads(data, tmp_path / "m")


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="m can't be read: No such file"):
        persistence.load(tmp_path / "m")
    with pytest.raises(UserError, match="can't be read: Is a directory"):
        persistence.load(tmp_path)


def test_the_header_is_readable_without_us(saved):
    """The format is documented: 8 bytes of length, then JSON."""
    header = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    assert header["__metadata__"]["format"] == "softmaxes"
    assert header["__metadata__"]["schema"] == "1"
    assert re.fullmatch(r"[0-9a-f]{64}", header["__metadata__"]["sha256"])
    assert set(header) == {"__metadata__", "coef", "intercept"}
