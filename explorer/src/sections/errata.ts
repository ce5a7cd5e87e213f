import { CLAIMS, type Claim, type Evidence } from "../claims";
import { h } from "../ui/dom";
import { pretty } from "../ui/numbers";

import type { Section } from "../page";

const WORDS = { wrong: "wrong", unstable: "unstable", ambiguous: "it depends" };

const list = (values: (number | string)[]) => h("span", { class: "values" }, ...values.map((x) => h("span", { class: "value" }, typeof x === "number" ? pretty(x, 6) : x)));

function evidence(rows: Evidence[]): HTMLElement {
  const line = (kind: string, word: string, values: (number | string)[] | undefined) =>
    values ? h("tr", { class: kind }, h("th", { scope: "row" }, word), h("td", {}, list(values))) : null;
  return h(
    "div",
    { class: "evidence" },
    ...rows.map((row) =>
      h("div", { class: "scroll" }, h("table", {}, h("caption", {}, row.at), h("tbody", {}, line("claimed", "as claimed", row.claimed), line("true", "in truth", row.truth), line("measured", "measured", row.measured)))),
    ),
  );
}

function entry(claim: Claim, isOpen: boolean): HTMLElement {
  return h(
    "details",
    { class: "claim", open: isOpen },
    h("summary", {}, h("span", { class: `badge ${claim.verdict}` }, WORDS[claim.verdict]), h("span", { html: claim.claim })),
    h("p", { class: "right" }, h("b", {}, "What is right: "), h("span", { html: claim.right })),
    evidence(claim.evidence()),
  );
}

export const errataSection: Section = {
  id: "errata",
  title: "Plausible, and wrong",
  lead: "Claims found in those same texts, each with the counter-example that refutes it and what is right instead. “Measured” is a difference quotient, which knows no formula; “unstable” is right on paper and fails in floating point.",
  build() {
    const sources = [...new Set(CLAIMS.map((claim) => claim.source))];
    const element = h(
      "div",
      {},
      ...sources.map((source) =>
        h("section", {}, h("h3", {}, source), ...CLAIMS.filter((claim) => claim.source === source).map((claim) => entry(claim, claim === CLAIMS[0]))),
      ),
    );
    return { element, render: () => undefined };
  },
};
