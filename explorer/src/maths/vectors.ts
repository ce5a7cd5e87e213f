/** The few array words that the formulas are written in. */

export type Vector = number[];
export type Matrix = number[][];
/** tensor[i][j][k]; here always the second derivative of output i by inputs j and k. */
export type Tensor = number[][][];

export const sum = (x: Vector): number => x.reduce((total, value) => total + value, 0);
export const dot = (x: Vector, y: Vector): number => x.reduce((total, value, i) => total + value * y[i], 0);
export const largest = (x: Vector): number => x.reduce((m, value) => Math.max(m, value), -Infinity);
export const smallest = (x: Vector): number => x.reduce((m, value) => Math.min(m, value), Infinity);

export function indexOfLargest(x: Vector): number {
  let best = 0;
  for (let i = 1; i < x.length; i++) if (x[i] > x[best]) best = i;
  return best;
}

export const delta = (i: number, j: number): number => (i === j ? 1 : 0);

export const vector = (size: number, entry: (i: number) => number): Vector => Array.from({ length: size }, (_, i) => entry(i));

export const matrix = (size: number, entry: (i: number, j: number) => number): Matrix =>
  Array.from({ length: size }, (_, i) => vector(size, (j) => entry(i, j)));

export const tensor = (size: number, entry: (i: number, j: number, k: number) => number): Tensor =>
  Array.from({ length: size }, (_, i) => matrix(size, (j, k) => entry(i, j, k)));

/** largest |entry|, the scale that errors and colours are measured against. */
export const magnitude = (x: Matrix): number => largest(x.flat().map(Math.abs));
