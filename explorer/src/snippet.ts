import { chosen } from "./page";
import type { State } from "./state";

const CALLS: Record<string, (state: State) => string> = {
  softmax: () => "sm.softmax(z)",
  linear: () => "sm.linear_normalize(z)",
  min_shift: () => 'sm.linear_normalize(z, shift="min")',
  taylor: ({ order }) => `sm.taylor_softmax(z, order=${order})`,
  spherical: ({ epsilon }) => `sm.spherical_softmax(z, epsilon=${epsilon})`,
  softplus: () => "sm.Generalized.softplus()(z)",
  double_exponential: () => "sm.Generalized.double_exponential()(z)",
  entmax: ({ alpha }) => `sm.entmax(z, alpha=${alpha})`,
  sparsemax: () => "sm.sparsemax(z)",
  hardmax: () => "sm.hardmax(z)",
};

/** Python that gives the probabilities of the member in focus. */
export function snippet(state: State): string {
  const p = chosen(state).value(state.logits);
  const scale = state.beta === 1 ? "" : `${state.beta} * `;
  return [
    "import numpy as np",
    "import softmaxes as sm",
    "",
    `z = ${scale}np.array([${state.logits.join(", ")}])`,
    `${CALLS[state.member](state)}    # ${p.map((x) => x.toPrecision(6)).join(", ")}`,
  ].join("\n");
}
