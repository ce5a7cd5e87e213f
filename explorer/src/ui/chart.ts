import { plot, type PlotOptions } from "@observablehq/plot";

/** An Observable Plot in the page's own type and colours, with words for those who cannot see it. */
export function chart(label: string, options: PlotOptions): HTMLElement | SVGElement {
  return plot({
    className: "chart",
    ariaLabel: label,
    marginBottom: 42,
    ...options,
    x: { labelOffset: 38, labelAnchor: "center", labelArrow: "none", ...options.x },
    y: { labelArrow: "none", ...options.y },
    style: { background: "transparent", color: "inherit", fontFamily: "inherit", fontSize: "12px", overflow: "visible" },
  }) as HTMLElement | SVGElement;
}

/** Inner width of the place a chart goes to, within what stays readable. */
export const widthOf = (element: HTMLElement, most = 640): number => Math.max(220, Math.min(most, Math.floor(element.clientWidth) || 320));
