"""The arithmetic of `heads/sweeps.py` in torch, on any device, and one derivative further.

Blocks of rows x classes within the budget; the logits of a block are made again in every sweep and never kept. Nothing
here is recorded by autograd: `torch_linear` says which sweep is the derivative of which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from array_api_compat import torch as xp

from softmaxes.bridges.torch_problem import Inputs, Problem, Tensor, distributions
from softmaxes.heads.blocks import spans
from softmaxes.heads.rows import Coefficients, Sums

__all__ = ["curvature", "gradients", "values"]


@dataclass(eq=False)
class _Block:
    """A block of rows: `rows` picks them cheaply, `numbers` names them."""

    problem: Problem
    at: Inputs
    rows: slice | Tensor
    numbers: Tensor

    def __post_init__(self) -> None:
        p = self.problem
        self.hidden = self.at.hidden[self.rows].to(p.work)  # type: ignore[index]
        self.labels = None if p.labels is None else p.labels[self.rows]
        self.q = None if p.distributions is None else distributions(p.distributions[self.rows], p.work)

    def classes(self) -> list[slice]:
        return spans(len(self.at.weight), self.problem.blocks.classes)  # type: ignore[arg-type]

    def weight(self, classes: slice) -> Tensor:
        return self.at.weight[classes].to(self.problem.work)  # type: ignore[index]

    def logits(self, classes: slice) -> Tensor:
        z = self.hidden @ self.weight(classes).T
        if self.at.bias is not None:
            z += self.at.bias[classes]
        if self.problem.possible is not None:
            index = torch.unravel_index(self.numbers, self.problem.outer)
            z.masked_fill_(~self.problem.possible[..., classes][index], -torch.inf)
        return z

    def slopes(self, towards: Inputs, direction: Tensor | None, classes: slice) -> Tensor:
        """Return how fast the logits change in a direction; direction: the hidden part of these rows."""
        v = torch.zeros(
            len(self.hidden), classes.stop - classes.start, dtype=self.problem.work, device=self.hidden.device
        )
        if direction is not None:
            v.addmm_(direction, self.weight(classes).T)
        if towards.weight is not None:
            v.addmm_(self.hidden, towards.weight[classes].to(v.dtype).T)
        if towards.bias is not None:
            v += towards.bias[classes]
        return v

    def targets(self, classes: slice) -> tuple[Tensor, Tensor]:
        """Return the rows whose label is one of these classes, and its place among them."""
        if self.labels is None:
            return (torch.zeros(0, dtype=torch.int64, device=self.hidden.device),) * 2
        (rows,) = ((self.labels >= classes.start) & (self.labels < classes.stop)).nonzero(as_tuple=True)
        return rows, self.labels[rows] - classes.start

    def weights_of(self, classes: slice, possible: Tensor) -> Tensor:
        """Return w_k of the classes that are possible, for every row."""
        ones = possible.to(self.problem.work)
        return ones if self.problem.class_weight is None else ones * self.problem.class_weight[classes]

    def soft_masses(self, classes: slice) -> Tensor:
        """Return w_k q_k of a distribution."""
        q = self.q[:, classes]  # type: ignore[index]
        return q if self.problem.class_weight is None else q * self.problem.class_weight[classes]

    def counted(self, z: Tensor, row: Coefficients, classes: slice) -> Tensor | None:
        """Return c_k without the label's own part, or None if that is all there is."""
        found = None
        if self.problem.kind.smoothing:
            found = self.weights_of(classes, z != -torch.inf) * _column(row.share, z)
        if self.q is not None:
            soft = self.soft_masses(classes) * _column(row.sharp, z)
            found = soft if found is None else found + soft
        return found

    def note(self, sums: Sums, z: Tensor, classes: slice) -> None:
        """Add up what soft and smoothed targets need of these logits."""
        wide = self.problem.wide
        if self.q is not None:
            mass = self.soft_masses(classes)
            sums.target_mass += mass.sum(1, dtype=wide)
            sums.mass_times_logits += _sum_of_products(mass, z, wide)
        if self.problem.kind.smoothing:
            possible = z != -torch.inf
            mass = self.weights_of(classes, possible)
            sums.n_possible += possible.sum(1, dtype=wide)
            sums.weight_possible += mass.sum(1, dtype=wide)
            sums.weight_times_logits += _sum_of_products(mass, z, wide)


def _blocks(problem: Problem, at: Inputs) -> Iterator[tuple[slice, _Block]]:
    """Yield blocks of the rows that count, with their places among these."""
    everything = torch.arange(len(problem.row_weight), device=problem.row_weight.device)
    counting = everything if problem.rows is None else problem.rows
    for place in spans(len(counting), problem.blocks.rows):
        yield place, _Block(problem, at, place if problem.rows is None else counting[place], counting[place])


def values(problem: Problem, at: Inputs) -> tuple[Tensor, Sums]:
    """Return the loss of each row times its weight, and the sums that its derivatives are made of."""
    where = {"dtype": problem.wide, "device": problem.row_weight.device}
    every = Sums.empty(len(problem.of(problem.row_weight)), xp, **where)
    for place, block in _blocks(problem, at):
        sums = every.of(place)
        if block.labels is not None:
            sums.target_mass += 1.0 if problem.class_weight is None else problem.class_weight[block.labels]
        for classes in block.classes():
            z = block.logits(classes)
            block.note(sums, z, classes)
            rows, columns = block.targets(classes)
            sums.target_logit[rows] = z[rows, columns].to(problem.wide)
            z[rows, columns] = -torch.inf
            maxima = z.amax(1)
            part = _exponentials(z, maxima).sum(1, dtype=problem.wide)
            sums.merge(maxima.to(problem.wide), part, xp)
        for field in fields(sums):
            getattr(every, field.name)[place] = getattr(sums, field.name)
    return problem.spread(every.losses(problem.kind, xp) * problem.of(problem.row_weight)), every


def gradients(problem: Problem, every: Sums, u: Tensor, at: Inputs, wanted: tuple[bool, ...]) -> Inputs:
    """Return sum_i u_i times the gradient of row i's weighted loss, of the inputs that are wanted."""
    out, scale = _zeros(problem, at, wanted), problem.of(problem.row_weight * u)
    for place, block in _blocks(problem, at):
        row = every.of(place).coefficients(problem.kind, scale[place], xp)
        for classes in block.classes():
            z, target = block.logits(classes), block.targets(classes)
            counted = block.counted(z, row, classes)
            g = _exponentials(_without(z, target), every.top[place].to(z.dtype))
            g *= _column(row.scale * row.a * row.per_term, g)
            g[target] = row.target[target[0]].to(g.dtype)
            if counted is not None:
                g -= counted * _column(row.scale, g)
            _add(out, block, classes, g, block.weight(classes), block.hidden)
    return out


def curvature(
    problem: Problem, every: Sums, u: Tensor, at: Inputs, towards: Inputs, wanted: tuple[bool, ...]
) -> tuple[Tensor, Inputs]:
    """Return each row's weighted slope in a direction, and the gradient of sum_i u_i times these slopes."""
    out, scale = _zeros(problem, at, wanted), problem.of(problem.row_weight * u)
    slopes = torch.zeros_like(scale)
    for place, block in _blocks(problem, at):
        row = every.of(place).coefficients(problem.kind, scale[place], xp)
        ahead = None if towards.hidden is None else towards.hidden[block.rows].to(problem.work)
        mean, along = torch.zeros_like(row.a), torch.zeros_like(row.a)
        for classes in block.classes():
            z, target, v = block.logits(classes), block.targets(classes), block.slopes(towards, ahead, classes)
            counted = block.counted(z, row, classes)
            if counted is not None:
                along += (counted * v).sum(1, dtype=problem.wide)
            along[target[0]] += row.target_mass[target[0]] * v[target]
            p = _probabilities(z, target, every.top[place], row)
            mean += (p * v).sum(1, dtype=problem.wide)
        slopes[place] = row.a * mean - along
        for classes in block.classes():
            z, target, v = block.logits(classes), block.targets(classes), block.slopes(towards, ahead, classes)
            counted = block.counted(z, row, classes)
            p = _probabilities(z, target, every.top[place], row)
            g = p * _column(row.scale * row.a, p)
            g[target] = row.target[target[0]].to(g.dtype)
            if counted is not None:
                g -= counted * _column(row.scale, g)
            v -= _column(mean, v)
            v *= _column(row.a, v)
            v += _column(2 * problem.kind.z_loss * mean, v)
            bent = v.mul_(p).mul_(_column(row.scale, v))
            _add(out, block, classes, bent, block.weight(classes), block.hidden)
            turned = None if towards.weight is None else towards.weight[classes].to(g.dtype)
            _add(Inputs(out.hidden, out.weight, None), block, classes, g, turned, ahead)
    return problem.spread(slopes * problem.of(problem.row_weight)), out


def _add(out: Inputs, block: _Block, classes: slice, g: Tensor, weight: Tensor | None, hidden: Tensor | None) -> None:
    """Add G W to the hidden part, G^T H to the weight's, and the columns' sums to the bias's."""
    if out.hidden is not None and weight is not None:
        if isinstance(block.rows, slice):
            out.hidden[block.rows].addmm_(g, weight)
        else:
            out.hidden.index_add_(0, block.rows, g @ weight)
    if out.weight is not None and hidden is not None:
        out.weight[classes].addmm_(g.T, hidden)
    if out.bias is not None:
        out.bias[classes] += g.sum(0)


def _zeros(problem: Problem, at: Inputs, wanted: tuple[bool, ...]) -> Inputs:
    parts = (at.hidden, at.weight, at.bias)
    return Inputs(*(torch.zeros_like(x, dtype=problem.work) if w else None for x, w in zip(parts, wanted, strict=True)))


def _probabilities(z: Tensor, target: tuple[Tensor, Tensor], top: Tensor, row: Coefficients) -> Tensor:
    p = _exponentials(_without(z, target), top.to(z.dtype))
    p *= _column(row.per_term, p)
    p[target] = row.at_target[target[0]].to(p.dtype)
    return p


def _without(z: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    z[target] = -torch.inf
    return z


def _exponentials(z: Tensor, top: Tensor) -> Tensor:
    """Replace z by exp(z - top[:, None]); an infinite top stands for its limit."""
    highest = top == torch.inf
    if bool(highest.any()):
        z[highest] = torch.where(z[highest] == torch.inf, 0.0, -torch.inf).to(z.dtype)
    z -= torch.where(torch.isinf(top), torch.zeros_like(top), top)[:, None]
    return z.exp_()


def _sum_of_products(mass: Tensor, z: Tensor, wide: torch.dtype) -> Tensor:
    """Return sum_k mass_k z_k of each row, where a mass of 0 silences an infinite logit."""
    return torch.where(mass > 0, mass * z, torch.zeros_like(z)).sum(1, dtype=wide)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype)[:, None]
