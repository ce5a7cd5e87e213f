import type { Member } from "./member";
import { dot, matrix, sum, vector, type Matrix, type Vector } from "./vectors";

/** H = -sum p log p in nats; a class with p = 0 adds nothing. */
export function entropy(member: Member, z: Vector): number {
  const [p, log] = [member.value(z), member.log(z)];
  return -sum(p.map((x, i) => (x > 0 ? x * log[i] : 0))) + 0;
}

/** dH/dz_j = -sum_i log p_i dp_i/dz_j, for every member, since the columns of the Jacobian sum to 0. */
export function entropyGradient(member: Member, z: Vector): Vector {
  const [p, log, J] = [member.value(z), member.log(z), member.jacobian(z)];
  return vector(z.length, (j) => -sum(p.map((x, i) => (x > 0 ? log[i] * J[i][j] : 0))) + 0);
}

/** d2H/dz_j dz_k = -sum_i [ log p_i d2p_i/dz_j dz_k + (dp_i/dz_j)(dp_i/dz_k) / p_i ]. */
export function entropyHessian(member: Member, z: Vector): Matrix {
  const [p, log, J, T] = [member.value(z), member.log(z), member.jacobian(z), member.second(z)];
  return matrix(z.length, (j, k) => -sum(p.map((x, i) => (x > 0 ? log[i] * T[i][j][k] + (J[i][j] * J[i][k]) / x : 0))) + 0);
}

/** The second-order expansion of H around z, as a function of the step. */
export function entropyExpansion(member: Member, z: Vector): (step: Vector) => number {
  const [value, gradient, hessian] = [entropy(member, z), entropyGradient(member, z), entropyHessian(member, z)];
  return (step) => value + dot(gradient, step) + dot(step, hessian.map((row) => dot(row, step))) / 2;
}
