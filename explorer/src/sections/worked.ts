import { logSoftmax, softmax } from "../maths/exponential";
import { linear, minShift } from "../maths/linear";
import { softmaxMember } from "../maths/softmax";
import { dot, sum } from "../maths/vectors";
import type { Section } from "../page";
import { h } from "../ui/dom";
import { reading } from "../ui/numbers";

interface Worked {
  source: string;
  what: string;
  printed: string[];
  exact: number[];
  /** decimals meant, where trailing zeros were not printed */
  decimals?: number;
}

const based = (psi: number, z: number[]) => softmax(z.map((x) => Math.log(psi) * x));
const classLosses = (z: number[]) => z.map((_, y) => softmaxMember.loss(z, y));
const five = [0, 10, 15, 18, 20];

const SLIDES = "Lecture slides on softmax";
const LAYER = "Softmax layer and loss";
const WHY = "Why exp? (question and answers)";

/** Every worked number of the sources that this page can reproduce; printed numbers as they were printed. */
export const WORKED: Worked[] = [
  { source: SLIDES, what: "softmax of (1.5, 5.2, 2.3, 0.8)", printed: ["0.022", "0.915", "0.050", "0.011"], exact: softmax([1.5, 5.2, 2.3, 0.8]) },
  { source: SLIDES, what: "sum of exp (1.5, 5.2, 2.3, 0.8)", printed: ["197.953654"], exact: [sum([1.5, 5.2, 2.3, 0.8].map(Math.exp))] },
  { source: SLIDES, what: "exp 5.2", printed: ["181.272241"], exact: [Math.exp(5.2)] },
  { source: SLIDES, what: "softmax of (0, 2, 3)", printed: ["0.03511903", "0.25949646", "0.70538451"], exact: softmax([0, 2, 3]) },
  { source: SLIDES, what: "softmax of (5, 7, 8): the same", printed: ["0.03511903", "0.25949646", "0.70538451"], exact: softmax([5, 7, 8]) },
  { source: SLIDES, what: "linear sum of (−2, 0, 1): off the simplex", printed: ["2", "0", "-1"], exact: linear.value([-2, 0, 1]) },
  { source: SLIDES, what: "min-shifted sum of (5, 7, 8.2)", printed: ["0", "0.385", "0.615"], exact: minShift.value([5, 7, 8.2]) },
  { source: SLIDES, what: "softmax of (0, 2, 3.2), first", printed: ["0.0303"], exact: softmax([0, 2, 3.2]).slice(0, 1) },
  { source: SLIDES, what: "softmax of (0, 2, 3.5), first and last", printed: ["0.0240", "0.797"], exact: [0, 2].map((k) => softmax([0, 2, 3.5])[k]) },
  { source: SLIDES, what: "softmax of (0, 2, 3.8), second and last", printed: ["0.1391", "0.841"], exact: softmax([0, 2, 3.8]).slice(1) },
  { source: SLIDES, what: "softmax of (0, 2, 6), second and last", printed: ["0.017", "0.979"], exact: softmax([0, 2, 6]).slice(1) },
  { source: SLIDES, what: "softmax of (0, 2, 7)", printed: ["0", "0", "0.99"], exact: softmax([0, 2, 7]), decimals: 2 },
  { source: SLIDES, what: "log-softmax of (1, 2, 3, 10)", printed: ["-9.0014", "-8.0014", "-7.0014", "-0.0014"], exact: logSoftmax([1, 2, 3, 10]) },
  { source: SLIDES, what: "soft-argmax of (2, 4, 18, 3), rounded", printed: ["2"], exact: [dot([0, 1, 2, 3], softmax([2, 4, 18, 3]))] },
  { source: LAYER, what: "softmax of (0, 10, 15, 18, 20)", printed: ["0.0000", "0.0000", "0.0059", "0.1185", "0.8756"], exact: softmax(five) },
  { source: LAYER, what: "18 raised to 19: the last falls to", printed: ["0.7275"], exact: softmax([0, 10, 15, 19, 20]).slice(4) },
  { source: LAYER, what: "−log p of (0, 10, 15, 18, 20): natural logarithm", printed: ["20.13289", "10.13289", "5.13289", "2.13289", "0.13288"], exact: classLosses(five) },
  { source: WHY, what: "linear sum of (2, 4, 2, 1)", printed: ["0.2222", "0.4444", "0.2222", "0.1111"], exact: linear.value([2, 4, 2, 1]) },
  { source: WHY, what: "softmax of (2, 4, 2, 1)", printed: ["0.1025", "0.7573", "0.1025", "0.0377"], exact: softmax([2, 4, 2, 1]) },
  { source: WHY, what: "base 1 on (2, 4, 2, 1)", printed: ["0.25", "0.25", "0.25", "0.25"], exact: based(1, [2, 4, 2, 1]) },
  { source: WHY, what: "base 100 on (2, 4, 2, 1), second", printed: ["0.9998"], exact: based(100, [2, 4, 2, 1]).slice(1, 2) },
];

export type Mark = "pass" | "cut" | "twice" | "fail";

/** Does a printed number agree with the exact one: rounded once, cut, rounded twice (one digit too far), or not at all? */
export function markOf(printed: string, exact: number, decimals?: number): Mark {
  const digits = decimals ?? (printed.split(".")[1] ?? "").length;
  const unit = 10 ** -digits;
  const gap = Math.abs(Number(printed) - exact);
  if (gap <= unit / 2 + 1e-12) return "pass";
  if (gap >= unit) return "fail";
  return Math.abs(Number(printed)) < Math.abs(exact) ? "cut" : "twice";
}

const WORST_FIRST: Mark[] = ["fail", "cut", "twice", "pass"];
const WORDS: Record<Mark, string> = { pass: "✓ reproduced", cut: "≈ digits cut, not rounded", twice: "≈ rounded twice", fail: "✗ not reproduced" };

export const workedSection: Section = {
  id: "worked",
  title: "The sources' worked numbers",
  lead: "Every worked number of the texts that this library answers, computed again. Most are right; some were cut where they should have been rounded.",
  build() {
    const marked = WORKED.map((worked) => ({ ...worked, marks: worked.printed.map((text, k) => markOf(text, worked.exact[k], worked.decimals)) }));
    const row = ({ what, printed, exact, marks }: (typeof marked)[number]) => {
      const overall = WORST_FIRST.find((mark) => marks.includes(mark))!;
      const n = marked.findIndex((other) => other.what === what);
      const shown = (k: number) => Math.min(8, (printed[k].split(".")[1] ?? "").length + 2);
      return h(
        "tr",
        {},
        h("td", {}, what),
        h("td", { "data-label": "printed" }, ...printed.map((text, k) => h("span", { class: `value ${marks[k]}` }, text.replace("-", "−")))),
        h("td", { "data-label": "exact" }, ...exact.map((x, k) => h("span", { class: "value" }, reading(`worked.${n}.${k}`, x, shown(k))))),
        h("td", { class: `stamp ${overall}` }, WORDS[overall]),
      );
    };
    const count = (mark: Mark) => marked.flatMap((worked) => worked.marks).filter((other) => other === mark).length;
    const total = marked.flatMap((worked) => worked.marks).length;
    const element = h(
      "div",
      {},
      h("p", { class: "tally" }, `${count("pass")} of ${total} printed numbers are right as printed; ${count("cut")} were cut and ${count("twice")} rounded twice, which moves the last digit; ${count("fail") || "none"} ${count("fail") === 1 ? "is" : "are"} wrong.`),
      ...[...new Set(WORKED.map((worked) => worked.source))].flatMap((source) => [
        h("h3", {}, source),
        h(
          "table",
          { class: "worked" },
          h("thead", {}, h("tr", {}, ...["", "printed", "exact", ""].map((text) => h(text ? "th" : "td", text ? { scope: "col" } : {}, text)))),
          h("tbody", {}, ...marked.filter((worked) => worked.source === source).map(row)),
        ),
      ]),
    );
    return { element, render: () => undefined };
  },
};
