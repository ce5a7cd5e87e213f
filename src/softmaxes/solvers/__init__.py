"""Solvers: one file a method, each a frozen value; `choose` picks one and says why."""

from softmaxes.solvers.base import Iteration, Record, Solution, Solver, Stopping
from softmaxes.solvers.certificate import Certifier, Optimality
from softmaxes.solvers.choice import Choice, choose
from softmaxes.solvers.gradient_descent import GradientDescent
from softmaxes.solvers.lbfgs import LBFGS
from softmaxes.solvers.newton import Newton
from softmaxes.solvers.owlqn import OWLQN
from softmaxes.solvers.progressive import Progressive

NAMED: dict[str, Solver] = {
    solver.name: solver for solver in (Newton(), LBFGS(), Progressive(), OWLQN(), GradientDescent())
}
"""Solvers by the name that `SoftmaxClassifier(solver=...)` takes."""

__all__ = [
    "LBFGS",
    "NAMED",
    "OWLQN",
    "Certifier",
    "Choice",
    "GradientDescent",
    "Iteration",
    "Newton",
    "Optimality",
    "Progressive",
    "Record",
    "Solution",
    "Solver",
    "Stopping",
    "choose",
]
