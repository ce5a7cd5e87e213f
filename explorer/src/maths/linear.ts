import type { Member } from "./member";
import { delta, matrix, smallest, sum, tensor, vector, type Vector } from "./vectors";

/** p = (z - m) / sum (z - m), with m = 0 or m = min z; lambda holds the derivative of m (shared among ties). */
function normalisedSums(minimum: (z: Vector) => { m: number; lambda: Vector }): Pick<Member, "value" | "log" | "jacobian" | "second" | "loss" | "lossGradient"> {
  const parts = (z: Vector) => {
    const { m, lambda } = minimum(z);
    const y = z.map((x) => x - m);
    const total = sum(y);
    const slope = lambda.map((l) => 1 - z.length * l); // d total / dz
    const isFlat = y.every((x) => x === 0); // 0/0: uniform, and no derivative
    return { y, lambda, total, slope, isFlat, p: y.map((x) => (isFlat ? 1 / z.length : x / total)) };
  };
  const jacobian: Member["jacobian"] = (z) => {
    const { p, lambda, total, slope, isFlat } = parts(z);
    return matrix(z.length, (i, j) => (isFlat ? 0 : (delta(i, j) - lambda[j] - p[i] * slope[j]) / total));
  };
  return {
    value: (z) => parts(z).p,
    log: (z) => parts(z).p.map(Math.log),
    jacobian,
    second(z) {
      const { total, slope, isFlat } = parts(z);
      const J = jacobian(z);
      return tensor(z.length, (i, j, k) => (isFlat ? 0 : -(J[i][k] * slope[j] + J[i][j] * slope[k]) / total));
    },
    loss: (z, y) => -Math.log(parts(z).p[y]),
    lossGradient(z, y) {
      const { y: score, lambda, total, slope, isFlat } = parts(z);
      return vector(z.length, (i) => (isFlat ? 0 : slope[i] / total - (delta(i, y) - lambda[i]) / score[y]));
    },
  };
}

export const linear: Member = {
  id: "linear",
  name: "Linear sum",
  road: "scores",
  traits: { shift: false, scale: true, order: true, zeros: true },
  fault: (z) =>
    sum(z) <= 0 ? "the scores need a positive sum" : smallest(z) < 0 ? "a negative score leaves the simplex" : null,
  ...normalisedSums((z) => ({ m: 0, lambda: z.map(() => 0) })),
};

export const minShift: Member = {
  id: "min_shift",
  name: "Min-shifted sum",
  road: "scores",
  traits: { shift: true, scale: true, order: true, zeros: true },
  fault: () => null,
  ...normalisedSums((z) => {
    const m = smallest(z);
    const ties = z.filter((x) => x === m).length;
    return { m, lambda: z.map((x) => (x === m ? 1 / ties : 0)) };
  }),
};
