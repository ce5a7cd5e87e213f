import { areaY, contour, dot, line, ruleX } from "@observablehq/plot";
import { entropy, entropyExpansion, entropyGradient } from "../maths/entropy";
import { dot as inner } from "../maths/vectors";
import { chosen, type Section } from "../page";
import { chart, widthOf } from "../ui/chart";
import { slider } from "../ui/controls";
import { h } from "../ui/dom";
import { reading } from "../ui/numbers";

const REACH = 3;

export const surfaceSection: Section = {
  id: "entropy",
  title: "The entropy surface",
  lead: "Entropy measures how undecided p is. Move the logits of A and B away from where they are: the left map is the entropy itself, the right one its second-order expansion, and they part as the step grows.",
  build({ store }) {
    const exactMap = h("div");
    const quadraticMap = h("div");
    const section = h("div");
    const read = h("dl", { class: "readings wide" });
    const controls = [
      slider({ id: "step-x", label: "step of A", min: -REACH, max: REACH, step: 0.05, get: () => store.state.stepX, set: (stepX) => store.set({ stepX }) }),
      slider({ id: "step-y", label: "step of B", min: -REACH, max: REACH, step: 0.05, get: () => store.state.stepY, set: (stepY) => store.set({ stepY }) }),
    ];
    const cut = h("figure", {}, section, h("figcaption", {}, "Along the step and beyond: the entropy (solid), its tangent (dotted) and its parabola (dashed)."));
    const note = h("p", { class: "fault" });
    const frame = h(
      "div",
      {},
      h("div", { class: "pair" }, h("figure", {}, exactMap, h("figcaption", {}, "Entropy H(z + Δ)")), h("figure", {}, quadraticMap, h("figcaption", {}, "Its second-order expansion around z, held between 0 and log K"))),
      h("div", { class: "split" }, cut, h("div", {}, ...controls.map((control) => control.element), read)),
    );
    return {
      element: h("div", {}, note, frame),
      render(state) {
        for (const control of controls) control.update();
        const member = chosen(state);
        const z = state.logits;
        const fault = member.fault(z);
        note.textContent = `${member.name} is not a distribution here: ${fault}.`;
        note.hidden = fault === null;
        frame.hidden = fault !== null;
        if (fault !== null) return;
        const step = (x: number, y: number) => z.map((_, k) => (k === 0 ? x : k === 1 ? y : 0));
        const exact = (x: number, y: number) => {
          const moved = z.map((value, k) => value + (k === 0 ? x : k === 1 ? y : 0));
          return member.fault(moved) === null ? entropy(member, moved) : NaN;
        };
        const quadratic = entropyExpansion(member, z);
        const gradient = entropyGradient(member, z);
        const most = Math.log(z.length);
        const map = (label: string, place: HTMLElement, f: (x: number, y: number) => number) => {
          const width = widthOf(place, 460);
          place.replaceChildren(
            chart(label, {
              width,
              height: width * 0.86,
              x: { label: "Δ of A", domain: [-REACH, REACH], ticks: 7 },
              y: { label: "Δ of B", domain: [-REACH, REACH], ticks: 7 },
              color: { type: "linear", scheme: "cividis", domain: [0, most], clamp: true, legend: false },
              marks: [
                contour({ fill: (x: number, y: number) => Math.max(0, Math.min(most, f(x, y))), x1: -REACH, x2: REACH, y1: -REACH, y2: REACH, thresholds: [-1, ...Array.from({ length: 13 }, (_, i) => ((i + 1) / 14) * most)], stroke: "white", strokeOpacity: 0.35, strokeWidth: 0.6, pixelSize: 8 }),
                line([[0, 0], [state.stepX, state.stepY]], { stroke: "white", strokeWidth: 2 }),
                dot([[0, 0]], { fill: "white", stroke: "black", r: 4 }),
                dot([[state.stepX, state.stepY]], { fill: "var(--accent-strong)", stroke: "white", strokeWidth: 1.5, r: 6 }),
              ],
            }),
          );
        };
        map("Contour map of the entropy around the present logits", exactMap, exact);
        map("Contour map of the second-order expansion of the entropy", quadraticMap, (x, y) => quadratic(step(x, y)));

        const along = Array.from({ length: 121 }, (_, i) => (i / 120) * 4 - 2);
        const curve = (f: (x: number, y: number) => number) => along.map((t) => [t, f(t * state.stepX, t * state.stepY)]).filter(([, y]) => y > -0.15 && y < most * 1.3);
        const h0 = exact(0, 0);
        section.replaceChildren(
          chart("Entropy along the step, with its first and second-order expansions", {
            width: widthOf(section),
            height: 250,
            x: { label: "multiple of the step" },
            y: { label: "nats", domain: [-0.15, most * 1.3], grid: true },
            marks: [
              areaY(curve(exact), { x: "0", y1: 0, y2: "1", fill: "var(--accent)", fillOpacity: 0.12 }),
              ruleX([0, 1], { stroke: "currentColor", strokeOpacity: 0.35 }),
              line(curve((x, y) => h0 + inner(gradient, step(x, y))), { stroke: "var(--muted)", strokeDasharray: "1 4", strokeLinecap: "round", strokeWidth: 2 }),
              line(curve((x, y) => quadratic(step(x, y))), { stroke: "var(--warm)", strokeDasharray: "6 4", strokeWidth: 2 }),
              line(curve(exact), { stroke: "var(--accent-strong)", strokeWidth: 2.5 }),
            ],
          }),
        );
        const truth = exact(state.stepX, state.stepY);
        const expanded = quadratic(step(state.stepX, state.stepY));
        read.replaceChildren(
          ...[
            ["H(z)", "surface.here", h0],
            ["H(z + Δ)", "surface.there", truth],
            ["expansion", "surface.expansion", expanded],
            ["its error", "surface.error", expanded - truth],
          ].flatMap(([term, name, value]) => [h("dt", {}, String(term)), h("dd", {}, reading(String(name), Number(value), 5))]),
        );
      },
    };
  },
};
