"""The explorer as a person uses it: sliders are moved, numbers are read back and compared with the library.

Every test also ends with the count of requests (the page itself, nothing more) and of console lines (none).
"""

import json
import math
import re

import numpy as np
import pytest

import softmaxes as sm
from softmaxes import explorer, maps
from softmaxes.calibration import TemperatureScaling

ENOUGH = 1e-6
SECTIONS = [
    "family",
    "simplex",
    "derivatives",
    "entropy",
    "learning",
    "precision",
    "sampling",
    "calibration",
    "worked",
    "errata",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return explorer.write(tmp_path_factory.mktemp("explorer") / "page.html").as_uri()


def settle(page):
    """Two frames: one that draws, one that shows it was drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def go_to(page, section):
    page.evaluate("id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", section)
    page.wait_for_selector(f"#{section}[aria-busy=false]")
    settle(page)


def read(page, name):
    """The full value of a number shown on the page, or of all numbers name.0, name.1, ..."""
    settle(page)
    found = page.eval_on_selector_all(
        "data[data-read]",
        "(all, name) => all.filter(d => d.dataset.read === name || d.dataset.read.startsWith(name + '.'))"
        ".map(d => [d.dataset.read, d.value])",
        name,
    )
    values = {key: float(value.replace("Infinity", "inf")) for key, value in found}
    if name in values:
        return values[name]
    assert values, f"the page shows no number called {name}"
    return np.array([values[key] for key in sorted(values, key=lambda k: [int(n) for n in re.findall(r"\.(\d+)", k)])])


def close(actual, wanted):
    return np.allclose(np.ravel(actual), np.ravel(wanted), rtol=ENOUGH, atol=ENOUGH)


def type_number(page, name, value):
    page.fill(f"#{name}", str(value))
    page.dispatch_event(f"#{name}", "blur")
    settle(page)


def set_logits(page, logits):
    for k, z in enumerate(logits):
        type_number(page, f"logit-{k}-value", z)


def test_every_member_answers_to_the_sliders(visit, address):
    page = visit(address)
    set_logits(page, [0.3, 1.2, 0.8])
    type_number(page, "temperature-value", 0.5)
    z = np.array([0.3, 1.2, 0.8]) / 0.5
    for name, member in {
        "softmax": maps.Softmax(),
        "linear": maps.Linear(),
        "min_shift": maps.MinShift(),
        "taylor": maps.Taylor(2),
        "spherical": maps.Spherical(epsilon=0.1),
        "softplus": maps.Generalized.softplus(),
        "double_exponential": maps.Generalized.double_exponential(),
        "entmax": maps.Entmax(1.5),
        "sparsemax": maps.Sparsemax(),
        "hardmax": maps.Hardmax(),
    }.items():
        assert close(read(page, f"p.{name}"), member(z)), name
        assert close(read(page, f"entropy.{name}"), member.entropy(z)), name
    assert close(read(page, "logsumexp"), sm.logsumexp(z))


def test_a_slider_is_dragged_and_pressed(visit, address):
    page = visit(address)
    type_number(page, "logit-2-value", -20)
    assert float(page.input_value("#logit-2")) == -20
    set_logits(page, [2, 1, -1])
    track = page.locator("#logit-0").bounding_box()
    middle = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + track["width"] * 0.6, middle)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.9, middle, steps=4)
    page.mouse.up()
    settle(page)
    dragged = float(page.input_value("#logit-0-value"))
    assert dragged > 5
    page.focus("#logit-1")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    settle(page)
    pressed = float(page.input_value("#logit-1-value"))
    assert pressed == pytest.approx(1.2)
    assert close(read(page, "p.softmax"), sm.softmax([dragged, pressed, -1.0]))


def test_temperature_and_base_are_one_knob(visit, address):
    page = visit(address)
    type_number(page, "base-value", 100)
    assert float(page.input_value("#temperature-value")) == pytest.approx(1 / math.log(100), abs=1e-3)
    assert close(read(page, "p.softmax"), sm.softmax([2.0, 1.0, -1.0], base=100))
    type_number(page, "base-value", 0.5)
    assert page.is_disabled("#temperature-value")
    assert close(read(page, "p.softmax"), sm.softmin([2.0, 1.0, -1.0], temperature=1 / math.log(2)))


def test_parameters_classes_and_the_shift(visit, address):
    page = visit(address)
    type_number(page, "alpha-value", 1.25)
    type_number(page, "order-value", 4)
    page.click("#more")
    z = np.array([2.0, 1.0, -1.0, 0.0])
    assert close(read(page, "p.entmax"), sm.entmax(z, alpha=1.25))
    assert close(read(page, "p.taylor"), sm.taylor_softmax(z, order=4))
    before = read(page, "p.softmax")
    page.click("text=Add 1 to all")
    assert close(read(page, "p.softmax"), before)
    assert close(read(page, "p.softplus"), maps.Generalized.softplus()(z + 1))
    page.click("#fewer")
    page.click("#fewer")
    settle(page)
    assert page.is_disabled("#fewer")
    assert close(read(page, "p.softmax"), sm.softmax([3.0, 2.0]))


@pytest.mark.parametrize("name", ["softmax", "entmax", "softplus", "taylor"])
def test_derivatives_and_expansion(visit, address, name):
    page = visit(f"{address}#m={name}&z=0.3,-1.2,0.8&b=0.5&dx=0.2&dy=-0.4")
    member = maps.member(name)
    z, unit, beta = np.array([0.3, -1.2, 0.8]) * 0.5, np.eye(3), 0.5
    go_to(page, "derivatives")
    assert close(read(page, "jacobian"), beta * member.jacobian(z))
    second = np.array([[member.second_derivative(z, u, v) for v in unit] for u in unit])
    assert close(read(page, "second"), beta**2 * np.swapaxes(second, 1, 2))
    go_to(page, "entropy")
    step = beta * np.array([0.2, -0.4, 0.0])
    assert close(read(page, "surface.here"), member.entropy(z))
    assert close(read(page, "surface.there"), member.entropy(z + step))
    assert close(read(page, "surface.expansion"), member.entropy_expansion(z, step))


def test_a_step_of_gradient_descent(visit, address):
    page = visit(address)
    go_to(page, "learning")
    page.select_option("#target", "2")
    z = np.array([2.0, 1.0, -1.0])
    value, gradient = sm.cross_entropy_and_gradient(z[None], np.array([2]))
    assert close(read(page, "loss"), value)
    assert close(read(page, "gradient"), gradient)
    after = z - 0.5 * gradient[0]
    assert close(read(page, "loss.after"), sm.cross_entropy(after[None], np.array([2])))
    type_number(page, "margin-value", 1.5)
    assert close(read(page, "loss"), sm.losses.soft_margin_cross_entropy(z[None], np.array([2]), margin=1.5))
    type_number(page, "margin-value", 0)
    page.click("#take-step")
    go_to(page, "family")
    assert close(read(page, "p.softmax"), sm.softmax(after))


def test_where_a_member_fails_the_page_says_why(visit, address):
    page = visit(f"{address}#m=linear")
    for section in ["derivatives", "entropy", "learning"]:
        go_to(page, section)
        assert "a negative score leaves the simplex" in page.inner_text(f"#{section}")
    set_logits(page, [2, 1, 1])
    go_to(page, "derivatives")
    assert close(read(page, "jacobian"), maps.Linear().jacobian(np.array([2.0, 1.0, 1.0])))
    assert page.is_hidden("#derivatives .fault")


def test_the_triangle_is_dragged_and_pressed(visit, address):
    page = visit(address)
    go_to(page, "simplex")
    handle = page.locator(".triangle .handle").first
    handle.scroll_into_view_if_needed()
    before = read(page, "p.softmax")
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] - 120, steps=5)
    page.mouse.up()
    logits = [float(page.input_value(f"#logit-{k}-value")) for k in range(3)]
    assert sum(logits) == pytest.approx(2, abs=1e-3)  # dragging keeps their mean
    assert close(read(page, "p.softmax"), sm.softmax(logits))
    dragged = read(page, "p.softmax")
    assert dragged[2] > before[2] + 0.1
    page.keyboard.press("ArrowUp")
    assert read(page, "p.softmax")[2] > dragged[2]


@pytest.mark.parametrize(
    ("shift", "broken"), [(12, {"float16"}), (200, {"float16", "bfloat16", "float32"}), (800, "all"), (0, set())]
)
def test_overflow_and_the_max_trick(visit, address, shift, broken):
    page = visit(f"{address}#c={shift}")
    go_to(page, "precision")
    formats = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "float64": 1e-12}
    truth = sm.softmax([2.0, 1.0, -1.0])
    for name, tolerance in formats.items():
        plain, safe = read(page, f"{name}.plain"), read(page, f"{name}.safe")
        assert np.isnan(plain).any() == (broken == "all" or name in broken), name
        if shift < 100:  # beyond it the shift itself rounds in the short formats
            assert np.allclose(safe, truth, atol=tolerance), name
        assert safe.sum() == pytest.approx(1, abs=tolerance)


def test_samples_follow_softmax(visit, address):
    page = visit(f"{address}#d=20000")
    go_to(page, "sampling")
    p = sm.softmax([2.0, 1.0, -1.0])
    gaps = []
    for _ in range(3):
        page.click("#again")
        gaps.append(np.abs(read(page, "frequency") - p) / np.sqrt(p * (1 - p) / 20_000))
    assert np.max(gaps) < 4.5  # standard errors
    assert close(read(page, "scaled") + read(page, "gumbel"), read(page, "perturbed"))


def test_calibration_of_pasted_rows(visit, address):
    rng = np.random.default_rng(11)
    truth = rng.normal(scale=1.5, size=(80, 3))
    labels = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    logits = np.round(3 * truth, 3)
    page = visit(address)
    go_to(page, "calibration")
    page.click("text=or paste it")
    page.fill("#calibration-text", "\n".join(",".join(map(str, [*z, y])) for z, y in zip(logits, labels, strict=True)))
    page.click("#use-text")
    fitted = TemperatureScaling().fit(logits, labels).temperature_
    assert close(read(page, "best.temperature"), fitted)
    assert close(read(page, "before.logLoss"), sm.cross_entropy(logits, labels))
    page.click("#fit")
    assert close(read(page, "after.logLoss"), sm.cross_entropy(logits / fitted, labels))
    p = sm.softmax(logits / fitted)
    assert close(read(page, "after.brier"), sm.metrics.Brier.of(p, labels).value)
    assert close(read(page, "after.calibrationError"), sm.metrics.CalibrationError.of(p, labels).value)
    page.fill("#calibration-text", "1,2,0\n1,oops,1")
    page.click("#use-text")
    assert '"oops" is not a finite number' in page.inner_text(".message")


def test_the_address_holds_the_state(visit, address):
    page = visit(address)
    set_logits(page, [1.5, -0.25, 0.75])
    page.select_option("#member", "sparsemax")
    page.wait_for_url("**sparsemax**")
    again = visit(page.url)
    assert close(read(again, "p.sparsemax"), sm.sparsemax([1.5, -0.25, 0.75]))
    assert again.input_value("#member") == "sparsemax"
    assert "sm.sparsemax(z)" in again.inner_text(".code")


def test_shown_python_gives_the_shown_numbers(visit, address):
    for name in ["softmax", "min_shift", "taylor", "spherical", "softplus", "double_exponential", "entmax", "hardmax"]:
        page = visit(f"{address}#m={name}&z=0.5,2,1&b=0.75")
        *setting, last = page.text_content(".code code").splitlines()
        scope = {}
        exec("\n".join(setting), scope)
        assert close(eval(last, scope), read(page, f"p.{name}")), name


def test_worked_numbers_and_errata_are_there(visit, address):
    page = visit(address)
    go_to(page, "worked")
    assert "none are wrong" in page.inner_text("#worked")
    assert close(read(page, "worked.0"), sm.softmax([1.5, 5.2, 2.3, 0.8]))
    go_to(page, "errata")
    for claim in page.query_selector_all(".claim:not([open]) summary"):
        claim.click()
    assert page.locator(".claim .evidence table").count() >= 25
    assert "NaN" in page.inner_text("#errata")


def test_a_model_s_own_logits(visit, tmp_path):
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=2, size=(50, 12))
    labels = logits.argmax(axis=1)
    labels[:20] = rng.integers(12, size=20)
    names = [f"kind {k}" for k in range(12)]
    made = explorer.write(tmp_path / "page.html", logits=logits, labels=labels, classes=names)
    page = visit(made.as_uri())
    assert close(read(page, "p.softmax"), sm.softmax(np.sort(logits[0])[::-1][:10]))
    page.fill("#row", "3")
    top = np.sort(logits[2])[::-1][:10]
    assert close(read(page, "p.softmax"), sm.softmax(top))
    assert f"True class: {names[labels[2]]}" in page.inner_text(".picker")
    go_to(page, "calibration")
    assert "50 rows, 12 classes" in page.inner_text("#calibration")
    assert close(read(page, "best.temperature"), TemperatureScaling().fit(logits, labels).temperature_)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_screen(visit, address, width, scheme):
    for state in ["", "#z=1,2,3,4,5,6,7,8,9,10", "#z=1,-1", "#z=-2,0,1&m=linear"]:
        page = visit(address + state, width=width, scheme=scheme)
        for section in SECTIONS:
            go_to(page, section)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(colour):
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(visit, address, scheme):
    """WCAG AA: 4.5 to 1 for every colour that text is set in, on both backgrounds."""
    page = visit(address, scheme=scheme)
    names = ["ink", "muted", "accent-strong", "warm", "good", "bad"]
    colours = page.evaluate(
        """names => names.map(name => {
            const probe = document.body.appendChild(document.createElement('i'));
            probe.style.color = `var(--${name})`;
            return getComputedStyle(probe).color;
        })""",
        [*names, "paper", "surface"],
    )
    *texts, paper, surface = map(luminance, colours)
    for name, text in zip(names, texts, strict=True):
        for ground in (paper, surface):
            high, low = max(text, ground), min(text, ground)
            assert (high + 0.05) / (low + 0.05) >= 4.5, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_on_heat_maps_have_contrast(visit, address, scheme):
    page = visit(f"{address}#z=1.6,1.3,1,0.2", scheme=scheme)
    ratios = []
    for temperature in [0.5, 0.8, 1.2, 2, 4]:
        go_to(page, "derivatives")
        type_number(page, "temperature-value", temperature)
        ratios += page.evaluate(
            """() => {
                const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
                const light = colour => {
                    pen.fillStyle = colour;
                    pen.fillRect(0, 0, 1, 1);
                    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map(c => c / 255)
                        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                return [...document.querySelectorAll('.heat tbody td')].map(cell => {
                    const style = getComputedStyle(cell);
                    const [a, b] = [light(style.color), light(style.backgroundColor)];
                    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                });
            }"""
        )
    assert len(ratios) == 5 * (16 + 64)
    assert min(ratios) >= 4.45  # 4.5 less the rounding of colours to bytes


def test_everything_is_named_and_reached_by_keyboard(visit, address):
    page = visit(address)
    for section in SECTIONS:
        go_to(page, section)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input, select, textarea, button, [role=slider]')]
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length)))
            .map(e => e.outerHTML)"""
    )
    assert unnamed == []
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    page.evaluate("window.scrollTo(0, 0)")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"theme", "logit-0", "logit-0-value", "temperature", "base", "member", "alpha"} <= reached


def test_theme_can_be_chosen(visit, address):
    page = visit(address, scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    page.click("#theme")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.1 < luminance(light)


def test_the_scores_follow_on_a_small_screen(visit, address):
    page = visit(address, width=400, height=800)
    go_to(page, "derivatives")
    page.click(".tune")
    type_number(page, "logit-0-value", 3)
    page.keyboard.press("Escape")
    assert close(read(page, "jacobian"), maps.Softmax().jacobian(np.array([3.0, 1.0, -1.0])))
    assert page.locator("#panel").evaluate("e => getComputedStyle(e).position") == "static"


def test_embedded_data_is_the_only_difference(address, tmp_path):
    made = explorer.write(tmp_path / "page.html", logits=[[2.0, 0.0], [0.0, 3.0]]).read_text()
    packed = re.search(r'application/json">(.*?)</script>', made)[1]
    assert json.loads(packed)["rows"] == 2
    assert made.replace(packed, "null") == explorer.page()
