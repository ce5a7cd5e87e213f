import type { Member } from "./member";
import { normalisedScores } from "./scores";

/** phi = z^2 + epsilon: the sign of a logit is lost, and so is its order. */
export function spherical(epsilon: number): Member {
  return {
    id: "spherical",
    name: "Spherical",
    road: "scores",
    traits: { shift: false, scale: epsilon === 0, order: false, zeros: epsilon === 0 },
    fault: (z) => (epsilon === 0 && z.every((x) => x === 0) ? "all logits 0 give 0/0 when ε = 0" : null),
    ...normalisedScores({
      log: (x) => Math.log(x * x + epsilon),
      s: (x) => (2 * x) / (x * x + epsilon),
      r: (x) => 2 / (x * x + epsilon),
    }),
  };
}
