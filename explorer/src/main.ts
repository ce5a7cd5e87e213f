import "./style.css";
import { embedded } from "./data";
import { panel } from "./panel";
import type { Page, Section } from "./page";
import { calibrationSection } from "./sections/calibration";
import { derivativesSection } from "./sections/derivatives";
import { errataSection } from "./sections/errata";
import { familySection } from "./sections/family";
import { learningSection } from "./sections/learning";
import { precisionSection } from "./sections/precision";
import { samplingSection } from "./sections/sampling";
import { simplexSection } from "./sections/simplex";
import { surfaceSection } from "./sections/surface";
import { workedSection } from "./sections/worked";
import { snippet } from "./snippet";
import { fromHash, Store, toHash } from "./state";
import { button } from "./ui/controls";
import { h } from "./ui/dom";

const SECTIONS: [Section, string][] = [
  [familySection, "Family"],
  [simplexSection, "Triangle"],
  [derivativesSection, "Derivatives"],
  [surfaceSection, "Entropy"],
  [learningSection, "Learning"],
  [precisionSection, "Precision"],
  [samplingSection, "Sampling"],
  [calibrationSection, "Calibration"],
  [workedSection, "Worked numbers"],
  [errataSection, "Errata"],
];

const store = new Store(fromHash(location.hash));
const page: Page = { store, data: embedded() };
const controls = panel(page);
const code = h("code");

const built = SECTIONS.map(([section]) => {
  const { element, render } = section.build(page);
  const root = h(
    "section",
    { id: section.id, class: "chapter", "aria-labelledby": `${section.id}-title` },
    h("h2", { id: `${section.id}-title`, tabindex: -1 }, section.title),
    h("p", { class: "lead" }, section.lead),
    element,
  );
  return { root, render, isVisible: false, isStale: true };
});

function goTo(id: string): void {
  document.getElementById(id)?.scrollIntoView({ block: "start" });
  document.getElementById(`${id}-title`)?.focus({ preventScroll: true });
}

/** The address holds the state, so links inside the page move without touching it. */
function follow(event: MouseEvent): void {
  const link = (event.target as Element).closest<HTMLAnchorElement>("a[href^='#']");
  if (!link) return;
  event.preventDefault();
  goTo(link.getAttribute("href")!.slice(1));
}

const THEMES = ["light dark", "light", "dark"];
const THEME_WORDS: Record<string, string> = { "light dark": "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
const theme = button(THEME_WORDS["light dark"], () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.style.colorScheme || THEMES[0]) + 1) % THEMES.length];
  document.documentElement.style.colorScheme = next;
  theme.textContent = THEME_WORDS[next];
}, { id: "theme" });

async function copy(text: string, from: HTMLButtonElement): Promise<void> {
  const word = from.textContent;
  try {
    await navigator.clipboard.writeText(text);
    from.textContent = "Copied";
  } catch {
    from.textContent = "Copying is not allowed here";
  }
  setTimeout(() => {
    from.textContent = word;
  }, 1500);
}
const link: HTMLButtonElement = button("Copy link to this state", () => void copy(location.href, link), { id: "copy-link" });
const copyCode: HTMLButtonElement = button("Copy", () => void copy(code.textContent ?? "", copyCode), { id: "copy-code" });

const tune = button("Scores", () => openSheet(!document.body.classList.contains("sheet")), { class: "tune", "aria-controls": "panel", "aria-expanded": "false" });
function openSheet(open: boolean): void {
  document.body.classList.toggle("sheet", open);
  tune.setAttribute("aria-expanded", String(open));
  tune.textContent = open ? "Done" : "Scores";
}

document.getElementById("app")!.replaceChildren(
  h(
    "header",
    { class: "masthead" },
    h("div", {}, h("h1", {}, "The softmax family, at work"), h("p", { class: "lead" }, "Scores go in, probabilities come out. Drag the logits, turn the temperature, and every member of the family answers at once, with its derivatives, its entropy and its loss.")),
    h("div", { class: "buttons" }, theme, link),
  ),
  h("nav", { class: "contents", "aria-label": "Sections" }, ...SECTIONS.map(([section, name]) => h("a", { href: `#${section.id}` }, name))),
  h("div", { class: "layout" }, controls.element, h("main", {}, ...built.map(({ root }) => root), h("footer", {}, h("h2", {}, "The same in Python"), h("div", { class: "code" }, h("pre", { tabindex: 0 }, code), copyCode), h("p", { class: "hint" }, "This page fetches nothing and sends nothing. Its mathematics is held to the library by shared golden values, to twelve digits.")))),
  tune,
);
document.addEventListener("click", follow);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") openSheet(false);
});

let isScheduled = false;
function refresh(): void {
  isScheduled = false;
  controls.render(store.state);
  code.textContent = snippet(store.state);
  for (const part of built)
    if (part.isVisible && part.isStale) {
      part.render(store.state);
      part.isStale = false;
      part.root.setAttribute("aria-busy", "false");
    }
}
function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(refresh);
}

let addressTimer = 0;
function rememberInAddress(): void {
  clearTimeout(addressTimer);
  addressTimer = window.setTimeout(() => {
    const hash = toHash(store.state);
    history.replaceState(null, "", `${location.pathname}${location.search}${hash ? `#${hash}` : ""}`);
  }, 300);
}

function stale(): void {
  for (const part of built) {
    part.isStale = true;
    part.root.setAttribute("aria-busy", "true");
  }
  schedule();
}
store.subscribe(() => {
  stale();
  rememberInAddress();
});
window.addEventListener("hashchange", () => store.set(fromHash(location.hash)));
window.addEventListener("beforeprint", () => {
  for (const part of built) part.isVisible = true;
  refresh();
});

let lastWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== lastWidth) stale();
  lastWidth = window.innerWidth;
});

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) built.find(({ root }) => root === entry.target)!.isVisible = entry.isIntersecting;
    schedule();
  },
  { rootMargin: "150px" },
);
for (const { root } of built) watcher.observe(root);
const links = new Map([...document.querySelectorAll<HTMLAnchorElement>(".contents a")].map((link) => [link.hash.slice(1), link]));
const reader = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) links.get(target.id)!.toggleAttribute("aria-current", isIntersecting);
  },
  { rootMargin: "-40% 0px -59%" },
);
for (const { root } of built) reader.observe(root);
new IntersectionObserver(([entry]) => {
  tune.classList.toggle("needless", entry.isIntersecting && !document.body.classList.contains("sheet"));
}).observe(controls.element);
refresh();
