import { h } from "./dom";
import { setting } from "./numbers";

export interface Control {
  element: HTMLElement;
  update(): void;
}

interface SliderOptions {
  label: string;
  /** bounds and step of the slider itself */
  min: number;
  max: number;
  step: number;
  get(): number;
  set(value: number): void;
  /** slider position <-> value, for logarithmic scales */
  toPosition?(value: number): number;
  fromPosition?(position: number): number;
  digits?: number;
  /** what may be typed; wider than the slider where that is useful */
  least?: number;
  most?: number;
  id: string;
  hint?: string;
}

/** A slider and the number it stands for, both of which may be used. */
export function slider(options: SliderOptions): Control {
  const { toPosition = (x) => x, fromPosition = (x) => x, digits = 2, least = options.min, most = options.max } = options;
  const range = h("input", {
    type: "range",
    id: options.id,
    min: options.min,
    max: options.max,
    step: options.step,
    oninput: () => options.set(Number(fromPosition(Number(range.value)).toPrecision(12))),
  });
  const number = h("input", {
    type: "number",
    id: `${options.id}-value`,
    step: "any",
    "aria-label": `${options.label}, value`,
    oninput: () => {
      const value = Number(number.value);
      if (number.value !== "" && value >= least && value <= most) options.set(value);
    },
    onblur: () => update(),
  });
  function update(): void {
    const value = options.get();
    const position = toPosition(value);
    if (position < Number(range.min)) range.min = String(Math.floor(position)); // grows, and never shrinks under the hand
    if (position > Number(range.max) && Number.isFinite(position)) range.max = String(Math.ceil(position));
    range.value = String(position);
    range.setAttribute("aria-valuetext", setting(value, digits));
    const span = Number(range.max) - Number(range.min);
    range.style.setProperty("--filled", `${((Number(range.value) - Number(range.min)) / span) * 100}%`);
    if (document.activeElement !== number) number.value = Number.isFinite(value) ? String(Number(value.toFixed(digits))) : "";
  }
  update();
  const element = h(
    "div",
    { class: "slider" },
    h("label", { for: options.id }, options.label),
    range,
    number,
    options.hint ? h("p", { class: "hint" }, options.hint) : null,
  );
  return { element, update };
}

/** A slider on a logarithmic scale. */
export const logSlider = (options: SliderOptions): Control =>
  slider({
    ...options,
    least: options.least ?? options.min,
    most: options.most ?? options.max,
    min: Math.log10(options.min),
    max: Math.log10(options.max),
    toPosition: Math.log10,
    fromPosition: (x) => 10 ** x,
  });

export function button(text: string, onclick: () => void, attributes: Record<string, unknown> = {}): HTMLButtonElement {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

export function choice(label: string, id: string, options: [value: string, text: string][], get: () => string, set: (value: string) => void): Control {
  const select = h("select", { id, onchange: () => set(select.value) });
  const fill = () => select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  fill();
  select.value = get();
  return {
    element: h("div", { class: "choice" }, h("label", { for: id }, label), select),
    update: () => {
      select.value = get();
    },
  };
}
