import { dot as mark, line } from "@observablehq/plot";
import { dot } from "../maths/vectors";
import { chosen, className, members, type Section } from "../page";
import type { State } from "../state";
import { signedBars } from "../ui/bars";
import { chart, widthOf } from "../ui/chart";
import { button, choice, slider, type Control } from "../ui/controls";
import { h } from "../ui/dom";
import { reading } from "../ui/numbers";
import type { Member } from "../maths/member";

/** The member's own loss with a soft margin: the true class must win by `margin` more. */
function objective(member: Member, { target, margin }: State) {
  const handicapped = (z: number[]) => z.map((x, k) => (k === target ? x - margin : x));
  return {
    fault: (z: number[]) => member.fault(handicapped(z)),
    loss: (z: number[]) => member.loss(handicapped(z), target),
    gradient: (z: number[]) => member.lossGradient(handicapped(z), target),
  };
}

type Objective = ReturnType<typeof objective>;

/** The logits along `steps` steps of gradient descent. */
function descend({ gradient: slope, fault }: Objective, { logits, rate, steps }: State): number[][] {
  const path = [logits];
  for (let i = 0; i < steps; i++) {
    const z = path[i];
    const gradient = slope(z);
    const next = z.map((x, k) => x - rate * gradient[k]);
    if (fault(next) !== null || !next.every(Number.isFinite)) break;
    path.push(next);
  }
  return path;
}

export const learningSection: Section = {
  id: "learning",
  title: "Loss, gradient, and a step downhill",
  lead: "Name the true class, and the loss says how surprised the member is. For softmax the gradient is simply p − y: what was said, less what was so. A soft margin asks the true class to win by m.",
  build({ store }) {
    const gradientPlace = h("div");
    const lossPlace = h("div");
    const read = h("dl", { class: "readings wide" });
    const target = h("div");
    let targetControl: Control | null = null;
    const controls = [
      slider({ id: "margin", label: "soft margin m", min: 0, max: 4, step: 0.05, most: 10, get: () => store.state.margin, set: (margin) => store.set({ margin }) }),
      slider({ id: "rate", label: "step size η", min: 0, max: 4, step: 0.05, most: 10, get: () => store.state.rate, set: (rate) => store.set({ rate }) }),
      slider({ id: "steps", label: "steps", min: 0, max: 100, step: 1, digits: 0, get: () => store.state.steps, set: (steps) => store.set({ steps: Math.round(steps) }) }),
    ];
    const take = button("Take one step", () => {
      const path = descend(objective(chosen(store.state), store.state), { ...store.state, steps: 1 });
      store.set({ logits: path[path.length - 1].map((x) => Number(x.toPrecision(15))) });
    }, { id: "take-step", class: "primary" });
    const element = h(
      "div",
      { class: "split" },
      h("div", {}, target, h("figure", {}, gradientPlace, h("figcaption", {}, "Gradient of the loss by each logit: a step goes the other way.")), ...controls.map((c) => c.element), h("div", { class: "buttons" }, take)),
      h("div", {}, h("figure", {}, lossPlace, h("figcaption", {}, "The loss of every member along its own descent; the member in focus is strong.")), read),
    );
    return {
      element,
      render(state) {
        if (!targetControl || target.querySelectorAll("option").length !== state.logits.length) {
          targetControl = choice("true class", "target", state.logits.map((_, k) => [String(k), className(k)]), () => String(store.state.target), (value) => store.set({ target: Number(value) }));
          target.replaceChildren(targetControl.element);
        }
        for (const control of [...controls, targetControl]) control.update();
        const member = chosen(state);
        const learned = objective(member, state);
        const fault = learned.fault(state.logits);
        const loss = learned.loss(state.logits);
        if (fault || !Number.isFinite(loss)) {
          const why = fault ?? `class ${className(state.target)} has probability 0, and an infinite loss has no gradient`;
          gradientPlace.replaceChildren(h("p", { class: "fault" }, `${member.name}: ${why}.`));
          read.replaceChildren();
        } else {
          const gradient = learned.gradient(state.logits);
          gradientPlace.replaceChildren(signedBars("gradient", gradient));
          const after = descend(learned, { ...state, steps: 1 }).at(-1)!;
          read.replaceChildren(
            ...[
              ["loss now", "loss", loss],
              ["after one step", "loss.after", learned.loss(after)],
              ["promised by the gradient", "loss.promised", loss - state.rate * dot(gradient, gradient)],
              ["length of the gradient", "slope", Math.sqrt(dot(gradient, gradient))],
            ].flatMap(([term, name, value]) => [h("dt", {}, String(term)), h("dd", {}, reading(String(name), Number(value)))]),
          );
        }
        take.disabled = fault !== null || !Number.isFinite(loss);
        const curves = members(state)
          .map((m) => ({ member: m, own: objective(m, state) }))
          .filter(({ own }) => own.fault(state.logits) === null && Number.isFinite(own.loss(state.logits)))
          .map(({ member: m, own }) => ({ member: m, points: descend(own, state).map((z, i) => [i, own.loss(z)]) }))
          .sort((a, b) => Number(a.member.id === state.member) - Number(b.member.id === state.member));
        const isChosen = (m: Member) => m.id === state.member;
        const highest = Math.max(...(curves.find(({ member: m }) => isChosen(m)) ?? { points: [[0, 1]] }).points.map(([, y]) => y), 0.2);
        lossPlace.replaceChildren(
          chart("Loss along gradient descent", {
            width: widthOf(lossPlace, 560),
            height: 270,
            x: { label: "step", domain: [0, Math.max(1, state.steps)] },
            y: { label: "loss", grid: true, domain: [0, 1.35 * highest] },
            marks: curves.flatMap(({ member: m, points }) => [
              line(points, { stroke: isChosen(m) ? "var(--accent-strong)" : "var(--faint)", strokeWidth: isChosen(m) ? 2.75 : 1.4, clip: true, title: () => m.name }),
              mark(isChosen(m) ? points.slice(0, 30) : [], { fill: "var(--accent-strong)", r: 2.5 }),
            ]),
          }),
        );
      },
    };
  },
};
