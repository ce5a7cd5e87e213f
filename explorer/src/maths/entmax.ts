import { regularisedArgmax } from "./argmax";
import type { Member } from "./member";
import { softmaxMember } from "./softmax";
import { largest, sum, type Vector } from "./vectors";

/** p = [h - tau]_+^(1/(alpha-1)) with h = (alpha-1)(z - max z): tau by bisection, then by Newton to the last bits. */
function maximiser(alpha: number, z: Vector): Vector {
  const top = largest(z);
  const h = z.map((x) => (alpha - 1) * (x - top));
  const power = 1 / (alpha - 1);
  const at = (tau: number) => h.map((x) => (x > tau ? (x - tau) ** power : 0));
  let [low, high] = [-1, -(z.length ** (1 - alpha))];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (sum(at(middle)) >= 1) low = middle;
    else high = middle;
  }
  let tau = low;
  for (let i = 0; i < 2; i++) {
    const slope = sum(h.map((x) => (x > tau ? power * (x - tau) ** (power - 1) : 0)));
    if (Number.isFinite(slope)) tau += (sum(at(tau)) - 1) / slope;
  }
  const p = at(tau);
  const total = sum(p);
  return p.map((x) => x / total);
}

/** alpha-entmax: Omega = sum (p^alpha - p) / (alpha (alpha - 1)); 1 is softmax, 2 is sparsemax. */
export function entmax(alpha: number): Member {
  if (alpha === 1) return { ...softmaxMember, id: "entmax", name: "1-entmax", road: "argmax" };
  return {
    id: "entmax",
    name: `${alpha}-entmax`,
    road: "argmax",
    traits: { shift: true, scale: false, order: true, zeros: true },
    fault: () => null,
    ...regularisedArgmax({
      maximiser: (z) => maximiser(alpha, z),
      value: (p) => sum(p.map((x) => x - x ** alpha)) / (alpha * (alpha - 1)),
      curvature: (p) => (p > 0 ? p ** (2 - alpha) : 0),
      curvatureSlope: (p) => (p > 0 ? (2 - alpha) * p ** (1 - alpha) : 0),
    }),
  };
}
