/* The colours of the style sheet as the canvases need them, the marks of datasets and states, and the theme. */
import { byId, make } from "./words.js";

const COLOURS = 10, PATTERNS = 4;
const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
const probe = make("i", { hidden: true });
/* The canvases keep their colours if the system forces its own on text. */
probe.style.forcedColorAdjust = "none";
document.body.append(probe);
const known = new Map();

export const colour = (name) => {
  if (!known.has(name)) { probe.style.color = `var(--${name})`; known.set(name, getComputedStyle(probe).color); }
  return known.get(name);
};
export const colourOf = (dataset) => colour(dataset < 0 ? "missing" : `c${dataset % COLOURS}`);
/* Datasets from the eleventh on have the same colours with a pattern or another shape. */
export const patternOf = (dataset) => (dataset < 0 ? 0 : Math.floor(dataset / COLOURS) % PATTERNS);
export const swatch = (dataset) => make("i", { className: dataset < 0 ? "swatch none" : `swatch c${dataset % COLOURS} p${patternOf(dataset)}` });
export const mark = (state) => make("i", { className: `mark ${state}` });

const painters = [];
export const onColours = (painter) => painters.push(painter);

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
const repaint = () => {
  known.clear();
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
  painters.forEach((painter) => painter());
};
/* Set the theme: "light", "dark", or "" for that of the system. Returns the one before. */
export const setTheme = (theme) => {
  const before = root.dataset.theme || "";
  if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  repaint();
  return before;
};
byId("theme").onclick = () => setTheme(isDark() ? "light" : "dark");
byId("theme").hidden = false;
dark.addEventListener("change", repaint);
repaint();
