import { describe, expect, it } from "vitest";
import { CLAIMS } from "../src/claims";
import { readLogits } from "../src/csv";
import { entropyExpansion, entropyGradient } from "../src/maths/entropy";
import { family } from "../src/maths/family";
import { FORMATS, softmaxIn } from "../src/maths/formats";
import { softmax } from "../src/maths/exponential";
import { Random } from "../src/maths/random";
import { softmaxMember } from "../src/maths/softmax";
import { sum } from "../src/maths/vectors";
import { markOf, WORKED } from "../src/sections/worked";
import { fromHash, INITIAL, toHash } from "../src/state";
import { pretty } from "../src/ui/numbers";

describe("the address holds the state", () => {
  const changed = { ...INITIAL, logits: [0.1, -2, 3.25, 1e-3], beta: 0.3333333333333333, member: "entmax", alpha: 1.35, target: 3, margin: 1.5, seed: 99, stepX: -0.25 };
  it("and gives it back exactly", () => expect(fromHash(`#${toHash(changed)}`)).toEqual(changed));
  it("and says nothing when nothing was changed", () => expect(toHash(INITIAL)).toBe(""));
  it.each(["#z=1,x,2", "#m=nothing", "#b=NaN", "#z=1", "#n=2.5", "#d=1e9", "#%%%", "#family"])("and ignores %s", (hash) => expect(fromHash(hash)).toEqual(INITIAL));
});

describe("a table of logits", () => {
  const wanted = { logits: [[2, -1, 0.5], [0.1, 3, -2]], labels: [0, 1] };
  it.each([
    ["with a header", "a,b,c,label\n2,-1,0.5,0\n0.1,3,-2,1\n"],
    ["without one", "2,-1,0.5,0\n0.1,3,-2,1"],
    ["with the label first", "label;a;b;c\r\n0;2;-1;0.5\r\n1;0.1;3;-2\r\n"],
    ["with named classes", 'cat,dog,"a, b",y\n2,-1,0.5,cat\n0.1,3,-2,dog'],
    ["with numbers for names", "0,1,2,label\n2,-1,0.5,0\n0.1,3,-2,1"],
    ["with numbers for names, not from zero", "5,7,9,label\n2,-1,0.5,5\n0.1,3,-2,7"],
    ["separated by tabs", "2\t-1\t0.5\t0\n\n0.1\t3\t-2\t1"],
  ])("%s", (_, text) => expect(readLogits(text)).toEqual(wanted));
  it("has rows of a class called y", () => expect(() => readLogits("1,2,y\n2,1,n\n0,1,y")).toThrow('"y" is neither'));
  it("counts from one if it must", () => expect(readLogits("1,2,3,1\n2,1,0,3").labels).toEqual([0, 2]));
  it.each([
    ["", "nothing to read"],
    ["1,2,0", "too few rows"],
    ["1,0\n2,1", "2 columns"],
    ["1,2,0\n1,1", "Row 2 has 2 columns"],
    ["a,b,y\n1,oops,0\n2,1,1", 'Row 1, column "b": "oops" is not a finite number'],
    ["1,NaN,0\n2,1,1", "is not a finite number"],
    ["1,2,0\n2,1,5", "true class 5, but there are only 2"],
    ["1,2,0\n2,1,0", "same true class"],
    ["0.25,0.75,0\n0.5,0.5,1", "look like probabilities"],
    ["a,b,y\n1,2,zebra\n2,1,a", '"zebra" is neither'],
  ])("refuses %j", (text, message) => expect(() => readLogits(text)).toThrow(message));
});

describe("the sources' worked numbers", () => {
  it("are all reproduced up to their last digit", () => {
    const marks = WORKED.flatMap(({ printed, exact, decimals }) => printed.map((text, k) => markOf(text, exact[k], decimals)));
    expect(marks).not.toContain("fail");
    expect(marks.filter((mark) => mark === "pass").length).toBe(42);
  });
  it.each([
    ["0.12", 0.1249, "pass"],
    ["0.12", 0.1251, "cut"],
    ["0.13", 0.1249, "twice"],
    ["0.12", 0.1301, "fail"],
  ] as const)("%s for %f is a %s", (printed, exact, mark) => expect(markOf(printed, exact)).toBe(mark));
});

describe.each(CLAIMS.map((claim) => [claim.claim, claim] as const))("%s", (_, claim) => {
  const rows = claim.evidence();
  const asNumbers = (values: (number | string)[]) => values.filter((x): x is number => typeof x === "number");
  it("is refuted", () => {
    for (const { claimed = [], truth } of rows) expect(claimed.map(String)).not.toEqual(truth.map(String));
  });
  it("is mended: what is measured agrees", () => {
    for (const { truth, claimed = [], measured } of rows.filter((row) => row.measured)) {
      const gap = (values: (number | string)[]) => Math.max(...asNumbers(measured!).map((x, i) => Math.abs(x - asNumbers(values)[i])));
      expect(gap(truth)).toBeLessThan(3e-6); // the error of a difference quotient, or the third-order rest of the expansion
      if (asNumbers(claimed).length === asNumbers(truth).length) expect(gap(claimed)).toBeGreaterThan(1e-3);
    }
  });
});

describe("every member", () => {
  const z = [0.7, 0.2, 1.9, 1.1];
  it.each(family({ order: 2, epsilon: 0.1, alpha: 1.5 }).map((member) => [member.name, member] as const))("%s moves probability, and makes none", (_, member) => {
    expect(sum(member.value(z))).toBeCloseTo(1, 14);
    for (let j = 0; j < z.length; j++) expect(Math.abs(sum(member.jacobian(z).map((row) => row[j])))).toBeLessThan(1e-14);
  });
  describe.each([
    { order: 2, epsilon: 0.1, alpha: 1.5 },
    { order: 3, epsilon: 0, alpha: 2 },
    { order: 4, epsilon: 0, alpha: 1 },
  ])("has the traits it claims, with %o", (parameters) => {
    const random = new Random(4);
    const rows = Array.from({ length: 300 }, () => [0, 1, 2].map(() => 1.5 * random.normal())).concat([[0, 1, 2]]);
    it.each(family(parameters).map((member) => [member.name, member] as const))("%s", (_, member) => {
      const inside = rows.filter((z) => member.fault(z) === null);
      expect(inside.length).toBeGreaterThan(20);
      const same = (change: (x: number) => number) =>
        inside.filter((z) => member.fault(z.map(change)) === null).every((z) => {
          const [p, q] = [member.value(z), member.value(z.map(change))];
          return p.every((x, k) => Math.abs(x - q[k]) < 1e-9);
        });
      expect(same((x) => x + 1)).toBe(member.traits.shift);
      expect(same((x) => 2 * x)).toBe(member.traits.scale);
      const isOrdered = inside.every((z) => {
        const p = member.value(z);
        return z.every((x, i) => z.every((y, j) => !(x > y) || p[i] >= p[j]));
      });
      expect(isOrdered).toBe(member.traits.order);
      expect(inside.some((z) => member.value(z).some((x) => x === 0))).toBe(member.traits.zeros);
    });
  });
  it("gives equal logits equal shares, where it can", () => {
    for (const member of family({ order: 2, epsilon: 0, alpha: 2 }))
      for (const p of member.value([1, 1, 1, 1])) expect(p).toBeCloseTo(0.25, 14);
  });
  it("keeps the smallest losses", () => expect(softmaxMember.loss([0, -40], 0)).toBeCloseTo(4.248354255291589e-18, 30));
  it("expands the entropy to third order", () => {
    const rest = (h: number) => {
      const step = [h, -h, 2 * h, 0];
      const moved = z.map((x, k) => x + step[k]);
      const p = softmax(moved);
      return Math.abs(entropyExpansion(softmaxMember, z)(step) + sum(p.map((x) => x * Math.log(x))));
    };
    expect(rest(0.02) / rest(0.01)).toBeCloseTo(8, 0);
    expect(entropyGradient(softmaxMember, [1, 1, 1])).toEqual([0, 0, 0].map(() => expect.closeTo(0, 15)));
  });
});

describe("formats", () => {
  const [half, , single, double] = FORMATS;
  it("overflow where they must", () => {
    expect(softmaxIn(half, [12, 0], false).exponentials[0]).toBe(Infinity);
    expect(softmaxIn(single, [88.7, 0], false).total).toBeLessThan(Infinity);
    expect(softmaxIn(single, [89, 0], false).probabilities[0]).toBeNaN();
    expect(softmaxIn(double, [1000, 1001], false).probabilities).toEqual([NaN, NaN]);
  });
  it("are saved by the max trick", () => {
    expect(softmaxIn(double, [1000, 1001], true).probabilities).toEqual(softmax([0, 1]));
    expect(sum(softmaxIn(half, [60, 58, 1], true).probabilities)).toBeCloseTo(1, 2);
  });
});

describe("noise", () => {
  it("has the mean and variance of Gumbel's law", () => {
    const random = new Random(5);
    const draws = Array.from({ length: 20_000 }, () => random.gumbel());
    const mean = sum(draws) / draws.length;
    const variance = sum(draws.map((x) => (x - mean) ** 2)) / draws.length;
    expect(Math.abs(mean - 0.5772156649)).toBeLessThan((4 * Math.PI) / Math.sqrt(6 * draws.length)); // four standard errors
    expect(variance / (Math.PI ** 2 / 6)).toBeCloseTo(1, 1);
  });
  it("is the same for the same seed", () => expect(new Random(3).uniform()).toBe(new Random(3).uniform()));
  it("never is 0 or 1", () => {
    const random = new Random(8);
    for (let i = 0; i < 10_000; i++) expect(Math.abs(random.uniform() - 0.5)).toBeLessThan(0.5);
  });
});

describe("numbers for reading", () => {
  it.each([
    [0, "0"],
    [-0.5, "−0.5000"],
    [1e-9, "1.00·10⁻⁹"],
    [-2.5e7, "−2.50·10⁷"],
    [Infinity, "∞"],
    [NaN, "NaN"],
    [1234.5678, "1234.57"],
  ])("%f is %s", (x, text) => expect(pretty(x)).toBe(text));
});
