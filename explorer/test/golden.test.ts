import { describe, expect, it } from "vitest";
import golden from "../golden.json";
import { evaluate, fitTemperature, meanLoss } from "../src/maths/calibration";
import { entropy, entropyExpansion, entropyGradient, entropyHessian } from "../src/maths/entropy";
import { family } from "../src/maths/family";
import { FORMATS } from "../src/maths/formats";
import type { Member } from "../src/maths/member";
import { scaled } from "../src/maths/scaled";
import { softmaxByArgmax } from "../src/maths/softmax";

const TOLERANCE = 1e-12; // of the largest entry of the golden array

type Nested = number | Nested[];
const flat = (x: Nested): number[] => (Array.isArray(x) ? x.flatMap(flat) : [x]);
const numbers = (x: unknown): number[] => flat(x as Nested).map(Number);

function expectClose(actual: Nested, wanted: unknown) {
  const [a, w] = [flat(actual), (wanted instanceof Array ? wanted.flat(3) : [wanted]).map((x) => (x === "-inf" ? -Infinity : Number(x)))];
  expect(a.length).toBe(w.length);
  const scale = Math.max(...w.filter(Number.isFinite).map(Math.abs));
  a.forEach((x, i) => {
    if (Number.isFinite(w[i])) expect(Math.abs(x - w[i])).toBeLessThanOrEqual(TOLERANCE * scale);
    else expect(x).toBe(w[i]);
  });
}

/** "taylor 3" names a member and its parameter. */
function memberNamed(name: string): Member {
  const [id, parameter] = name.split(" ");
  const member = family({ order: Number(parameter), alpha: Number(parameter), epsilon: 0.5 }).find((m) => m.id === id);
  if (!member) throw new Error(`no member ${name}`);
  return member;
}

describe.each(golden.cases)("$member at $logits times $scale", (wanted) => {
  const member = memberNamed(wanted.member);
  const z = wanted.logits.map((x) => wanted.scale * x);
  it("value", () => expectClose(member.value(z), wanted.value));
  it("log", () => expectClose(member.log(z), wanted.log));
  it("Jacobian", () => expectClose(member.jacobian(z), wanted.jacobian));
  it("second derivative", () => expectClose(member.second(z), wanted.second));
  it("entropy", () => expectClose(entropy(member, z), wanted.entropy));
  it("entropy gradient", () => expectClose(entropyGradient(member, z), wanted.entropy_gradient));
  it("entropy Hessian", () => expectClose(entropyHessian(member, z), wanted.entropy_hessian));
  it("entropy expansion", () => expectClose(entropyExpansion(member, z)(wanted.step), wanted.expansion));
  it("loss", () => expectClose(wanted.possible.map((y) => member.loss(z, y)), wanted.loss));
  it("loss gradient", () => expectClose(wanted.possible.map((y) => member.lossGradient(z, y)), wanted.loss_gradient));
  it("is a distribution", () => expect(member.fault(z)).toBeNull());
  it("scales by the chain rule", () => {
    const hot = scaled(member, wanted.scale);
    const times = (x: Nested, by: number): Nested => (Array.isArray(x) ? x.map((y) => times(y, by)) : x * by);
    expectClose(hot.value(wanted.logits), wanted.value);
    expectClose(hot.jacobian(wanted.logits), times(wanted.jacobian, wanted.scale));
    expectClose(hot.second(wanted.logits), times(wanted.second, wanted.scale ** 2));
  });
});

describe("softmax is the member of both roads", () => {
  it.each(golden.cases.filter((c) => c.member === "softmax"))("$logits", (wanted) => {
    const z = wanted.logits.map((x) => wanted.scale * x);
    expectClose(softmaxByArgmax.value(z), wanted.value);
    expectClose(softmaxByArgmax.jacobian(z), wanted.jacobian);
    expectClose(softmaxByArgmax.second(z), wanted.second);
    expectClose(wanted.possible.map((y) => softmaxByArgmax.loss(z, y)), wanted.loss);
    expectClose(wanted.possible.map((y) => softmaxByArgmax.lossGradient(z, y)), wanted.loss_gradient);
  });
});

describe("calibration", () => {
  const { logits, labels, temperature, before, after } = golden.calibration;
  it("finds the temperature of least loss", () => {
    const fit = fitTemperature({ logits, labels });
    expect(fit.atBound).toBe(false);
    expectClose(fit.temperature, temperature);
    expectClose(meanLoss({ logits, labels }, 1 / fit.temperature), after.log_loss);
  });
  it.each([
    [1, before],
    [temperature, after],
  ])("scores at temperature %f", (t, wanted) => {
    const scores = evaluate({ logits, labels }, t);
    expectClose(scores.logLoss, wanted.log_loss);
    expectClose(scores.brier, wanted.brier);
    expectClose(scores.accuracy, wanted.accuracy);
    expectClose(scores.calibrationError, wanted.calibration_error);
  });
  it("says when the best temperature is beyond the bounds", () => {
    expect(fitTemperature({ logits: [[3, 0]], labels: [0] }).atBound).toBe(true);
  });
});

describe("short formats round as NumPy does", () => {
  it.each(["float16", "bfloat16"] as const)("%s", (name) => {
    const format = FORMATS.find((f) => f.name === name)!;
    const wanted = golden.rounding[name].map((x) => (x === "inf" ? Infinity : Number(x)));
    expect(numbers(golden.rounding.numbers).map(format.round)).toEqual(wanted);
  });
});

describe("the comparison notices what is wrong", () => {
  const wanted = golden.cases.find((c) => c.member === "softmax")!;
  const p = wanted.value;
  it.each([
    ["the notes' entropy gradient, p - 1", () => expectClose(p.map((x) => x - 1), wanted.entropy_gradient)],
    ["the notes' entropy Hessian, diag(p) - pp'", () => expectClose(p.map((x, i) => p.map((y, j) => x * ((i === j ? 1 : 0) - y))), wanted.entropy_hessian)],
    ["a value off in the twelfth digit", () => expectClose(p.map((x) => x * (1 + 3e-12)), wanted.value)],
    ["a missing entry", () => expectClose(p.slice(1), wanted.value)],
  ])("%s", (_, compare) => expect(compare).toThrow());
});
