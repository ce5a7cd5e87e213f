import type { Member } from "./member";
import { normalisedScores } from "./scores";

const logistic = (x: number) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));
const softplusOf = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** phi = log(1 + e^z): positive and increasing like exp, but linear for large logits. */
export const softplus: Member = {
  id: "softplus",
  name: "Softplus",
  road: "scores",
  traits: { shift: false, scale: false, order: true, zeros: false },
  fault: () => null,
  ...normalisedScores({
    log: (x) => Math.log(softplusOf(x)),
    s: (x) => logistic(x) / softplusOf(x),
    r: (x) => (logistic(x) * logistic(-x)) / softplusOf(x),
  }),
};
