import { s } from "./dom";
import { classColour, className } from "../page";

export const SIZE = { width: 440, height: 404 };
const SIDE = 380;
const CORNERS: [number, number][] = [
  [(SIZE.width - SIDE) / 2, 370],
  [(SIZE.width + SIDE) / 2, 370],
  [SIZE.width / 2, 370 - (SIDE * Math.sqrt(3)) / 2],
];

/** From three probabilities to a point of the drawing, and back. */
export function place(p: number[]): [number, number] {
  return [0, 1].map((axis) => CORNERS.reduce((total, corner, k) => total + corner[axis] * p[k], 0)) as [number, number];
}

export function unplace(x: number, y: number): number[] {
  const top = (CORNERS[0][1] - y) / (CORNERS[0][1] - CORNERS[2][1]);
  const right = (x - CORNERS[0][0]) / SIDE - top / 2;
  return [1 - top - right, right, top];
}

export const path = (points: [number, number][]): string =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

/** The empty simplex of three classes, corners named. */
export function triangle(label: string): { root: SVGSVGElement; canvas: SVGGElement } {
  const canvas = s("g");
  const clip = `clip-${label.replace(/\W+/g, "-").slice(0, 24)}`;
  const shifts = [
    [-16, 14],
    [16, 14],
    [0, -12],
  ];
  const root = s(
    "svg",
    { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "group", "aria-label": label, class: "triangle" },
    s("clipPath", { id: clip }, s("path", { d: `${path(CORNERS)}Z` })),
    s("path", { d: `${path(CORNERS)}Z`, class: "simplex" }),
    ...[0.25, 0.5, 0.75].flatMap((level) =>
      [0, 1, 2].map((k) => {
        const at = (other: number) => place([0, 1, 2].map((i) => (i === k ? level : i === other ? 1 - level : 0)));
        return s("path", { d: path([at((k + 1) % 3), at((k + 2) % 3)]), class: "rule" });
      }),
    ),
    canvas,
    ...CORNERS.map(([x, y], k) =>
      s(
        "g",
        { transform: `translate(${x + shifts[k][0]},${y + shifts[k][1]})` },
        s("circle", { r: 11, fill: classColour(k) }),
        s("text", { class: "corner", dy: "0.36em" }, className(k)),
      ),
    ),
  );
  return { root, canvas };
}
