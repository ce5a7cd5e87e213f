import { logSoftmax, softmax } from "./exponential";
import type { Member } from "./member";
import { delta, matrix, tensor, vector, type Vector } from "./vectors";

/** A positive function phi, given by log phi, s = phi'/phi and r = phi''/phi. */
export interface Phi {
  log(x: number): number;
  s(x: number): number;
  r(x: number): number;
}

/** The first road: p_k = phi(z_k) / sum_j phi(z_j), which is softmax(log phi(z)) with the chain rule. */
export function normalisedScores(phi: Phi): Pick<Member, "value" | "log" | "jacobian" | "second" | "loss" | "lossGradient"> {
  const logits = (z: Vector) => z.map(phi.log);
  const value = (z: Vector) => softmax(logits(z));
  return {
    value,
    log: (z) => logSoftmax(logits(z)),
    jacobian(z) {
      const [p, s] = [value(z), z.map(phi.s)];
      return matrix(z.length, (k, i) => p[k] * (s[k] * delta(k, i) - p[i] * s[i]));
    },
    second(z) {
      const [p, s, r] = [value(z), z.map(phi.s), z.map(phi.r)];
      return tensor(
        z.length,
        (k, i, j) =>
          p[k] *
          (delta(k, i) * delta(k, j) * r[k] -
            delta(k, i) * s[k] * p[j] * s[j] -
            delta(k, j) * s[k] * p[i] * s[i] -
            delta(i, j) * p[i] * r[i] +
            2 * p[i] * s[i] * p[j] * s[j]),
      );
    },
    loss: (z, y) => -logSoftmax(logits(z))[y] + 0,
    lossGradient(z, y) {
      const [p, s] = [value(z), z.map(phi.s)];
      const others = p.reduce((total, value, i) => (i === y ? total : total + value), 0);
      return vector(z.length, (i) => s[i] * (i === y ? -others : p[i]));
    },
  };
}
