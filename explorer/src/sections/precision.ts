import { FORMATS, softmaxIn, type Trace } from "../maths/formats";
import { softmax } from "../maths/exponential";
import { className, type Section } from "../page";
import { slider } from "../ui/controls";
import { h } from "../ui/dom";
import { pretty, reading } from "../ui/numbers";

const isBroken = (x: number) => !Number.isFinite(x);

function verdict(trace: Trace, truth: number[], epsilon: number): { word: string; kind: "good" | "fair" | "bad" } {
  if (trace.probabilities.some(Number.isNaN)) return { word: "not a number", kind: "bad" };
  const worst = Math.max(...trace.probabilities.map((p, k) => Math.abs(p - truth[k])));
  if (Math.abs(trace.probabilities.reduce((a, b) => a + b, 0) - 1) > 0.1) return { word: "not a distribution", kind: "bad" };
  if (worst <= 8 * epsilon) return { word: "all digits right", kind: "good" };
  return { word: `off by ${pretty(worst, 2)}`, kind: "fair" };
}

export const precisionSection: Section = {
  id: "precision",
  title: "Where floating point breaks, and the max trick",
  lead: "Softmax ignores a common shift, but exp does not: add a constant to the logits and watch each format overflow or underflow, while subtracting the largest logit first keeps every one of them safe.",
  build({ store }) {
    const control = slider({ id: "shift", label: "added to every logit", min: -120, max: 800, step: 1, digits: 2, least: -1000, most: 100_000, get: () => store.state.shift, set: (shift) => store.set({ shift }), hint: "float16 overflows above 11.09, float32 and bfloat16 above 88.7, float64 above 709.8. Type up to 100000 to see the shift itself lose digits." });
    const place = h("div", { class: "formats" });
    return {
      element: h("div", {}, control.element, place),
      render(state) {
        control.update();
        const scaled = state.logits.map((z) => state.beta * z);
        const truth = softmax(scaled);
        const shifted = scaled.map((z) => z + state.shift);
        place.style.setProperty("--narrowest", `${7.5 + 4.8 * state.logits.length}rem`);
        place.replaceChildren(
          ...FORMATS.map((format) => {
            const line = (label: string, values: number[], name?: string) =>
              h("tr", {}, h("th", { scope: "row" }, label), ...values.map((x, k) => h("td", { class: isBroken(x) ? "broken" : "" }, name ? reading(`${name}.${k}`, x) : pretty(x, 3))));
            const table = (title: string, id: string, maxTrick: boolean) => {
              const trace = softmaxIn(format, shifted, maxTrick);
              const { word, kind } = verdict(trace, truth, format.epsilon);
              return h(
                "table",
                {},
                h("caption", {}, h("span", {}, title), h("span", { class: `verdict ${kind}` }, word)),
                h("thead", {}, h("tr", {}, h("td"), ...state.logits.map((_, k) => h("th", { scope: "col" }, className(k))))),
                h("tbody", {}, line(maxTrick ? "z − max" : "z", trace.logits), line("exp", trace.exponentials), line("p", trace.probabilities, `${format.name}.${id}`)),
                h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "sum"), h("td", { colspan: state.logits.length, class: isBroken(trace.total) || trace.total === 0 ? "broken" : "" }, pretty(trace.total, 3)))),
              );
            };
            return h("article", { class: "format" }, h("h3", {}, format.name, h("small", {}, ` up to ${pretty(format.largest, 0)}`)), h("div", { class: "scroll" }, table("As written", "plain", false)), h("div", { class: "scroll" }, table("With the max trick", "safe", true)));
          }),
        );
      },
    };
  },
};
