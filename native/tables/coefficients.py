"""Make the polynomial coefficients of native/exp.hpp and native/log.hpp: python native/tables/coefficients.py

Near-minimax fits by weighted least squares on Chebyshev nodes at 60 digits, rounded to the working type one by one
from the lowest order (each later coefficient is fitted again to what rounding left). The printed error is that of the
rounded polynomial, measured on a fine grid in units of 2^-p.
"""

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def fit(target: Callable, weight: Callable, low: mp.mpf, high: mp.mpf, degree: int, dtype: type) -> list[float]:
    """Return coefficients c0..c_degree of p with |weight (p - target)| nearly minimal on [low, high]."""
    count = 8 * (degree + 2)
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    fixed: list[mp.mpf] = []
    for first in range(degree + 1):
        rows = mp.matrix(count, degree + 1 - first)
        right = mp.matrix(count, 1)
        for i, x in enumerate(nodes):
            w = weight(x)
            right[i] = w * (target(x) - sum(c * x**j for j, c in enumerate(fixed)))
            for j in range(first, degree + 1):
                rows[i, j - first] = w * x**j
        solution = mp.lu_solve(rows, right)
        fixed.append(mp.mpf(float(dtype(float(solution[0])))) if dtype is np.float32 else mp.mpf(float(solution[0])))
    return [float(c) for c in fixed]


def worst(coefficients: list[float], target: Callable, weight: Callable, low: mp.mpf, high: mp.mpf) -> mp.mpf:
    """Return the largest weighted error on a fine grid."""
    grid = [low + (high - low) * k / 2000 for k in range(2001)]
    return max(
        abs(weight(x) * (mp.polyval([mp.mpf(c) for c in reversed(coefficients)], x) - target(x))) for x in grid if x
    )


def exp_tail(x: mp.mpf) -> mp.mpf:
    """Return (e^x - 1 - x) / x^2."""
    return mp.nsum(lambda k: x**k / mp.factorial(k + 2), [0, 40])


def log_tail(z: mp.mpf) -> mp.mpf:
    """Return R(z) / z with log(1+f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f / (2 + f): R(z) = sum 2 z^k / (2k + 1)."""
    return mp.nsum(lambda k: 2 * z**k / (2 * k + 3), [0, 80])


def show(name: str, coefficients: list[float], error: mp.mpf, dtype: type) -> None:
    """Print one table as C++."""
    print(f"// {name}: error 2^{float(mp.log(error, 2)):.1f}")
    for c in coefficients:
        print(f"    {float(dtype(c)).hex()},  // {c!r}")


def main() -> None:
    """Print every table."""
    for dtype, degree, parts in ((np.float32, 1, 16), (np.float64, 9, 1)):
        half = mp.log(2) / (2 * parts) * mp.mpf("1.0001")
        c = fit(exp_tail, lambda x: x * x / mp.exp(x), -half, half, degree, dtype)
        show(f"exp {dtype.__name__}", c, worst(c, exp_tail, lambda x: x * x / mp.exp(x), -half, half), dtype)
    top = mp.mpf("0.0295")
    c = fit(log_tail, lambda z: mp.sqrt(z) * z, mp.mpf(0), top, 6, np.float64)
    show("log float64", c, worst(c, log_tail, lambda z: mp.sqrt(z) * z, mp.mpf(0), top), np.float64)
    for dtype, bits in ((np.float32, 12), (np.float64, 38)):
        ln2 = mp.log(2)
        scale = mp.mpf(2) ** bits
        high = mp.floor(ln2 * scale) / scale
        low = float(dtype(float(ln2 - high)))
        print(f"// ln2 {dtype.__name__}: {float(high).hex()} + {low.hex()}")
        print(f"// log2(e) {float(dtype(float(1 / ln2))).hex()}")
    powers = [mp.mpf(2) ** (mp.mpf(j) / 16) for j in range(16)]
    rounded = [np.float32(float(p)) for p in powers]
    print("// 2^(j/16) less j sixteenths of an exponent step, as bits")
    print(", ".join(f"0x{int(r.view(np.uint32)) - (j << 19):08x}" for j, r in enumerate(rounded)))
    print("// what rounding took from 2^(j/16), relative")
    lost = [float(np.float32(float(p / mp.mpf(float(r)) - 1))) for p, r in zip(powers, rounded, strict=True)]
    print(", ".join(f"{error.hex()}f" for error in lost))


if __name__ == "__main__":
    main()
