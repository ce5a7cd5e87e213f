import { indexOfLargest, largest, vector, type Vector } from "./vectors";

/** d = x - max x, e = exp d, and r = the sum of every e but one attaining the maximum: log Z = max x + log1p r. */
function shifted(x: Vector) {
  const top = indexOfLargest(x);
  const d = vector(x.length, (i) => (x[i] === -Infinity ? -Infinity : x[i] - x[top]));
  const e = d.map(Math.exp);
  const rest = e.reduce((total, value, i) => (i === top ? total : total + value), 0);
  return { d, e, rest };
}

/** p_i = exp x_i / sum_j exp x_j. */
export function softmax(x: Vector): Vector {
  const { e, rest } = shifted(x);
  return e.map((value) => value / (1 + rest));
}

/** log p_i = d_i - log1p(rest): two numbers of one sign, so that nothing cancels. */
export function logSoftmax(x: Vector): Vector {
  const { d, rest } = shifted(x);
  return d.map((value) => value - Math.log1p(rest));
}

/** log sum_j exp x_j. */
export function logSumExp(x: Vector): number {
  return largest(x) + Math.log1p(shifted(x).rest);
}
