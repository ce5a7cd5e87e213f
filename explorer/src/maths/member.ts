import type { Matrix, Tensor, Vector } from "./vectors";

export type Road = "scores" | "argmax" | "both";

/** What holds at all logits where the map is a distribution; test/page.test.ts checks every line by machine. */
export interface Traits {
  /** p(z + c) = p(z) */
  readonly shift: boolean;
  /** p(cz) = p(z) for c > 0 */
  readonly scale: boolean;
  /** z_i > z_j implies p_i >= p_j */
  readonly order: boolean;
  /** some probabilities are exactly 0 */
  readonly zeros: boolean;
}

/** One way to turn logits into probabilities, with its derivatives. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly road: Road;
  readonly traits: Traits;
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
