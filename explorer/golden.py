"""Write golden.json: what the explorer's mathematics must give, from mpmath alone.

Values come from the definitions and derivatives from central differences with 60 digits, so the file knows neither the
page nor the library. `npm test` holds the page to it and tests/test_explorer.py holds the library to it.

    python explorer/golden.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
from mpmath import exp, findroot, log, log1p, mp, mpf

mp.dps = 60
STEP = mpf(10) ** -15
Vector = list[mpf]


def normalise(scores: Vector) -> Vector:
    total = sum(scores)
    return [score / total for score in scores]


def taylor(order: int) -> Callable[[Vector], Vector]:
    return lambda z: normalise([sum(x**i / mp.factorial(i) for i in range(order + 1)) for x in z])


def entmax(alpha: mpf) -> Callable[[Vector], Vector]:
    def at(z: Vector) -> Vector:
        scaled = [(alpha - 1) * x for x in z]
        low, high = max(scaled) - 1, max(scaled)
        for _ in range(220):
            middle = (low + high) / 2
            total = sum((max(x - middle, 0)) ** (1 / (alpha - 1)) for x in scaled)
            low, high = (middle, high) if total >= 1 else (low, middle)
        return [(max(x - low, 0)) ** (1 / (alpha - 1)) for x in scaled]

    return at


MAPS: dict[str, Callable[[Vector], Vector]] = {
    "softmax": lambda z: normalise([exp(x) for x in z]),
    "linear": normalise,
    "min_shift": lambda z: normalise([x - min(z) for x in z]),
    "taylor 2": taylor(2),
    "taylor 3": taylor(3),
    "taylor 4": taylor(4),
    "spherical": lambda z: normalise([x * x + mpf(0.5) for x in z]),
    "softplus": lambda z: normalise([log1p(exp(x)) for x in z]),
    "double_exponential": lambda z: normalise([exp(exp(x)) for x in z]),
    "entmax 1.25": entmax(mpf(1.25)),
    "entmax 1.5": entmax(mpf(1.5)),
    "sparsemax": entmax(mpf(2)),
    "hardmax": lambda z: normalise([mpf(x == max(z)) for x in z]),
}

ROWS = [[0.3, -1.2, 0.8], [2.0, 4.0, 2.0, 1.0], [1.5, 5.2, 2.3, 0.8], [0.4, 1.7], [0.6, 0.5, 0.9]]
SCALES = [1.0, 0.375, 2.5]
NUDGE = [0.01, -0.02, 0.015, 0.005]


def entropy(p: Vector) -> mpf:
    return -sum((x * log(x) for x in p if x > 0), mpf(0))


def regularised_loss(alpha: mpf) -> Callable[[Vector, Vector, int], mpf]:
    """Fenchel-Young: <p, z> + H_alpha(p) - z_y."""

    def at(z: Vector, p: Vector, y: int) -> mpf:
        bonus = sum(x - x**alpha for x in p) / (alpha * (alpha - 1))
        return sum(a * b for a, b in zip(p, z, strict=True)) + bonus - z[y]

    return at


LOSSES = {
    "entmax 1.25": regularised_loss(mpf(1.25)),
    "entmax 1.5": regularised_loss(mpf(1.5)),
    "sparsemax": regularised_loss(mpf(2)),
    "hardmax": lambda z, _, y: max(z) - z[y],
}


def is_inside(name: str, z: list[float]) -> bool:
    """Where the map is a distribution with all derivatives: ties are a kink of min-shift and hardmax."""
    smallest_ties = sum(x == min(z) for x in z)
    return {
        "linear": min(z) > 0,
        "min_shift": smallest_ties == 1,
        "taylor 3": min(z) > -1.59,
        "hardmax": sum(x == max(z) for x in z) == 1,
    }.get(name, True)


def moved(z: Vector, *steps: tuple[int, mpf]) -> Vector:
    z = list(z)
    for index, step in steps:
        z[index] += step
    return z


def first(f: Callable[[Vector], Vector], z: Vector) -> list[Vector]:
    """[i][j] = d f_i / d z_j."""
    columns = [
        [(a - b) / (2 * STEP) for a, b in zip(f(moved(z, (j, STEP))), f(moved(z, (j, -STEP))), strict=True)]
        for j in range(len(z))
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def second(f: Callable[[Vector], Vector], z: Vector) -> list[list[Vector]]:
    """[i][j][k] = d2 f_i / d z_j d z_k."""
    size = range(len(z))
    corners = {
        (j, k, a, b): f(moved(z, (j, a * STEP), (k, b * STEP)))
        for j in size
        for k in size
        for a in (1, -1)
        for b in (1, -1)
    }
    outputs = range(len(f(z)))
    return [
        [
            [
                (corners[j, k, 1, 1][i] - corners[j, k, 1, -1][i] - corners[j, k, -1, 1][i] + corners[j, k, -1, -1][i])
                / (4 * STEP**2)
                for k in size
            ]
            for j in size
        ]
        for i in outputs
    ]


def case(name: str, row: list[float], scale: float) -> dict[str, object]:
    f = MAPS[name]
    z = [mpf(scale * x) for x in row]  # the product as binary64 rounds it: what any implementation sees
    p = f(z)
    possible = [y for y in range(len(z)) if p[y] > 0 or name in LOSSES]

    def entropy_of(z: Vector) -> Vector:
        return [entropy(f(z))]

    def loss_of(z: Vector) -> Vector:
        p = f(z)
        return [LOSSES[name](z, p, y) if name in LOSSES else -log(p[y]) for y in possible]

    h, gradient, hessian = entropy_of(z)[0], first(entropy_of, z)[0], second(entropy_of, z)[0]
    step = [mpf(x) for x in NUDGE[: len(z)]]
    size = range(len(z))
    quadratic = sum(step[j] * hessian[j][k] * step[k] for j in size for k in size) / 2
    expansion = h + sum(g * s for g, s in zip(gradient, step, strict=True)) + quadratic
    return {
        "member": name,
        "logits": row,
        "scale": scale,
        "possible": possible,
        "value": p,
        "log": [log(x) if x > 0 else "-inf" for x in p],
        "jacobian": first(f, z),
        "second": second(f, z),
        "entropy": h,
        "entropy_gradient": gradient,
        "entropy_hessian": hessian,
        "step": NUDGE[: len(z)],
        "expansion": expansion,
        "loss": loss_of(z),
        "loss_gradient": first(loss_of, z),
    }


def calibration_case() -> dict[str, object]:
    """Forty overconfident rows, the temperature of least loss, and the scores before and after."""
    rng = np.random.default_rng(7)
    truth = rng.normal(scale=1.2, size=(40, 3))
    labels = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    logits = np.round(2.5 * truth, 3)

    def slope(beta: mpf) -> mpf:
        total = mpf(0)
        for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
            p = normalise([exp(beta * x) for x in z])
            total += sum(a * b for a, b in zip(p, z, strict=True)) - z[y]
        return total

    temperature = 1 / findroot(slope, (mpf("0.2"), mpf("0.9")), solver="anderson")
    return {
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "temperature": temperature,
        "before": scores(logits.tolist(), labels.tolist(), mpf(1)),
        "after": scores(logits.tolist(), labels.tolist(), temperature),
    }


def scores(logits: list[list[float]], labels: list[int], temperature: mpf, bins: int = 15) -> dict[str, mpf]:
    table = [(normalise([exp(x / temperature) for x in z]), y) for z, y in zip(logits, labels, strict=True)]
    gaps = [mpf(0)] * bins
    for p, y in table:
        gaps[min(int(max(p) * bins), bins - 1)] += max(p) - (p.index(max(p)) == y)
    return {
        "log_loss": -sum(log(p[y]) for p, y in table) / len(table),
        "brier": sum(sum((x - (k == y)) ** 2 for k, x in enumerate(p)) for p, y in table) / len(table),
        "accuracy": mpf(sum(p.index(max(p)) == y for p, y in table)) / len(table),
        "calibration_error": sum(abs(gap) for gap in gaps) / len(table),
    }


def rounding_case() -> dict[str, list[float | str]]:
    """Numbers around every edge of the short formats, and what they round to."""
    rng = np.random.default_rng(3)
    edges = [65504, 65519.99, 65520, 6.1e-5, 5.96e-8, 2.98e-8, 2.99e-8, 1e-9, 3.39e38, 3.4e38, 1e-40, 2049, 2051, 0.1]
    numbers = np.concatenate([edges, rng.normal(size=20), np.exp(rng.uniform(-20, 12, size=40))])
    with np.errstate(over="ignore"):
        float16, bfloat16 = numbers.astype(np.float16), numbers.astype(np.float32).astype(ml_dtypes.bfloat16)
    return {
        "numbers": numbers.tolist(),
        "float16": [float(x) if np.isfinite(x) else "inf" for x in float16],
        "bfloat16": [float(x) if np.isfinite(x) else "inf" for x in bfloat16],
    }


def plain(value: object) -> object:
    """Round once to binary64; differences below 1e-25 are the zeros of the difference quotient."""
    if isinstance(value, mpf):
        return 0.0 if abs(value) < mpf(10) ** -25 else float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def golden() -> dict[str, object]:
    cases = [
        case(name, row, scale)
        for name in MAPS
        for row, scale in zip(ROWS, [*SCALES, 1.0, 1.0], strict=True)
        if is_inside(name, row)
    ]
    return {
        "about": "made by explorer/golden.py from mpmath; the page and the library must both agree",
        "cases": plain(cases),
        "calibration": plain(calibration_case()),
        "rounding": rounding_case(),
    }


if __name__ == "__main__":
    text = json.dumps(golden(), separators=(",", ":")).replace('{"member"', '\n{"member"')
    Path(__file__).with_name("golden.json").write_text(text + "\n")
