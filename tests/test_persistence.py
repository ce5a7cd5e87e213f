"""The model file: what is saved comes back, what was touched is refused, what fails leaves the old file whole."""

import errno
import hashlib
import json
import os
import re

import numpy as np
import pyarrow as pa
import pytest

import softmaxes
from softmaxes import persistence
from softmaxes.calibration import CALIBRATIONS
from softmaxes.classifier import SoftmaxClassifier, from_parameters
from softmaxes.errors import UserError
from softmaxes.files import check_writable, replacing
from softmaxes.maps import FAMILY, Entmax, Generalized, Softmax, member
from softmaxes.persistence import container
from softmaxes.selection import SoftmaxClassifierCV
from softmaxes.solvers import LBFGS, Optimality
from softmaxes.tables import Recipe, TableModel, as_table, profile


def fitted(classes=("no", "yes", "maybe"), n=90, **parameters):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    y = np.array(classes)[(X @ rng.normal(size=(4, len(classes)))).argmax(axis=1)]
    return SoftmaxClassifier(**parameters).fit(X, y), X


def table_model(calibration=None):
    rng = np.random.default_rng(1)
    n = 60
    table = as_table(
        pa.table(
            {
                "x": [None if i % 9 == 0 else float(v) for i, v in enumerate(rng.normal(size=n))],
                "c": rng.choice(["a", "b", 'say "hi"', "ü\n☃"], n),
                "when": pa.array(rng.integers(0, 10**15, n), pa.timestamp("us")),
                "text": [f"word{v} and more of word{v % 7}" for v in rng.integers(0, 30, n)],
            }
        )
    )
    recipe = Recipe.of(profile(table), target="y")
    y = np.array([10, 2, 30])[np.arange(n) % 3]
    classifier = SoftmaxClassifier().fit(recipe.matrix(table), y)
    if calibration is not None:
        logits = classifier.predict_log_proba(recipe.matrix(table))
        calibration = CALIBRATIONS[calibration]().fit(logits, np.arange(n) % 3, classes=np.arange(3))
    return TableModel(
        classifier, recipe, calibration, {"rows": n, "note": "ü", "inner": {"list": [1, 2.5, None]}}
    ), table


# ---- round trips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_classifier_comes_back(tmp_path, dtype):
    clf, X = fitted()
    X = X.astype(dtype)
    clf.fit(X, clf.predict(X))
    clf.save(tmp_path / "m.softmaxes")
    again = softmaxes.load(tmp_path / "m.softmaxes")
    assert type(again) is SoftmaxClassifier
    assert again.get_params() == clf.get_params()
    assert again.coef_.dtype == dtype
    for name in ("classes_", "coef_", "intercept_", "n_iter_", "objective_", "optimality_", "n_features_in_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clf, name))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["no", "yes"]),
        np.array(["1", "2", "03"]),
        np.array(["", "ü☃", 'a"b\\c\nd']),
        np.array([3, -7, 2**62]),
        np.array([1, 2, 3], dtype=np.int8),
        np.array([1, 2], dtype=np.uint64),
        np.array([0.1, 1.0, 1e300]),
        np.array([False, True]),
        np.array(["a", "b"], dtype=object),
    ],
)
def test_labels_come_back_with_their_type(tmp_path, classes):
    classes = np.sort(classes)
    rows = 1 if len(classes) == 2 else len(classes)
    clf = from_parameters(classes, np.ones((rows, 2)), np.zeros(rows))
    persistence.save(clf, tmp_path / "m")
    again = persistence.load(tmp_path / "m")
    assert again.classes_.dtype == clf.classes_.dtype
    assert again.classes_.tolist() == clf.classes_.tolist()
    assert [type(label) for label in again.classes_.tolist()] == [type(label) for label in classes.tolist()]


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second": lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda a: a.astype(">f8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_coefficients_of_any_layout_come_back(tmp_path, layout):
    coef = np.arange(12.0).reshape(3, 4) + 0.5
    persistence.save(from_parameters(np.arange(3), LAYOUTS[layout](coef), np.zeros(3)), tmp_path / "m")
    np.testing.assert_array_equal(persistence.load(tmp_path / "m").coef_, coef)


@pytest.mark.parametrize(
    "parameters",
    [
        {"C": np.float64(0.3), "max_iter": np.int64(7)},
        {"class_weight": "balanced"},
        {"class_weight": {"no": 2.0, "yes": 0.5, "maybe": 1.0}},
        {"solver": LBFGS(history=3, preconditioner="diagonal")},
        {"map": "sparsemax"},
        {"map": Entmax(1.3)},
        {"map": Softmax(temperature=3.0)},
        {"l1_ratio": 0.5},
        {"solver": "lbfgs", "random_state": 3, "threads": 1, "fit_intercept": False},
    ],
)
def test_parameters_come_back(tmp_path, parameters):
    clf, _ = fitted(**parameters)
    persistence.save(clf, tmp_path / "m")
    again = persistence.load(tmp_path / "m")
    assert again.get_params() == clf.get_params()
    assert again.optimality_ == clf.optimality_


def test_numbers_that_json_lacks_come_back(tmp_path):
    unproven = Optimality(np.inf, np.inf, 0.1, 1e-9, 1e-6, False)
    clf = from_parameters(np.arange(3), np.ones((3, 2)), np.zeros(3), C=np.inf, optimality_=unproven, objective_=0.25)
    persistence.save(clf, tmp_path / "m")
    again = persistence.load(tmp_path / "m")
    assert (again.C, again.optimality_, again.objective_) == (np.inf, unproven, 0.25)


# A prior correction is not fitted on logits.
@pytest.mark.parametrize("calibration", [None, *sorted(CALIBRATIONS.keys() - {"prior"})])
def test_a_table_model_comes_back(tmp_path, calibration):
    model, table = table_model(calibration)
    persistence.save(model, tmp_path / "m.softmaxes")
    again = persistence.load(tmp_path / "m.softmaxes")
    assert again.recipe == model.recipe
    assert again.facts == model.facts
    np.testing.assert_array_equal(again.predict_proba(table), model.predict_proba(table))
    np.testing.assert_array_equal(again.predict(table), model.predict(table))
    assert again.labels.kind == "integer"


def test_a_map_of_the_family_comes_back_by_name(tmp_path):
    for value in FAMILY:
        persistence.save(from_parameters(np.arange(3), np.ones((3, 2)), np.zeros(3), map=value), tmp_path / "m")
        assert member(persistence.load(tmp_path / "m").map) == value


def test_a_map_of_the_users_own_is_not_saved(tmp_path):
    own = Generalized(np.exp, np.ones_like, np.ones_like)
    with pytest.raises(TypeError, match=r"the parameter map=.* can't be saved"):
        persistence.save(from_parameters(np.arange(3), np.ones((3, 2)), np.zeros(3), map=own), tmp_path / "m")


def test_a_chosen_penalty_is_kept(tmp_path):
    clf, X = fitted()
    chosen = SoftmaxClassifierCV(Cs=[0.1, 10.0]).fit(X, clf.predict(X))
    chosen.save(tmp_path / "m")
    again = persistence.load(tmp_path / "m")
    assert (type(again), again.C) == (SoftmaxClassifier, chosen.C_)
    np.testing.assert_array_equal(again.predict_proba(X), chosen.predict_proba(X))


def test_names_of_features_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    _, X = fitted()
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "ü"])
    clf = SoftmaxClassifier().fit(frame, X[:, 0] > 0)
    clf.save(tmp_path / "m")
    again = persistence.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(frame), clf.predict(frame))
    assert again.feature_names_in_.tolist() == ["a", "b", "c", "ü"]


def test_the_same_model_is_the_same_bytes(tmp_path):
    model, _ = table_model()
    files = set()
    for _ in range(5):
        persistence.save(model, tmp_path / "m")
        files.add((tmp_path / "m").read_bytes())
    assert len(files) == 1
    again = persistence.load(tmp_path / "m")
    persistence.save(again, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() in files


def test_other_readers_of_the_format_find_the_arrays(tmp_path):
    from safetensors.numpy import load_file

    clf, _ = fitted()
    persistence.save(clf, tmp_path / "m")
    np.testing.assert_array_equal(load_file(tmp_path / "m")["coef"], clf.coef_)


def test_only_fitted_models_are_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        persistence.save(SoftmaxClassifier(), tmp_path / "m")
    with pytest.raises(TypeError, match="a SoftmaxClassifier or a TableModel can be saved, not dict"):
        persistence.save({}, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# ---- files that were touched --------------------------------------------------------------------------------------


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


# ---- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_an_old_model_survives_any_failure(tmp_path, monkeypatch, step):
    path = tmp_path / "m.softmaxes"
    path.write_bytes(b"the old model")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(os, "fdopen", full)
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(UserError, match="can't be written: No space left on device"):
        persistence.save(fitted()[0], path)
    monkeypatch.undo()
    assert path.read_bytes() == b"the old model"
    assert os.listdir(tmp_path) == ["m.softmaxes"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_write_leaves_nothing(tmp_path, interruption):
    with pytest.raises(interruption), replacing(tmp_path / "m") as file:
        file.write(b"half of")
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new") as file:
        file.write(b"x")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_devices_are_written_to():
    check_writable("/dev/null")
    with replacing("/dev/null") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("path", "message"),
    [("no/such/folder/m", r"there is no folder .*folder"), (".", "is a folder"), ("file/m", "there is no folder")],
)
def test_what_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch, path, message):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        check_writable(path)
    with pytest.raises(UserError):
        persistence.save(fitted()[0], path)


def test_the_header_is_readable_without_us(saved):
    """The format is documented: 8 bytes of length, then JSON."""
    header = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    assert header["__metadata__"]["format"] == "softmaxes"
    assert header["__metadata__"]["schema"] == "1"
    assert re.fullmatch(r"[0-9a-f]{64}", header["__metadata__"]["sha256"])
    assert set(header) == {"__metadata__", "coef", "intercept"}
