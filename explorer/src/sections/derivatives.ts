import { chosen, className, type Section } from "../page";
import { magnitude, sum } from "../maths/vectors";
import { h } from "../ui/dom";
import { heatmap } from "../ui/heatmap";
import { reading } from "../ui/numbers";

/** The largest singular value of a small matrix, by power iteration on J'J. */
function spectralNorm(J: number[][]): number {
  let v = J.map((_, i) => Math.cos(1 + 3 * i));
  let norm = 0;
  for (let i = 0; i < 200; i++) {
    const forward = J.map((row) => sum(row.map((x, j) => x * v[j])));
    const back = v.map((_, j) => sum(J.map((row, k) => row[j] * forward[k])));
    norm = Math.hypot(...back);
    if (norm === 0) return 0;
    v = back.map((x) => x / norm);
  }
  return Math.sqrt(norm);
}

export const derivativesSection: Section = {
  id: "derivatives",
  title: "First and second derivatives",
  lead: "The Jacobian says how every probability answers to every logit, and the second derivative how that answer bends; each column of either sums to zero, for probability is only ever moved.",
  build() {
    const first = h("div");
    const facts = h("ul", { class: "facts" });
    const second = h("div", { class: "slices" });
    const note = h("p", { class: "fault" });
    const frame = h(
      "div",
      {},
      h("div", { class: "split" }, h("figure", {}, first), facts),
      h("h3", {}, "Second derivative ", h("span", { class: "formula", html: "∂²p<sub>i</sub> / ∂z<sub>j</sub>∂z<sub>k</sub>" })),
      second,
    );
    return {
      element: h("div", {}, note, frame),
      render(state) {
        const member = chosen(state);
        const fault = member.fault(state.logits);
        note.textContent = `${member.name} is not a distribution here: ${fault}.`;
        note.hidden = fault === null;
        frame.hidden = fault !== null;
        if (fault !== null) return;
        const J = member.jacobian(state.logits);
        const T = member.second(state.logits);
        const names = J.map((_, k) => className(k));
        const [outputs, inputs] = [names.map((n) => `p ${n}`), names.map((n) => `z ${n}`)];
        const columnSum = Math.max(...J.map((_, j) => Math.abs(sum(J.map((row) => row[j])))));
        const rowSum = Math.max(...J.map((row) => Math.abs(sum(row))));
        const asymmetry = magnitude(J.map((row, i) => row.map((x, j) => x - J[j][i])));
        first.replaceChildren(heatmap(J, { caption: `Jacobian of ${member.name}, <span class="formula">∂p<sub>i</sub> / ∂z<sub>j</sub></span>`, rows: outputs, columns: inputs, name: "jacobian", numbers: J.length <= 7 }));
        const fact = (holds: boolean, text: string, value: HTMLElement) => h("li", { class: holds ? "yes" : "no" }, text, " ", value);
        const tiny = 1e-12 * Math.max(1, magnitude(J));
        facts.replaceChildren(
          fact(columnSum < tiny, "Columns sum to zero: probability is moved, never made. Largest sum", reading("fact.columns", columnSum, 2)),
          fact(rowSum < tiny, rowSum < tiny ? "Rows sum to zero: adding one number to all logits changes nothing. Largest sum" : "Rows do not sum to zero: a common shift of the logits matters. Largest sum", reading("fact.rows", rowSum, 4)),
          fact(asymmetry < tiny, asymmetry < tiny ? "Symmetric: p is the gradient of a potential. Largest difference" : "Not symmetric: p is not the gradient of a potential. Largest difference", reading("fact.symmetry", asymmetry, 4)),
          h("li", { class: "plain" }, "Largest stretch ‖J‖ ", reading("fact.norm", spectralNorm(J), 4), state.member === "softmax" ? `; for softmax at most half of |β|, ${(Math.abs(state.beta) / 2).toFixed(3)}` : ""),
        );
        const scale = Math.max(...T.map(magnitude));
        second.replaceChildren(
          ...T.map((slice, i) => heatmap(slice, { caption: `<b>p ${names[i]}</b>`, rows: inputs, columns: inputs, name: `second.${i}`, scale, numbers: T.length <= 4, digits: 3 })),
        );
      },
    };
  },
};
