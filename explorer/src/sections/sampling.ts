import { softmax } from "../maths/exponential";
import { Random } from "../maths/random";
import { indexOfLargest } from "../maths/vectors";
import { classColour, softmaxOf, type Section } from "../page";
import { chip } from "../ui/bars";
import { button, logSlider } from "../ui/controls";
import { h, s } from "../ui/dom";
import { reading } from "../ui/numbers";
import { place, triangle } from "../ui/triangle";

const CLOUD = 500;

export const samplingSection: Section = {
  id: "sampling",
  title: "Sampling with Gumbel noise",
  lead: "Add independent Gumbel noise to the logits and take the largest: the winner is a draw from softmax, exactly. Put a softmax in place of the argmax and the draw becomes differentiable, the sharper the colder τ.",
  build({ store }) {
    const one = h("div");
    const many = h("div");
    const { root, canvas } = triangle("Relaxed samples on the simplex of the first three classes");
    const cloud = s("g", { class: "cloud" });
    canvas.append(cloud);
    const draws = logSlider({ id: "draws", label: "draws", min: 1, max: 100_000, step: 0.01, digits: 0, get: () => store.state.draws, set: (x) => store.set({ draws: Math.round(x) }) });
    const tau = logSlider({ id: "tau", label: "τ of the relaxation", min: 0.05, max: 5, step: 0.005, least: 0.01, most: 10, get: () => store.state.tau, set: (x) => store.set({ tau: x }) });
    const again = button("Draw again", () => store.set({ seed: (store.state.seed + 1) % 2 ** 32 }), { class: "primary", id: "again" });
    const element = h(
      "div",
      { class: "split" },
      h("div", {}, h("div", { class: "buttons" }, again), h("h3", {}, "One draw"), one, h("h3", {}, "Many draws"), draws.element, many),
      h("figure", {}, tau.element, root, h("figcaption", {}, `${CLOUD} relaxed draws softmax((z + G)/τ) of the first three classes, coloured by their winner.`)),
    );
    return {
      element,
      render(state) {
        draws.update();
        tau.update();
        const p = softmaxOf(state).value(state.logits);
        const z = state.logits.map((x) => state.beta * x);
        const noise = new Random(state.seed);
        const first = z.map(() => noise.gumbel());
        const perturbed = z.map((x, k) => x + first[k]);
        const winner = indexOfLargest(perturbed);
        one.replaceChildren(
          h(
            "table",
            { class: "numbers" },
            h("thead", {}, h("tr", {}, ...["class", "logit / T", "+ noise", "= sum", ""].map((text) => h("th", { scope: "col" }, text)))),
            h("tbody", {}, ...z.map((x, k) => h("tr", { class: k === winner ? "winner" : "" }, h("td", {}, chip(k)), h("td", {}, reading(`scaled.${k}`, x, 3)), h("td", {}, reading(`gumbel.${k}`, first[k], 3)), h("td", {}, reading(`perturbed.${k}`, perturbed[k], 3)), h("td", {}, k === winner ? "drawn" : "")))),
          ),
        );
        const random = new Random(state.seed);
        const counts = z.map(() => 0);
        for (let i = 0; i < state.draws; i++) counts[indexOfLargest(z.map((x) => x + random.gumbel()))] += 1;
        many.replaceChildren(
          h(
            "ul",
            { class: "bars frequencies" },
            ...counts.map((count, k) => {
              const share = count / state.draws;
              const spread = 1.96 * Math.sqrt((p[k] * (1 - p[k])) / state.draws);
              const [low, high] = [Math.max(0, p[k] - spread), Math.min(1, p[k] + spread)];
              return h(
                "li",
                {},
                chip(k),
                h("span", { class: "track" }, h("span", { class: "fill", style: `--class:${classColour(k)};width:${share * 100}%` }), h("span", { class: "expected", style: `left:${low * 100}%;width:${(high - low) * 100}%` })),
                reading(`frequency.${k}`, share, 3),
              );
            }),
          ),
          h("p", { class: "hint" }, "Bars: how often each class won. Brackets: where 95 of 100 repetitions fall if softmax is right."),
        );
        root.classList.toggle("off", z.length < 3);
        if (z.length >= 3) {
          const relaxed = new Random(state.seed + 1);
          cloud.replaceChildren(
            ...Array.from({ length: CLOUD }, () => {
              const y = softmax(z.slice(0, 3).map((x) => (x + relaxed.gumbel()) / state.tau));
              const [cx, cy] = place(y);
              return s("circle", { cx: cx.toFixed(1), cy: cy.toFixed(1), r: 2.6, fill: classColour(indexOfLargest(y)) });
            }),
          );
        } else cloud.replaceChildren();
      },
    };
  },
};
