import type { Embedded } from "./data";
import { letter } from "./data";
import { family } from "./maths/family";
import type { Member } from "./maths/member";
import { scaled } from "./maths/scaled";
import type { State, Store } from "./state";

/** What a section is given, and what it gives back: an element, and a way to bring it up to date. */
export interface Page {
  store: Store;
  data: Embedded | null;
}

export interface Section {
  id: string;
  title: string;
  lead: string;
  build(page: Page): { element: HTMLElement; render(state: State): void };
}

/** Every member at the page's temperature and parameters. */
export const members = (state: State): Member[] => family(state).map((member) => scaled(member, state.beta));

export const chosen = (state: State): Member => members(state).find((member) => member.id === state.member)!;

export const softmaxOf = (state: State): Member => members(state)[0];

/** The chip of a class: a letter on its colour, so that colour never speaks alone. */
export const classColour = (k: number): string => `var(--class-${k % 10})`;
export const className = letter;
