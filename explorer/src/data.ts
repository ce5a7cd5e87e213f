import type { Labelled } from "./maths/calibration";

/** Logits that came with the page, written by `softmaxes explore MODEL DATA`. */
export interface Embedded {
  logits: number[][];
  labels: number[] | null;
  classes: string[] | null;
  /** rows of the data set; more than are embedded when it is large */
  rows: number;
}

export function embedded(): Embedded | null {
  return JSON.parse(document.getElementById("softmaxes-data")?.textContent ?? "null") as Embedded | null;
}

export const isLabelled = (data: Embedded | null): data is Embedded & Labelled => data !== null && data.labels !== null;

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
export const letter = (k: number): string => LETTERS[k % LETTERS.length];
