import type { Member } from "../maths/member";
import { sum } from "../maths/vectors";
import { chosen, members, type Section } from "../page";
import type { State } from "../state";
import { h, s } from "../ui/dom";
import { path, place, SIZE, triangle, unplace } from "../ui/triangle";

const ACROSS = [Math.SQRT1_2, -Math.SQRT1_2, 0];
const UP = [-1, -1, 2].map((x) => x / Math.sqrt(6));
const LATTICE = Array.from({ length: 13 }, (_, i) => i - 6);
const FINE = Array.from({ length: 97 }, (_, i) => (i - 48) / 8);
const SMALLEST = 1e-4; // dragging stops this far from the edges, where softmax has no logits

/** The image of a square lattice of logits, taken through the mean of the present ones; fine where the map is steep. */
function lattice(member: Member, z: number[], beta: number): [number, number][][] {
  const mean = sum(z) / 3;
  const unit = (member.traits.zeros ? 0.2 : 0.8) / (Math.abs(beta) || 1);
  const at = (u: number, v: number) => place(member.value([0, 1, 2].map((k) => mean + unit * (u * ACROSS[k] + v * UP[k]))));
  const isInside = ([x, y]: [number, number]) => x > -50 && x < SIZE.width + 50 && y > -50 && y < SIZE.height + 50;
  return LATTICE.flatMap((fixed) => [FINE.map((x) => at(x, fixed)), FINE.map((x) => at(fixed, x))]).map((line) => line.filter(isInside));
}

/** Where p goes as the temperature falls from infinite to near zero. */
const cooling = (member: Member, z: number[]): [number, number][] =>
  Array.from({ length: 161 }, (_, i) => 10 ** (i / 40 - 2))
    .map((scale) => z.map((x) => x * scale))
    .filter((scaled) => member.fault(scaled) === null)
    .map((scaled) => place(member.value(scaled)));

export const simplexSection: Section = {
  id: "simplex",
  title: "Inside the triangle",
  lead: "With three classes every distribution is a point of a triangle. The fine web is a square grid of logits seen through the member in focus; drag the large dot, or move it with the arrow keys, to choose the logits by their softmax.",
  build({ store }) {
    const { root, canvas } = triangle("The simplex of the first three classes");
    const web = s("g", { class: "web" });
    const trail = s("path", { class: "trail" });
    const marks = s("g", { class: "marks" });
    const handle = s("circle", { r: 10, class: "handle", tabindex: 0, role: "slider", "aria-label": "Softmax of the first three classes: arrow keys move it", "aria-valuemin": 0, "aria-valuemax": 1 });
    canvas.append(web, trail, marks, handle);

    function choose(wanted: number[]): void {
      const { logits, beta } = store.state;
      if (logits.length < 3 || beta === 0) return;
      const inside = wanted.map((p) => Math.max(p, SMALLEST));
      const total = sum(inside);
      const logs = inside.map((p) => Math.log(p / total) / beta);
      const level = sum(logits.slice(0, 3)) / 3 - sum(logs) / 3;
      store.set({ logits: [...logs.map((x) => Math.round((x + level) * 1e4) / 1e4), ...logits.slice(3)] });
    }
    const fromPointer = (event: PointerEvent) => {
      const box = root.getBoundingClientRect();
      choose(unplace(((event.clientX - box.left) / box.width) * SIZE.width, ((event.clientY - box.top) / box.height) * SIZE.height));
    };
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.focus();
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) fromPointer(event);
    });
    handle.addEventListener("keydown", (event) => {
      const moves: Record<string, [number, number]> = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      choose(unplace(Number(handle.getAttribute("cx")) + move[0], Number(handle.getAttribute("cy")) + move[1]));
    });

    const legend = h("ul", { class: "legend" });
    const missing = h("p", { class: "fault", hidden: true }, "The triangle needs three classes: add one to the scores.");
    const element = h("div", { class: "split" }, h("figure", {}, root, missing), h("div", {}, legend));

    return {
      element,
      render(state: State) {
        const enough = state.logits.length >= 3;
        missing.hidden = enough;
        root.classList.toggle("off", !enough);
        if (!enough) return;
        const z = state.logits.slice(0, 3);
        const member = chosen(state);
        web.replaceChildren(...lattice(member, z, state.beta).map((line) => s("path", { d: path(line) })));
        trail.setAttribute("d", path(cooling(member, z)));
        const softmax = members(state)[0].value(z);
        const [cx, cy] = place(softmax);
        handle.setAttribute("cx", cx.toFixed(3));
        handle.setAttribute("cy", cy.toFixed(3));
        handle.setAttribute("aria-valuenow", softmax[0].toFixed(3));
        handle.setAttribute("aria-valuetext", softmax.map((p, k) => `${"ABC"[k]} ${p.toFixed(3)}`).join(", "));
        const shown = members(state).map((m, i) => ({ m, i, fault: m.fault(z), at: place(m.value(z)) }));
        marks.replaceChildren(
          ...shown
            .filter(({ fault }) => fault === null)
            .slice(1)
            .map(({ m, i, at }) =>
              s(
                "g",
                { transform: `translate(${at[0].toFixed(2)},${at[1].toFixed(2)})`, class: m.id === state.member ? "mark chosen" : "mark" },
                s("circle", { r: 9 }),
                s("text", { dy: "0.36em" }, String(i + 1)),
              ),
            ),
        );
        legend.replaceChildren(
          ...shown.map(({ m, i, fault }) =>
            h(
              "li",
              { class: `${m.id === state.member ? "chosen" : ""}${fault ? " off" : ""}` },
              h("span", { class: i === 0 ? "number first" : "number" }, i === 0 ? "" : String(i + 1)),
              m.name,
              fault ? h("small", {}, ` ${fault}`) : null,
            ),
          ),
          h("li", { class: "note" }, h("span", { class: "stroke" }), `the member in focus as T falls from ∞ to 0`),
        );
      },
    };
  },
};
