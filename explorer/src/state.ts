import type { Parameters } from "./maths/family";
import { MEMBER_IDS } from "./maths/family";

/** All that the page shows follows from this; it travels in the address, so that a link is a picture of the page. */
export interface State extends Parameters {
  logits: number[];
  beta: number;
  member: string;
  target: number;
  /** taken from the logit of the true class while learning (soft margin) */
  margin: number;
  /** step of the entropy expansion along the first two logits */
  stepX: number;
  stepY: number;
  rate: number;
  steps: number;
  shift: number;
  tau: number;
  draws: number;
  seed: number;
  /** temperature tried in the calibration section */
  fitted: number;
}

export const INITIAL: State = {
  logits: [2, 1, -1],
  beta: 1,
  member: "softmax",
  order: 2,
  epsilon: 0.1,
  alpha: 1.5,
  target: 1,
  margin: 0,
  stepX: -1,
  stepY: 0.5,
  rate: 0.5,
  steps: 20,
  shift: 12,
  tau: 0.5,
  draws: 1000,
  seed: 1,
  fitted: 1,
};

export const CLASSES = { fewest: 2, most: 10 };

const KEYS: Record<keyof State, string> = {
  logits: "z",
  beta: "b",
  member: "m",
  order: "n",
  epsilon: "e",
  alpha: "a",
  target: "y",
  margin: "g",
  stepX: "dx",
  stepY: "dy",
  rate: "r",
  steps: "s",
  shift: "c",
  tau: "tau",
  draws: "d",
  seed: "seed",
  fitted: "t",
};

const inside = (low: number, high: number, whole = false) => (x: unknown) =>
  typeof x === "number" && x >= low && x <= high && (!whole || Number.isInteger(x));

/** What each field may hold; a link that says anything else is read as if it had not said it. */
const ALLOWED: Record<keyof State, (x: unknown) => boolean> = {
  logits: (x) => Array.isArray(x) && x.length >= CLASSES.fewest && x.length <= CLASSES.most && x.every((v) => Number.isFinite(v)),
  beta: inside(-1000, 1000),
  member: (x) => (MEMBER_IDS as readonly unknown[]).includes(x),
  order: inside(1, 8, true),
  epsilon: inside(0, 10),
  alpha: inside(1, 3),
  target: inside(0, CLASSES.most - 1, true),
  margin: inside(0, 10),
  stepX: inside(-3, 3),
  stepY: inside(-3, 3),
  rate: inside(0, 10),
  steps: inside(0, 100, true),
  shift: inside(-1000, 100_000),
  tau: inside(0.01, 10),
  draws: inside(1, 100_000, true),
  seed: inside(0, 2 ** 32 - 1, true),
  fitted: inside(0.01, 100),
};

export function toHash(state: State): string {
  return (Object.keys(KEYS) as (keyof State)[])
    .filter((field) => String(state[field]) !== String(INITIAL[field]))
    .map((field) => `${KEYS[field]}=${state[field]}`)
    .join("&");
}

export function fromHash(hash: string): State {
  const state: Record<string, unknown> = { ...INITIAL };
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  for (const field of Object.keys(KEYS) as (keyof State)[]) {
    const text = given.get(KEYS[field]);
    if (text === null || text === "") continue;
    const value = field === "member" ? text : field === "logits" ? text.split(",").map(Number) : Number(text);
    if (ALLOWED[field](value)) state[field] = value;
  }
  const complete = state as unknown as State;
  return { ...complete, target: Math.min(complete.target, complete.logits.length - 1) };
}

export class Store {
  private listeners: (() => void)[] = [];

  constructor(private current: State) {}

  get state(): State {
    return this.current;
  }

  set(change: Partial<State>): void {
    const next = { ...this.current, ...change };
    this.current = { ...next, target: Math.min(next.target, next.logits.length - 1) };
    for (const listener of this.listeners) listener();
  }

  subscribe(listener: () => void): void {
    this.listeners.push(listener);
  }
}
