"""The training objective of a linear softmax classifier, as sums over the rows of a source.

    f(W, b) = (1/S) Σ_n s_n ℓ(z_n, y_n) + (λ/2) ‖W‖²,      z_n = W x_n + b,   S = Σ_n s_n

with ℓ the cross-entropy lse(z) - z_y. Gradient: (1/S) Σ s_n (p_n - y_n) x_nᵀ + λ W and (1/S) Σ s_n (p_n - y_n).

**Coordinates.** Solvers work on standardised features x̃ = (x - shift) · scale without any of them being stored:
θ = [V | c] with W = V · scale and b = c - W shift. This is a change of variables only: the penalty stays on W, so
the optimum is that of the features as given, and sparse features stay sparse.

**Two classes** have one row of parameters, W = w_1 - w_0, with logits (0, z): the binary logistic objective, penalty
(λ/2) ‖w_1 - w_0‖². (Two symmetric rows with the same λ would be penalised half as much.)

**Precision.** "single": products in float32 tile by tile, losses and all sums across tiles in float64; the relative
error of the gradient is about 1e-7. "double": everything in float64.
"""

from softmaxes.objective.objective import Evaluation, Objective, Precision
from softmaxes.objective.row_losses import MemberLoss, RowLoss, SoftmaxLoss
from softmaxes.objective.start import at_start

__all__ = ["Evaluation", "MemberLoss", "Objective", "Precision", "RowLoss", "SoftmaxLoss", "at_start"]
