import { softmax } from "./exponential";
import { indexOfLargest, sum, type Matrix, type Vector } from "./vectors";

export interface Labelled {
  logits: Matrix;
  labels: Vector;
}

/** Mean of -log softmax(beta z)_y over the rows, for beta > 0; plain loops, for there may be many rows. */
export function meanLoss({ logits, labels }: Labelled, beta: number): number {
  let total = 0;
  for (let n = 0; n < logits.length; n++) {
    const z = logits[n];
    const top = indexOfLargest(z);
    let rest = 0;
    for (let k = 0; k < z.length; k++) if (k !== top) rest += Math.exp(beta * (z[k] - z[top]));
    total += beta * (z[top] - z[labels[n]]) + Math.log1p(rest);
  }
  return total / logits.length;
}

/** First and second derivative of the mean loss by beta: mean (zbar - z_y) and mean var z, so that the loss is convex. */
function derivatives({ logits, labels }: Labelled, beta: number): [number, number] {
  let [first, second] = [0, 0];
  for (let n = 0; n < logits.length; n++) {
    const z = logits[n];
    const top = z[indexOfLargest(z)];
    let [s, t, q] = [0, 0, 0]; // sums of e, d e and d^2 e with d = z - max z and e = exp(beta d)
    for (let k = 0; k < z.length; k++) {
      const d = z[k] - top;
      const e = Math.exp(beta * d);
      s += e;
      t += d * e;
      q += d * d * e;
    }
    first += t / s - (z[labels[n]] - top);
    second += q / s - (t / s) ** 2;
  }
  return [first / logits.length, second / logits.length];
}

export const TEMPERATURES: [number, number] = [1e-2, 1e2];

/** The temperature of least loss: Newton on beta, kept inside a shrinking bracket. */
export function fitTemperature(data: Labelled): { temperature: number; atBound: boolean } {
  let [low, high] = [1 / TEMPERATURES[1], 1 / TEMPERATURES[0]];
  if (derivatives(data, low)[0] >= 0) return { temperature: 1 / low, atBound: true };
  if (derivatives(data, high)[0] <= 0) return { temperature: 1 / high, atBound: true };
  let beta = 1;
  for (let i = 0; i < 200; i++) {
    const [slope, curvature] = derivatives(data, beta);
    if (slope > 0) high = beta;
    else low = beta;
    let next = beta - slope / curvature;
    if (!(next > low && next < high)) next = Math.sqrt(low * high);
    if (Math.abs(next - beta) <= 1e-15 * beta) break;
    beta = next;
  }
  return { temperature: 1 / beta, atBound: false };
}

export interface Bin {
  low: number;
  high: number;
  count: number;
  confidence: number;
  accuracy: number;
}

export interface Scores {
  logLoss: number;
  brier: number;
  accuracy: number;
  calibrationError: number;
  bins: Bin[];
}

/** Proper scores first, then the top-label calibration error over bins of equal width; p = 1 falls in the last bin. */
export function evaluate(data: Labelled, temperature: number, nBins = 15): Scores {
  const bins: Bin[] = Array.from({ length: nBins }, (_, b) => ({
    low: b / nBins,
    high: (b + 1) / nBins,
    count: 0,
    confidence: 0,
    accuracy: 0,
  }));
  let [brier, correct] = [0, 0];
  data.logits.forEach((z, n) => {
    const p = softmax(z.map((x) => x / temperature));
    const best = indexOfLargest(p);
    const hit = best === data.labels[n] ? 1 : 0;
    brier += sum(p.map((x, k) => (x - (k === data.labels[n] ? 1 : 0)) ** 2));
    correct += hit;
    const bin = bins[Math.min(Math.floor(p[best] * nBins), nBins - 1)];
    bin.count += 1;
    bin.confidence += p[best];
    bin.accuracy += hit;
  });
  const rows = data.logits.length;
  const calibrationError = sum(bins.map((bin) => Math.abs(bin.confidence - bin.accuracy))) / rows;
  for (const bin of bins)
    if (bin.count > 0) {
      bin.confidence /= bin.count;
      bin.accuracy /= bin.count;
    }
  return { logLoss: meanLoss(data, 1 / temperature), brier: brier / rows, accuracy: correct / rows, calibrationError, bins };
}
