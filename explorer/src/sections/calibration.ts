import { dot, line, rectY, ruleX, ruleY } from "@observablehq/plot";
import { readLogits } from "../csv";
import { isLabelled } from "../data";
import { evaluate, fitTemperature, meanLoss, type Labelled, type Scores } from "../maths/calibration";
import { Random } from "../maths/random";
import { softmax } from "../maths/exponential";
import type { Section } from "../page";
import { chart, widthOf } from "../ui/chart";
import { button, logSlider } from "../ui/controls";
import { h } from "../ui/dom";
import { reading } from "../ui/numbers";

/** Six hundred rows of a model that is right about the order and 2.2 times too sure of it. */
function example(): Labelled {
  const random = new Random(2024);
  const truth = Array.from({ length: 600 }, () => [0, 1, 2].map(() => 1.3 * random.normal()));
  return { logits: truth.map((z) => z.map((x) => Math.round(2200 * x) / 1000)), labels: truth.map((z) => random.categorical(softmax(z))) };
}

/** The mean loss at temperatures from 0.1 to 10. */
const lossCurve = (data: Labelled) => Array.from({ length: 61 }, (_, i) => 10 ** (i / 30 - 1)).map((t) => [t, meanLoss(data, 1 / t)]);

export const calibrationSection: Section = {
  id: "calibration",
  title: "Calibration on your own data",
  lead: "A model is calibrated if it is right in 80 of 100 cases of which it is 80 % sure. One temperature, fitted on held-out logits, often mends a model that is too sure; your file stays on this computer.",
  build({ store, data: embedded }) {
    let data: Labelled = isLabelled(embedded) ? embedded : example();
    let name = isLabelled(embedded) ? (embedded.rows > embedded.logits.length ? `your model's logits, evenly spaced rows of ${embedded.rows.toLocaleString("en")}` : "your model's logits") : "a built-in example: a model 2.2 times too sure";
    let fit = fitTemperature(data);
    let raw = evaluate(data, 1);
    let points = lossCurve(data);
    let version = 0;
    const message = h("p", { class: "message", role: "status" });
    const about = h("p", { class: "fact" });
    const before = h("div");
    const after = h("div");
    const curve = h("div");
    const table = h("div");

    function use(next: Labelled, what: string): void {
      [data, name, version] = [next, what, version + 1];
      [fit, raw, points] = [fitTemperature(data), evaluate(data, 1), lossCurve(data)];
      message.textContent = "";
      message.classList.remove("bad");
      store.set({ fitted: 1 });
    }
    function read(text: string, what: string): void {
      try {
        use(readLogits(text), what);
      } catch (error) {
        message.textContent = (error as Error).message;
        message.classList.add("bad");
      }
    }
    const file = h("input", { type: "file", id: "calibration-file", accept: ".csv,.tsv,.txt,text/csv", onchange: async () => file.files?.[0] && read(await file.files[0].text(), file.files[0].name) });
    const area = h("textarea", { id: "calibration-text", rows: 4, spellcheck: "false", placeholder: "a,b,c,label\n2.1,0.3,-1.0,0\n0.2,1.9,0.1,1" });
    const temperature = logSlider({ id: "fitted", label: "temperature tried", min: 0.1, max: 10, step: 0.002, digits: 4, least: 0.01, most: 100, get: () => store.state.fitted, set: (x) => store.set({ fitted: x }) });
    const best = button("Fit the temperature", () => store.set({ fitted: fit.temperature }), { class: "primary", id: "fit" });
    const drop = h(
      "div",
      { class: "drop" },
      h("label", { for: "calibration-file" }, "A CSV file: one column of logits a class, and the true class last (or named label)."),
      file,
      h("details", {}, h("summary", {}, "or paste it"), h("label", { for: "calibration-text", class: "hidden" }, "Logits and labels as text"), area, h("div", { class: "buttons" }, button("Use this text", () => read(area.value, "the pasted rows"), { id: "use-text" }))),
      h("div", { class: "buttons" }, button("Built-in example", () => use(example(), "a built-in example: a model 2.2 times too sure"))),
      message,
    );
    for (const kind of ["dragover", "drop"])
      drop.addEventListener(kind, async (event) => {
        event.preventDefault();
        const dropped = (event as DragEvent).dataTransfer?.files[0];
        if (kind === "drop" && dropped) read(await dropped.text(), dropped.name);
      });

    const element = h(
      "div",
      {},
      h("div", { class: "split" }, h("div", {}, drop, about), h("div", {}, temperature.element, h("div", { class: "buttons" }, best), table)),
      h("div", { class: "pair" }, h("figure", {}, before, h("figcaption", {}, "As it came: T = 1. Larger dots stand for more rows, the grey bars too.")), h("figure", {}, after, h("figcaption", {}, "At the temperature tried"))),
      h("figure", {}, curve, h("figcaption", {}, "Mean log-loss against the temperature: convex in 1/T, so there is one best place.")),
    );

    function reliability(place: HTMLElement, scores: Scores, label: string): void {
      const filled = scores.bins.filter((bin) => bin.count > 0);
      const most = Math.max(...filled.map((bin) => bin.count));
      const width = widthOf(place, 420);
      place.replaceChildren(
        chart(label, {
          width,
          height: width * 0.92,
          x: { label: "confidence", domain: [0, 1] },
          y: { label: "share that was right", domain: [0, 1], grid: true },
          r: { type: "identity" },
          marks: [
            rectY(filled, { x1: "low", x2: "high", y: (bin) => (bin.count / most) * 0.22, fill: "var(--faint)", fillOpacity: 0.55 }),
            line([[0, 0], [1, 1]], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
            ruleX(filled, { x: "confidence", y1: "confidence", y2: "accuracy", stroke: "var(--warm)", strokeWidth: 2 }),
            dot(filled, { x: "confidence", y: "accuracy", fill: "var(--accent-strong)", r: (bin) => 2.5 + 4 * Math.sqrt(bin.count / most) }),
            ruleY([0]),
          ],
        }),
      );
    }
    let drawn = "";
    return {
      element,
      render(state) {
        temperature.update();
        const now = evaluate(data, state.fitted);
        about.textContent = `In use: ${name}; ${data.logits.length.toLocaleString("en")} rows, ${data.logits[0].length} classes.${fit.atBound ? " The loss keeps falling to the edge of the allowed temperatures: there is no best one in between." : ""}`;
        const row = (label: string, id: keyof Omit<Scores, "bins">, digits = 4) =>
          h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, reading(`before.${id}`, raw[id], digits)), h("td", {}, reading(`after.${id}`, now[id], digits)));
        table.replaceChildren(
          h("table", { class: "numbers" }, h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "T = 1"), h("th", { scope: "col" }, "T tried"))), h("tbody", {}, row("log-loss, nats", "logLoss"), row("Brier score", "brier"), row("accuracy", "accuracy"), row("calibration error, 15 bins", "calibrationError"))),
          h("p", { class: "hint" }, "The first two are proper scores: the truth alone makes them least. Bins can flatter."),
        );
        const width = widthOf(curve, 900);
        reliability(after, now, "Reliability diagram at the temperature tried");
        if (drawn !== `${version} ${width}`) reliability(before, raw, "Reliability diagram as the logits came");
        drawn = `${version} ${width}`;
        const floor = Math.min(...points.map(([, y]) => y));
        curve.replaceChildren(
          chart("Mean log-loss against temperature", {
            width,
            height: 220,
            x: { type: "log", label: "temperature", domain: [0.1, 10], tickFormat: (t: number) => String(t), ticks: [0.1, 0.2, 0.5, 1, 2, 5, 10] },
            y: { label: "mean log-loss", domain: [floor * 0.95, floor * 2], grid: true, clamp: true },
            marks: [
              line(points.filter(([, y]) => y <= floor * 2), { stroke: "var(--accent-strong)", strokeWidth: 2.5 }),
              fit.atBound ? null : ruleX([fit.temperature], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
              dot([[state.fitted, Math.min(now.logLoss, floor * 2)]], { fill: "var(--warm)", r: 6, stroke: "var(--surface)", strokeWidth: 2 }),
            ],
          }),
          h("p", { class: "fact" }, "Best temperature ", reading("best.temperature", fit.temperature), fit.atBound ? " (at the bound)" : ""),
        );
      },
    };
  },
};
