import { h } from "./dom";

const MINUS = "\u2212";
const SUPERSCRIPT: Record<string, string> = { "-": "⁻", ...Object.fromEntries([..."0123456789"].map((d, i) => [d, "⁰¹²³⁴⁵⁶⁷⁸⁹"[i]])) };

/** A number for reading: fixed digits where they say something, a power of ten where they would not. */
export function pretty(x: number, digits = 4): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : `${MINUS}∞`;
  const size = Math.abs(x);
  let text: string;
  if (size === 0) text = "0";
  else if (size >= 10 ** 6 || size < 0.5 * 10 ** -digits) {
    const [mantissa, exponent] = size.toExponential(Math.min(2, digits)).split("e");
    text = `${mantissa}·10${[...exponent.replace("+", "")].map((c) => SUPERSCRIPT[c]).join("")}`;
  } else text = size.toFixed(size >= 1000 ? Math.max(0, digits - 2) : digits);
  return (x < 0 ? MINUS : "") + text;
}

/** Fixed decimals without trailing noise, for settings. */
export const setting = (x: number, digits = 2): string => String(Number(x.toFixed(digits))).replace("-", MINUS);

/** A number on the page that carries all its digits: as its value, and on hovering. */
export function reading(name: string, x: number, digits = 4): HTMLElement {
  return h("data", { value: String(x), title: String(x), "data-read": name }, pretty(x, digits));
}
