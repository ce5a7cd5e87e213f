"""What is saved comes back."""

import numpy as np
import pytest
from tests.persistence.cases import fitted, table_model

import softmaxes
from softmaxes import persistence
from softmaxes.calibration import CALIBRATIONS
from softmaxes.classifier import SoftmaxClassifier, from_parameters
from softmaxes.maps import FAMILY, Entmax, Generalized, Softmax, member
from softmaxes.selection import SoftmaxClassifierCV
from softmaxes.solvers import LBFGS, Optimality


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
    with pytest.raises(TypeError, match="a SoftmaxClassifier, a TableModel or a head can be saved, not dict"):
        persistence.save({}, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
