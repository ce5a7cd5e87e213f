import type { Member } from "./member";
import { delta, dot, largest, matrix, sum, tensor, type Vector } from "./vectors";

/** A concave entropy H = -Omega with its maximiser and its curvature g = 1 / Omega''(p), 0 off the support. */
export interface Entropy {
  maximiser(z: Vector): Vector;
  value(p: Vector): number;
  curvature(p: number): number;
  curvatureSlope(p: number): number;
}

/** The second road: p = argmax over the simplex of <p, z> + H(p); its loss is Fenchel-Young, with gradient p - y. */
export function regularisedArgmax(entropy: Entropy): Pick<Member, "value" | "log" | "jacobian" | "second" | "loss" | "lossGradient"> {
  const value = entropy.maximiser;
  const jacobianAt = (g: Vector) => {
    const total = sum(g);
    return matrix(g.length, (i, j) => g[i] * (delta(i, j) - (total > 0 ? g[j] / total : 0)));
  };
  return {
    value,
    log: (z) => value(z).map(Math.log),
    jacobian: (z) => jacobianAt(value(z).map(entropy.curvature)),
    second(z) {
      const p = value(z);
      const [g, h] = [p.map(entropy.curvature), p.map(entropy.curvatureSlope)];
      const total = sum(g);
      const jacobian = jacobianAt(g);
      if (total === 0) return tensor(z.length, () => 0);
      const dg = matrix(z.length, (i, k) => h[i] * jacobian[i][k]); // dg_i / dz_k
      const dTotal = z.map((_, k) => sum(dg.map((row) => row[k])));
      return tensor(
        z.length,
        (i, j, k) => delta(i, j) * dg[i][k] - (dg[i][k] * g[j] + g[i] * dg[j][k]) / total + (g[i] * g[j] * dTotal[k]) / total ** 2,
      );
    },
    loss(z, y) {
      const top = largest(z);
      const d = z.map((x) => x - top); // shift first: the potential and z_y are near each other
      const p = value(z);
      return dot(d, p) + entropy.value(p) - d[y];
    },
    lossGradient(z, y) {
      const p = value(z);
      const others = p.reduce((total, x, i) => (i === y ? total : total + x), 0);
      return p.map((x, i) => (i === y ? -others : x));
    },
  };
}
