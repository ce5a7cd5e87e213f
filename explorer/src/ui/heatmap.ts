import { magnitude, type Matrix } from "../maths/vectors";
import { h } from "./dom";
import { reading } from "./numbers";

interface HeatOptions {
  caption: string;
  rows: string[];
  columns: string[];
  name: string;
  /** the value of full colour; the largest entry unless several maps share one scale */
  scale?: number;
  /** print the numbers, or leave them to hovering */
  numbers?: boolean;
  digits?: number;
}

/** A matrix as a table: orange above zero, blue below, its number in every cell. */
export function heatmap(values: Matrix, options: HeatOptions): HTMLElement {
  const scale = options.scale ?? magnitude(values);
  const cell = (value: number, i: number, j: number) => {
    const strength = scale > 0 && Number.isFinite(value) ? Math.round((Math.abs(value) / scale) * 100) : 0;
    return h(
      "td",
      {
        class: `${value < 0 ? "below" : "above"}${strength > (value < 0 ? 83 : 78) ? " strong" : ""}`, // where black begins to read better than white
        style: `--strength:${strength}%`,
        title: `${options.rows[i]}, ${options.columns[j]}: ${value}`,
      },
      options.numbers === false ? h("data", { value: String(value), "data-read": `${options.name}.${i}.${j}` }) : reading(`${options.name}.${i}.${j}`, value, options.digits ?? 3),
    );
  };
  return h(
    "table",
    { class: `heat${options.numbers === false ? " small" : ""}` },
    h("caption", { html: options.caption }),
    h("thead", {}, h("tr", {}, h("td"), ...options.columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...values.map((row, i) => h("tr", {}, h("th", { scope: "row" }, options.rows[i]), ...row.map((value, j) => cell(value, i, j))))),
  );
}
