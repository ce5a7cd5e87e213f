import { regularisedArgmax } from "./argmax";
import type { Member } from "./member";
import { largest, sum, type Vector } from "./vectors";

/** The point of the simplex nearest to z: p = (z - tau)_+, tau from the longest sorted prefix that stays positive. */
function maximiser(z: Vector): Vector {
  const top = largest(z);
  const d = z.map((x) => x - top);
  let tau = -1;
  let prefix = 0;
  [...d].sort((a, b) => b - a).forEach((x, index) => {
    prefix += x;
    if (1 + (index + 1) * x > prefix) tau = (prefix - 1) / (index + 1);
  });
  return d.map((x) => Math.max(x - tau, 0));
}

/** Omega = |p|^2 / 2: probabilities that are exactly 0. */
export const sparsemax: Member = {
  id: "sparsemax",
  name: "Sparsemax",
  road: "argmax",
  traits: { shift: true, scale: false, order: true, zeros: true },
  fault: () => null,
  ...regularisedArgmax({
    maximiser,
    value: (p) => sum(p.map((x) => x * (1 - x))) / 2,
    curvature: (p) => (p > 0 ? 1 : 0),
    curvatureSlope: () => 0,
  }),
};
