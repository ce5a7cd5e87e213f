import type { Vector } from "./vectors";

/** A small seeded generator of 32-bit words (xoshiro128**, seeded by splitmix32), so that a shared link draws the same samples. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  constructor(seed: number) {
    let state = seed >>> 0;
    const next = () => {
      state = (state + 0x9e3779b9) >>> 0;
      let word = state ^ (state >>> 16);
      word = Math.imul(word, 0x21f0aaad);
      word ^= word >>> 15;
      word = Math.imul(word, 0x735a2d97);
      return (word ^ (word >>> 15)) >>> 0;
    };
    [this.a, this.b, this.c, this.d] = [next(), next(), next(), next()];
  }

  private word(): number {
    const product = Math.imul(this.b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result;
  }

  /** In the open interval (0, 1), on odd multiples of 2^-53. */
  uniform(): number {
    return ((this.word() >>> 6) * 2 ** 26 + (this.word() >>> 6)) * 2 ** -52 + 2 ** -53;
  }

  normal(): number {
    return Math.sqrt(-2 * Math.log(this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** G = -log E with E exponential, so that argmax (z + G) is a draw from softmax(z). */
  gumbel(): number {
    return -Math.log(-Math.log(this.uniform()));
  }

  categorical(p: Vector): number {
    let rest = this.uniform();
    const last = p.length - 1;
    for (let i = 0; i < last; i++) {
      rest -= p[i];
      if (rest < 0) return i;
    }
    return last;
  }
}
