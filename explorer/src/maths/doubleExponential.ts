import type { Member } from "./member";
import { normalisedScores } from "./scores";

/** phi = e^(e^z): positive and increasing, and anything but shift invariant. */
export const doubleExponential: Member = {
  id: "double_exponential",
  name: "Double exponential",
  road: "scores",
  traits: { shift: false, scale: false, order: true, zeros: false },
  fault: () => null,
  ...normalisedScores({
    log: Math.exp,
    s: Math.exp,
    r: (x) => Math.exp(x) + Math.exp(2 * x),
  }),
};
