import { entropy } from "../maths/entropy";
import type { Member, Traits } from "../maths/member";
import { members, type Page, type Section } from "../page";
import type { State } from "../state";
import { bars } from "../ui/bars";
import { button, slider, type Control } from "../ui/controls";
import { h } from "../ui/dom";
import { reading } from "../ui/numbers";

interface About {
  formula: string;
  word: string;
}

const ABOUT: Record<string, About> = {
  softmax: { formula: "p<sub>k</sub> ∝ e<sup>z<sub>k</sub></sup>", word: "Blind to a common shift; never quite zero." },
  linear: { formula: "p<sub>k</sub> ∝ z<sub>k</sub>", word: "Blind to a common factor; fails on negative scores." },
  min_shift: { formula: "p<sub>k</sub> ∝ z<sub>k</sub> − min z", word: "Always gives the last class exactly zero." },
  taylor: { formula: "p<sub>k</sub> ∝ Σ<sub>i≤n</sub> z<sub>k</sub><sup>i</sup>/i!", word: "Far below zero, an even order rises again." },
  spherical: { formula: "p<sub>k</sub> ∝ z<sub>k</sub><sup>2</sup> + ε", word: "The sign of a score is lost." },
  double_exponential: { formula: "p<sub>k</sub> ∝ exp(e<sup>z<sub>k</sub></sup>)", word: "Even sharper than softmax, and not blind to a shift." },
  softplus: { formula: "p<sub>k</sub> ∝ log(1 + e<sup>z<sub>k</sub></sup>)", word: "Exponential below zero, linear above." },
  entmax: { formula: "Ω = Σ (p<sup>α</sup> − p)/(α(α−1))", word: "From softmax (α = 1) to sparsemax (α = 2)." },
  sparsemax: { formula: "Ω = ½ |p|<sup>2</sup>", word: "The nearest point of the simplex; exact zeros." },
  hardmax: { formula: "Ω = 0", word: "The winner takes all; ties share." },
};

const TRAITS: Record<keyof Traits, [word: string, meaning: string]> = {
  shift: ["shift", "Adding one number to all logits changes nothing."],
  scale: ["scale", "Multiplying all logits by one positive number changes nothing."],
  order: ["order", "A larger logit never gets a smaller probability."],
  zeros: ["zeros", "Some probabilities are exactly 0."],
};

function card(page: Page, member: Member): { element: HTMLElement; render(state: State, member: Member): void } {
  const { store } = page;
  const body = h("div");
  const title = h("h4", {}, member.name);
  const focus = button("Focus", () => store.set({ member: member.id }), { class: "focus" });
  const parameter = parameterOf(page, member.id);
  const traits = h("ul", { class: "traits" });
  const element = h(
    "article",
    { class: "card", id: `card-${member.id}` },
    h("header", {}, title, focus),
    h("p", { class: "formula", html: ABOUT[member.id].formula }),
    body,
    parameter?.element ?? null,
    h("p", { class: "word" }, ABOUT[member.id].word),
    traits,
  );
  return {
    element,
    render(state, now) {
      title.textContent = now.name;
      const isChosen = state.member === now.id;
      element.classList.toggle("chosen", isChosen);
      focus.setAttribute("aria-pressed", String(isChosen));
      focus.setAttribute("aria-label", `Focus on ${now.name}`);
      focus.textContent = isChosen ? "In focus" : "Focus";
      parameter?.update();
      traits.replaceChildren(
        ...(Object.keys(TRAITS) as (keyof Traits)[]).map((trait) =>
          h("li", { class: now.traits[trait] ? "yes" : "no", title: TRAITS[trait][1] }, h("span", { class: "hidden" }, now.traits[trait] ? "has: " : "has not: "), TRAITS[trait][0]),
        ),
      );
      const fault = now.fault(state.logits);
      const p = now.value(state.logits);
      body.replaceChildren(
        bars(`p.${now.id}`, p),
        fault
          ? h("p", { class: "fault" }, `Not a distribution: ${fault}.`)
          : h("p", { class: "fact" }, "entropy ", reading(`entropy.${now.id}`, entropy(now, state.logits), 3), " nats"),
      );
    },
  };
}

function parameterOf({ store }: Page, id: string): Control | null {
  if (id === "taylor")
    return slider({ id: "order", label: "order n", min: 1, max: 8, step: 1, digits: 0, get: () => store.state.order, set: (order) => store.set({ order: Math.round(order) }) });
  if (id === "spherical")
    return slider({ id: "epsilon", label: "ε", min: 0, max: 2, step: 0.01, digits: 3, get: () => store.state.epsilon, set: (epsilon) => store.set({ epsilon }) });
  if (id === "entmax")
    return slider({ id: "alpha", label: "α", min: 1, max: 3, step: 0.05, digits: 2, get: () => store.state.alpha, set: (alpha) => store.set({ alpha }) });
  return null;
}

/** What only softmax has: the answer to "why exp?". */
const why = () =>
  h(
    "div",
    { class: "why" },
    h("ul", {}, ...[
      "<b>Why exp?</b> Among all functions φ only the exponential ignores a common shift of the logits.",
      "Its loss −log p<sub>y</sub> has the plain gradient p − y, as on the second road.",
      "Among all distributions with the same mean score it has the largest entropy.",
    ].map((html) => h("li", { html }))),
  );

export const familySection: Section = {
  id: "family",
  title: "The family, side by side",
  lead: "There are two roads from scores to probabilities: make every score positive and divide by the sum, or ask which point of the simplex agrees best with the scores under a penalty Ω. Softmax is the only map on both.",
  build(page) {
    const cards = members(page.store.state).map((member) => ({ member, card: card(page, member) }));
    const group = (road: string, title: string, formula: string) =>
      h(
        "section",
        { class: `road ${road}` },
        h("h3", {}, title, " ", h("span", { class: "formula", html: formula })),
        h("div", { class: "cards" }, ...cards.filter(({ member }) => member.road === road).map((item) => item.card.element)),
      );
    const meeting = group("both", "Where the roads meet", "φ = exp, Ω = Σ p log p");
    meeting.querySelector(".cards")!.append(why());
    const element = h(
      "div",
      { class: "family" },
      meeting,
      group("scores", "First road: normalised scores", "p = φ(z) / Σ φ(z)"),
      group("argmax", "Second road: regularised argmax", "p = argmax ⟨p, z⟩ − Ω(p)"),
      h("p", { class: "hint" }, "Filled tags hold everywhere: a common shift changes nothing, a common factor changes nothing, order is kept, exact zeros occur."),
    );
    return {
      element,
      render(state) {
        members(state).forEach((member, i) => cards[i].card.render(state, member));
      },
    };
  },
};
