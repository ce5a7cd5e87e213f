import type { Member } from "./member";
import { normalisedScores } from "./scores";
import { smallest } from "./vectors";

/** f_n(x) = sum_{i<=n} x^i / i!, by Horner; orders 2 and 4 as sums of squares, which cannot cancel. */
export function exponentialSeries(order: number, x: number): number {
  if (order < 0) return 0;
  if (order === 2) return (1 + (1 + x) ** 2) / 2;
  if (order === 4) return (((1 + x) ** 2 + 1) ** 2 + 4 * (x + 2) ** 2 + 4) / 24;
  let value = 1;
  for (let i = order; i > 0; i--) value = 1 + (x * value) / i;
  return value;
}

/** Where f_n of odd order n crosses zero: the map is a distribution to its right only. */
export function seriesRoot(order: number): number {
  let [low, high] = [-order - 1, 0];
  for (let i = 0; i < 200 && low < high; i++) {
    const middle = (low + high) / 2;
    if (exponentialSeries(order, middle) > 0) high = middle;
    else low = middle;
  }
  return high;
}

/** phi = the Taylor polynomial of exp: no exponential, heavier tails, and no shift invariance. */
export function taylor(order: number): Member {
  const f = (n: number, x: number) => exponentialSeries(n, x);
  return {
    id: "taylor",
    name: `Taylor, order ${order}`,
    road: "scores",
    traits: { shift: false, scale: false, order: order % 2 === 1, zeros: false },
    fault(z) {
      if (order % 2 === 0 || f(order, smallest(z)) > 0) return null;
      return `odd order ${order} needs every logit above ${seriesRoot(order).toFixed(3)}`;
    },
    ...normalisedScores({
      log: (x) => Math.log(f(order, x)),
      s: (x) => f(order - 1, x) / f(order, x),
      r: (x) => f(order - 2, x) / f(order, x),
    }),
  };
}
