"""The explorer's page is whole, is what its sources build, agrees with the library, and takes a model's logits safely.

The page's own mathematics is held to explorer/golden.json by `npm test` in explorer/; here the library is held to the
same file, and the file to its generator. What needs a browser is in tests/browser.
"""

import hashlib
import importlib.util
import json
import re
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from softmaxes import explorer, maps
from softmaxes.calibration import TemperatureScaling
from softmaxes.errors import UserError

ROOT = Path(__file__).resolve().parent.parent / "explorer"
GOLDEN = json.loads((ROOT / "golden.json").read_text())
PAGE = explorer.page()

MEMBERS = {
    "softmax": maps.Softmax(),
    "linear": maps.Linear(),
    "min_shift": maps.MinShift(),
    "taylor 2": maps.Taylor(2),
    "taylor 3": maps.Taylor(3),
    "taylor 4": maps.Taylor(4),
    "spherical": maps.Spherical(epsilon=0.5),
    "softplus": maps.Generalized.softplus(),
    "double_exponential": maps.Generalized.double_exponential(),
    "entmax 1.25": maps.Entmax(1.25),
    "entmax 1.5": maps.Entmax(1.5),
    "sparsemax": maps.Sparsemax(),
    "hardmax": maps.Hardmax(),
}


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.scripts = {}
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id", "main") if tag == "script" else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data


def test_page_asks_for_nothing():
    elements = Elements(PAGE).found
    addresses = [a[key] for _, a in elements for key in ("src", "href", "action", "data", "srcset") if key in a]
    assert [a for a in addresses if not a.startswith(("data:", "#"))] == []
    policy = next(a["content"] for _, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    assert not re.search(r"@import|url\(\s*[\"']?http|\bfetch\(|XMLHttpRequest|WebSocket|importScripts", PAGE)


def test_page_is_small():
    assert len(PAGE.encode()) < 400_000


def test_page_is_the_one_that_was_built():
    recorded = (ROOT / "built.sha256").read_text().split()[0]
    assert hashlib.sha256(PAGE.encode()).hexdigest() == recorded


def test_page_was_built_from_these_sources():
    """The digest that vite.config.ts stamps into the page, computed again: a forgotten rebuild fails here."""
    sources = ["index.html", "package-lock.json", "package.json", "src", "tsconfig.json", "vite.config.ts"]
    digest = hashlib.sha256()
    for name in sources:
        for file in files_under(ROOT / name):
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0")
            digest.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    stamped = re.search(r'name="source-digest" content="([0-9a-f]{64})"', PAGE)
    assert stamped is not None
    assert stamped[1] == digest.hexdigest(), "run `npm run build` in explorer/ and commit the page"


def files_under(path):
    """Depth first, names in order, as the build walks them."""
    return (
        [f for child in sorted(path.iterdir(), key=lambda p: p.name) for f in files_under(child)]
        if path.is_dir()
        else [path]
    )


def test_lock_names_no_host():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def close(actual, wanted, tolerance=1e-12):
    """Within 1e-12 of the largest entry: what the page is held to as well."""
    wanted = np.array([[-np.inf if x == "-inf" else x for x in np.ravel(np.array(wanted, dtype=object))]], dtype=float)
    finite = np.isfinite(wanted)
    scale = np.abs(wanted[finite]).max(initial=0.0)
    gap = np.abs(np.ravel(actual)[None][finite] - wanted[finite])
    return bool((gap <= tolerance * scale).all() and (np.ravel(actual)[None][~finite] == wanted[~finite]).all())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"{c['member']} {c['logits']} x {c['scale']}")
def test_library_agrees_with_golden_values(case):
    member = MEMBERS[case["member"]]
    z = np.array(case["logits"]) * case["scale"]
    unit = np.eye(len(z))
    second = [[member.second_derivative(z, u, v) for v in unit] for u in unit]
    assert close(member(z), case["value"])
    assert close(member.log(z), case["log"])
    assert close(member.jacobian(z), case["jacobian"])
    assert close(np.swapaxes(second, 1, 2), case["second"])
    assert close(member.entropy(z), case["entropy"])
    assert close(member.entropy_gradient(z), case["entropy_gradient"])
    assert close([member.entropy_hessian_product(z, v) for v in unit], case["entropy_hessian"])
    assert close(member.entropy_expansion(z, np.array(case["step"])), case["expansion"])
    assert close([member.loss(z, y) for y in case["possible"]], case["loss"])
    assert close([member.loss_and_gradient(z, y)[1] for y in case["possible"]], case["loss_gradient"])


def test_library_agrees_on_the_temperature():
    case = GOLDEN["calibration"]
    fitted = TemperatureScaling().fit(np.array(case["logits"]), np.array(case["labels"]))
    assert fitted.temperature_ == pytest.approx(case["temperature"], rel=1e-8)  # the promise of TemperatureScaling


def test_golden_values_are_what_their_generator_makes():
    spec = importlib.util.spec_from_file_location("golden", ROOT / "golden.py")
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    assert {case["member"] for case in GOLDEN["cases"]} == set(golden.MAPS) == set(MEMBERS)
    for case in GOLDEN["cases"]:
        if len(case["logits"]) == 2:  # the quick ones
            assert golden.plain(golden.case(case["member"], case["logits"], case["scale"])) == case


def test_every_name_of_the_family_is_on_the_page():
    shown = {name.split()[0] for name in MEMBERS}
    assert {m.title if isinstance(m, maps.Generalized) else m.name for m in maps.FAMILY} <= shown


def payload(path):
    return json.loads(Elements(path.read_text(encoding="utf-8")).scripts["softmaxes-data"])


def test_written_page_without_data_is_the_page(tmp_path):
    assert explorer.write(tmp_path / "page.html").read_text(encoding="utf-8") == PAGE


def test_written_page_holds_logits_exactly(tmp_path):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(7, 3)).astype(np.float32)
    labels = rng.integers(3, size=7)
    data = payload(explorer.write(tmp_path / "page.html", logits=logits, labels=labels, classes=["a", "b", "c"]))
    assert data == {"logits": logits.tolist(), "labels": labels.tolist(), "classes": ["a", "b", "c"], "rows": 7}


@pytest.mark.parametrize(
    ("classes", "labels"), [(["no", "yes"], ["no", "yes"]), ([5, 2], [5, 2]), (["no", "yes"], [0, 1])]
)
def test_labels_may_be_the_classes_themselves(tmp_path, classes, labels):
    made = explorer.write(tmp_path / "page.html", logits=3 * np.eye(2), labels=labels, classes=np.array(classes))
    assert payload(made)["labels"] == [0, 1]


def test_names_cannot_end_the_script(tmp_path):
    evil = "</script><script>alert(1)</script><!--"
    made = explorer.write(tmp_path / "page.html", logits=3 * np.eye(2), classes=[evil, "&amp;\u2028"])
    assert payload(made)["classes"] == [evil, "&amp;\u2028"]
    assert len([tag for tag, _ in Elements(made.read_text(encoding="utf-8")).found if tag == "script"]) == 2


def test_many_rows_are_thinned_evenly_and_counted(tmp_path):
    logits = np.arange(600_000.0).reshape(-1, 2)
    data = payload(explorer.write(tmp_path / "page.html", logits=logits, labels=np.arange(300_000) % 2))
    kept = np.array(data["logits"])[:, 0] / 2
    assert data["rows"] == 300_000
    assert len(kept) == 30_000
    assert (kept[0], kept[-1]) == (0, 299_999)
    assert set(np.diff(kept)) <= {9, 10, 11}
    assert data["labels"] == (kept % 2).tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"logits": [1.0, 2.0]}, r"shape \(n, K\).*not \(2,\)"),
        ({"logits": [[1.0], [2.0]]}, "K >= 2"),
        ({"logits": np.empty((0, 3))}, "n >= 1"),
        ({"logits": [[1.0, np.nan], [0.0, 1.0]]}, "row 0, column 1 holds nan"),
        ({"logits": [["a", "b"]]}, "table of numbers"),
        ({"logits": [[0.25, 0.75], [0.5, 0.5]]}, "these are probabilities"),
        ({"logits": 3 * np.eye(2), "labels": [0]}, r"shape \(2,\)"),
        ({"logits": 3 * np.eye(2), "labels": [0, 2]}, "from 0 to 2; 2 columns"),
        ({"logits": 3 * np.eye(2), "labels": [0.0, 1.0]}, "integers from 0 to 1, not float64"),
        ({"logits": 3 * np.eye(2), "labels": ["a", "z"], "classes": ["a", "b"]}, "'z' is none of the classes"),
        ({"logits": 3 * np.eye(2), "classes": ["a"]}, "1 class names were given for 2"),
        ({"labels": [0, 1]}, "no logits were given"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        explorer.write(tmp_path / "page.html", **given)
    assert not (tmp_path / "page.html").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot write the explorer"):
        explorer.write(tmp_path / "no" / "such" / "folder.html")


def test_browser_is_given_the_file(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    made = explorer.write(tmp_path / "a page.html")
    explorer.open_browser(made)
    explorer.open_browser()
    assert opened[0] == made.as_uri()
    assert opened[1].endswith("/explorer/index.html")


def test_no_browser_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    with pytest.raises(UserError, match=r"open this file yourself: .*page\.html"):
        explorer.open_browser(tmp_path / "page.html")
