import { logSoftmax, softmax } from "./exponential";
import { regularisedArgmax } from "./argmax";
import type { Member } from "./member";
import { normalisedScores } from "./scores";

/** phi = exp: the only map on both roads. */
export const softmaxByScores = normalisedScores({ log: (x) => x, s: () => 1, r: () => 1 });

/** Omega = sum p log p. */
export const softmaxByArgmax = regularisedArgmax({
  maximiser: softmax,
  value: (p) => -p.reduce((total, x) => (x > 0 ? total + x * Math.log(x) : total), 0),
  curvature: (p) => p,
  curvatureSlope: () => 1,
});

export const softmaxMember: Member = {
  id: "softmax",
  name: "Softmax",
  road: "both",
  traits: { shift: true, scale: false, order: true, zeros: false },
  fault: () => null,
  ...softmaxByScores,
  log: logSoftmax,
};
