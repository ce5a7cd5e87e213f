import { regularisedArgmax } from "./argmax";
import type { Member } from "./member";
import { largest } from "./vectors";

/** Omega = 0: all probability on the largest logit, shared among ties; its derivatives are 0 and its loss is the perceptron's. */
export const hardmax: Member = {
  id: "hardmax",
  name: "Hardmax",
  road: "argmax",
  traits: { shift: true, scale: true, order: true, zeros: true },
  fault: () => null,
  ...regularisedArgmax({
    maximiser(z) {
      const top = largest(z);
      const ties = z.filter((x) => x === top).length;
      return z.map((x) => (x === top ? 1 / ties : 0));
    },
    value: () => 0,
    curvature: () => 0,
    curvatureSlope: () => 0,
  }),
};
