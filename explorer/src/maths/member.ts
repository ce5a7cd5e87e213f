import type { Matrix, Tensor, Vector } from "./vectors";

export type Road = "scores" | "argmax" | "both";

/** One way to turn logits into probabilities, with its derivatives. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly road: Road;
  /** Why the map is not a distribution at these logits, or null where it is one. */
  fault(z: Vector): string | null;
  value(z: Vector): Vector;
  log(z: Vector): Vector;
  /** jacobian[i][j] = dp_i / dz_j */
  jacobian(z: Vector): Matrix;
  /** second[i][j][k] = d2 p_i / dz_j dz_k */
  second(z: Vector): Tensor;
  /** The member's own loss for the label y: -log p_y on the first road, Fenchel-Young on the second. */
  loss(z: Vector, y: number): number;
  lossGradient(z: Vector, y: number): Vector;
}
