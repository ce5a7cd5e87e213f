/** A binary floating-point format: how it rounds a real number, and where it ends. */
export interface Format {
  readonly name: string;
  readonly largest: number;
  readonly epsilon: number;
  round(x: number): number;
}

/** Round to `digits` significant bits, ties to even, with gradual underflow below 2^minimum and overflow above 2^maximum. */
function rounding(digits: number, minimum: number, maximum: number): (x: number) => number {
  return (x) => {
    const size = Math.abs(x);
    if (size === 0 || !Number.isFinite(size)) return x;
    let exponent = Math.floor(Math.log2(size));
    if (2 ** exponent > size) exponent -= 1; // log2 itself is rounded
    if (2 ** (exponent + 1) <= size) exponent += 1;
    const unit = 2 ** (Math.max(exponent, minimum) - digits + 1);
    const quotient = size / unit; // exact: unit is a power of two
    const below = Math.floor(quotient);
    const rest = quotient - below;
    const up = rest > 0.5 || (rest === 0.5 && below % 2 === 1);
    const rounded = (up ? below + 1 : below) * unit;
    return Math.sign(x) * (rounded >= 2 ** (maximum + 1) ? Infinity : rounded);
  };
}

export const FORMATS: Format[] = [
  { name: "float16", largest: 65504, epsilon: 2 ** -10, round: rounding(11, -14, 15) },
  { name: "bfloat16", largest: 255 * 2 ** 120, epsilon: 2 ** -7, round: rounding(8, -126, 127) },
  { name: "float32", largest: (2 ** 24 - 1) * 2 ** 104, epsilon: 2 ** -23, round: Math.fround },
  { name: "float64", largest: Number.MAX_VALUE, epsilon: 2 ** -52, round: (x) => x },
];

/** Every intermediate of a softmax computed in one format, each operation rounded once. */
export interface Trace {
  logits: number[];
  exponentials: number[];
  total: number;
  probabilities: number[];
}

export function softmaxIn(format: Format, z: number[], maxTrick: boolean): Trace {
  const { round } = format;
  const stored = z.map(round);
  const top = maxTrick ? stored.reduce((m, x) => Math.max(m, x), -Infinity) : 0;
  const logits = stored.map((x) => round(x - top));
  const exponentials = logits.map((x) => round(Math.exp(x)));
  const total = exponentials.reduce((t, x) => round(t + x), 0);
  return { logits, exponentials, total, probabilities: exponentials.map((x) => round(x / total)) };
}
