import { entropy } from "./maths/entropy";
import { MEMBER_IDS } from "./maths/family";
import { logSumExp } from "./maths/exponential";
import { members, softmaxOf, type Page } from "./page";
import { CLASSES, INITIAL, type State } from "./state";
import { chip } from "./ui/bars";
import { button, choice, logSlider, slider, type Control } from "./ui/controls";
import { h } from "./ui/dom";
import { reading } from "./ui/numbers";

const PRESETS: Record<string, number[]> = {
  "a clear winner": [2, 1, -1],
  "a tie": [1, 1, -1],
  "one outlier": [6, 0.2, 0, -0.2],
  "all equal": [0, 0, 0],
  "all positive": [2, 4, 2, 1],
  "far below zero": [-3, -4, -6],
  "the sources' test point": [0.3, -1.2, 0.8],
};

const round = (x: number) => Number(x.toPrecision(12));

/** Logits, temperature and base: the controls that every section follows. */
export function panel({ store, data }: Page): { element: HTMLElement; render(state: State): void } {
  const rows = h("ol", { class: "logits" });
  const read = h("dl", { class: "readings" });
  let sliders: Control[] = [];

  const setLogit = (k: number, value: number) => {
    const logits = [...store.state.logits];
    logits[k] = value;
    store.set({ logits });
  };

  function buildRows(count: number): void {
    sliders = Array.from({ length: count }, (_, k) =>
      slider({
        id: `logit-${k}`,
        label: `Logit ${String.fromCharCode(65 + k)}`,
        min: -8,
        max: 8,
        step: 0.05,
        digits: 4,
        least: -1e6,
        most: 1e6,
        get: () => store.state.logits[k] ?? 0,
        set: (value) => setLogit(k, value),
      }),
    );
    rows.replaceChildren(...sliders.map((control, k) => h("li", {}, chip(k), control.element)));
  }

  const fewer = button("Remove class", () => store.set({ logits: store.state.logits.slice(0, -1) }), { id: "fewer" });
  const more = button("Add class", () => store.set({ logits: [...store.state.logits, 0] }), { id: "more" });
  const shift = button("Add 1 to all", () => store.set({ logits: store.state.logits.map((z) => round(z + 1)) }), {
    title: "Softmax does not notice; most other members do.",
  });
  const presets = h("select", {
    id: "preset",
    "aria-label": "Example logits",
    onchange: () => {
      if (presets.value) store.set({ logits: [...PRESETS[presets.value]] });
    },
  });
  presets.append(h("option", { value: "" }, "Examples…"), ...Object.keys(PRESETS).map((name) => h("option", { value: name }, name)));

  const temperature = logSlider({
    id: "temperature",
    label: "Temperature T",
    min: 0.1,
    max: 10,
    step: 0.005,
    digits: 3,
    least: 0.001,
    most: 1000,
    get: () => (store.state.beta > 0 ? 1 / store.state.beta : Infinity),
    set: (value) => store.set({ beta: 1 / value }),
  });
  const base = slider({
    id: "base",
    label: "Base ψ",
    min: -3,
    max: 10,
    step: 0.05,
    digits: 4,
    least: 1e-3,
    most: 1e6,
    get: () => Math.exp(store.state.beta),
    set: (value) => store.set({ beta: round(Math.log(value)) }),
    toPosition: Math.log,
    fromPosition: Math.exp,
  });
  const knob = h("p", { class: "hint" });

  const member = choice(
    "Member in focus",
    "member",
    MEMBER_IDS.map((id) => [id, id]),
    () => store.state.member,
    (id) => store.set({ member: id }),
  );
  const reset = button("Start again", () => store.set({ ...INITIAL }));

  const picker = data ? rowPicker(data, store) : null;

  const element = h(
    "aside",
    { class: "panel", id: "panel", "aria-label": "Logits, temperature and base" },
    h("h2", {}, "The scores"),
    picker,
    rows,
    h("div", { class: "buttons" }, more, fewer, shift, presets),
    h("h2", {}, "One knob, two names"),
    temperature.element,
    base.element,
    knob,
    h("h2", {}, "In focus"),
    member.element,
    read,
    h("div", { class: "buttons" }, reset),
  );

  return {
    element,
    render(state) {
      if (sliders.length !== state.logits.length) buildRows(state.logits.length);
      for (const control of [...sliders, temperature, base, member]) control.update();
      for (const option of element.querySelectorAll<HTMLOptionElement>("#member option"))
        option.textContent = members(state).find((m) => m.id === option.value)!.name;
      fewer.disabled = state.logits.length <= CLASSES.fewest;
      more.disabled = state.logits.length >= CLASSES.most;
      const off = state.beta <= 0;
      temperature.element.classList.toggle("off", off);
      for (const input of temperature.element.querySelectorAll("input")) input.disabled = off;
      knob.textContent =
        state.beta > 0
          ? "ψ = e^(1/T): a colder temperature is a larger base, and a sharper choice."
          : state.beta === 0
            ? "ψ = 1 is an infinite temperature: every class alike."
            : "A base below 1 turns the order round, which no temperature does: sm.softmin with base 1/ψ.";
      presets.value = Object.keys(PRESETS).find((name) => String(PRESETS[name]) === String(state.logits)) ?? "";
      const scaledLogits = state.logits.map((z) => state.beta * z);
      read.replaceChildren(
        h("dt", {}, "log-sum-exp of z/T"),
        h("dd", {}, reading("logsumexp", logSumExp(scaledLogits))),
        h("dt", {}, "entropy of softmax"),
        h("dd", {}, reading("entropy", entropy(softmaxOf(state), state.logits)), " nats"),
      );
    },
  };
}

/** Step through the rows that came with the page; of many classes, the ten with the largest logits are shown. */
function rowPicker(data: NonNullable<Page["data"]>, store: Page["store"]): HTMLElement {
  const note = h("p", { class: "hint" });
  const names = (k: number) => data.classes?.[k] ?? String(k);
  const input = h("input", { type: "number", id: "row", min: 1, max: data.logits.length, placeholder: "1", oninput: () => show(Number(input.value)) });
  function show(row: number): void {
    if (!Number.isInteger(row) || row < 1 || row > data.logits.length) return;
    const z = data.logits[row - 1];
    const order = z.map((_, k) => k);
    const kept = z.length <= CLASSES.most ? order : order.sort((a, b) => z[b] - z[a]).slice(0, CLASSES.most);
    const label = data.labels?.[row - 1];
    const legend = kept.map((k, i) => `${String.fromCharCode(65 + i)} = ${names(k)}`).join(", ");
    note.textContent = `${legend}${z.length > kept.length ? `; the other ${z.length - kept.length} classes have smaller logits` : ""}${label === undefined ? "" : `. True class: ${names(label)}`}.`;
    store.set({ logits: kept.map((k) => z[k]), target: label === undefined ? store.state.target : Math.max(0, kept.indexOf(label)) });
  }
  if (store.state.logits === INITIAL.logits) {
    input.value = "1"; // a page with data opens on its first row, unless the address says otherwise
    show(1);
  }
  const step = (by: number) => {
    const next = Math.min(data.logits.length, Math.max(1, (Number(input.value) || 0) + by));
    input.value = String(next);
    show(next);
  };
  return h(
    "div",
    { class: "picker" },
    h("label", { for: "row" }, `Row of your model's logits, 1 to ${data.logits.length.toLocaleString("en")}`),
    h("div", { class: "buttons" }, button("Previous", () => step(-1)), input, button("Next", () => step(1))),
    note,
  );
}
