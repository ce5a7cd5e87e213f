import { classColour, className } from "../page";
import { h } from "./dom";
import { reading } from "./numbers";

export const chip = (k: number): HTMLElement => h("span", { class: "chip", style: `--class:${classColour(k)}` }, className(k));

/** Probabilities as bars, one line a class. */
export function bars(name: string, values: number[], digits = 3): HTMLElement {
  return h(
    "ul",
    { class: "bars" },
    ...values.map((value, k) =>
      h(
        "li",
        { class: value === 0 ? "zero" : "" },
        chip(k),
        h("span", { class: "track" }, h("span", { class: "fill", style: `--class:${classColour(k)};width:${Math.max(0, Math.min(1, value)) * 100}%` })),
        reading(`${name}.${k}`, value, digits),
      ),
    ),
  );
}

/** Numbers of either sign as bars from a common zero. */
export function signedBars(name: string, values: number[], digits = 4): HTMLElement {
  const scale = Math.max(...values.filter(Number.isFinite).map(Math.abs), 1e-300);
  return h(
    "ul",
    { class: "bars signed" },
    ...values.map((value, k) => {
      const share = Number.isFinite(value) ? (Math.abs(value) / scale) * 50 : 0;
      return h(
        "li",
        {},
        chip(k),
        h(
          "span",
          { class: "track" },
          h("span", { class: `fill ${value < 0 ? "below" : "above"}`, style: `width:${share}%;${value < 0 ? `right:50%` : `left:50%`}` }),
        ),
        reading(`${name}.${k}`, value, digits),
      );
    }),
  );
}
