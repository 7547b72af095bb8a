/* Which scenes are shown: one list, filtered in one place. Views are called after each change. */
import { areas, names, scenes } from "./data.js";
import { WORDS, byId, count, isOff, number, setOff } from "./words.js";

const off = { dataset: new Set(), state: new Set() };
const views = [];
let area = null;
let passed = scenes;
let shown = scenes;

export const shownScenes = () => shown;
/* The scenes that pass all filters but that of the area. */
export const shownOverAllAreas = () => passed;
export const onFilter = (view) => views.push(view);
export const areaShown = () => area;

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const isDate = (text) => DATE.test(text) && !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text);
/* A date of the form, or "" if there is none yet. */
export const dateOf = (id) => { const text = byId(id).value.trim(); return isDate(text) ? text : ""; };
const checkDates = () => {
  const wrong = ["from", "to"].filter((id) => {
    const text = byId(id).value.trim(), bad = text !== "" && !isDate(text);
    byId(id).setAttribute("aria-invalid", String(bad));
    return bad;
  });
  byId("date-problem").textContent = wrong.length ? "not a date: write year-month-day, such as 2026-05-31" : "";
};

const test = () => {
  const from = dateOf("from"), to = dateOf("to"), text = byId("text").value.trim().toLowerCase();
  return (scene) => (scene.datasets.length ? scene.datasets.some((dataset) => !off.dataset.has(dataset)) : !off.dataset.has(-1))
    && !off.state.has(scene.state) && (!from || scene.day >= from) && (!to || (scene.day && scene.day <= to))
    && (!text || scene.find.includes(text));
};

const nameOf = (dataset) => (dataset < 0 ? "no longer wanted" : names[dataset]);
/* The filters that are set, in words. */
export const filtersInWords = () => {
  const chosen = (kind, words) => [...document.querySelectorAll(`.on[data-${kind}]`)]
    .map((chip) => chip.dataset[kind]).filter((value) => !off[kind].has(kind === "dataset" ? Number(value) : value)).map(words).join(", ") || "none";
  const parts = [];
  if (area !== null) parts.push(`area ${areas[area].name}`);
  if (off.dataset.size) parts.push(`dataset ${chosen("dataset", (value) => nameOf(Number(value)))}`);
  if (off.state.size) parts.push(`state ${chosen("state", (value) => WORDS[value])}`);
  if (dateOf("from")) parts.push(`acquired from ${dateOf("from")}`);
  if (dateOf("to")) parts.push(`acquired until ${dateOf("to")}`);
  if (byId("text").value.trim()) parts.push(`id with “${byId("text").value.trim()}”`);
  return parts.join("; ");
};

export const refilter = () => {
  checkDates();
  passed = scenes.filter(test());
  shown = area === null ? passed : passed.filter((scene) => scene.areas.includes(area));
  const words = filtersInWords();
  byId("count").textContent = (shown.length === scenes.length ? count(scenes.length, "scene") : `${number(shown.length)} of ${count(scenes.length, "scene")}`)
    + (area === null ? "" : ` over ${areas[area].name}`);
  setOff(byId("reset"), !words && !byId("from").value && !byId("to").value);
  byId("printed-filter").textContent = words ? `Filtered: ${words}. ${byId("count").textContent} are shown.` : "";
  document.querySelectorAll(".on").forEach((chip) => {
    const [kind] = Object.keys(chip.dataset), value = chip.dataset[kind];
    chip.setAttribute("aria-pressed", String(!off[kind].has(kind === "dataset" ? Number(value) : value)));
  });
  document.documentElement.dataset.shown = shown.length;
  views.forEach((view) => view());
};

/* Show the scenes of one area, or of all areas if it is null. */
export const setArea = (index) => { area = index; refilter(); };
export const setDates = (from, to) => { byId("from").value = from; byId("to").value = to; refilter(); };

const values = (kind) => [...document.querySelectorAll(`.on[data-${kind}]`)].map((chip) => (kind === "dataset" ? Number(chip.dataset[kind]) : chip.dataset[kind]));
const setOnly = (kind, wanted) => { off[kind] = new Set(values(kind).filter((value) => !wanted.includes(value))); };

/* What is set, for a link; and the other way round. Names are written, because a later report may have other numbers. */
export const toParameters = (parameters) => {
  if (off.dataset.size) values("dataset").filter((value) => !off.dataset.has(value)).forEach((value) => parameters.append("dataset", value < 0 ? "-" : names[value]));
  if (off.state.size) values("state").filter((value) => !off.state.has(value)).forEach((value) => parameters.append("state", value));
  if (area !== null) parameters.set("area", areas[area].name);
  for (const id of ["from", "to", "text"]) if (byId(id).value.trim()) parameters.set(id, byId(id).value.trim());
};
export const fromParameters = (parameters) => {
  const datasets = parameters.getAll("dataset").map((name) => (name === "-" ? -1 : names.indexOf(name)));
  off.dataset = new Set(); off.state = new Set();
  if (datasets.length) setOnly("dataset", datasets);
  if (parameters.has("state")) setOnly("state", parameters.getAll("state"));
  const found = areas.findIndex(({ name }) => name === parameters.get("area"));
  area = found < 0 ? null : found;
  for (const id of ["from", "to", "text"]) byId(id).value = parameters.get(id) || "";
};

document.querySelectorAll(".on").forEach((chip) => chip.addEventListener("click", () => {
  const [kind] = Object.keys(chip.dataset), value = kind === "dataset" ? Number(chip.dataset[kind]) : chip.dataset[kind];
  if (!off[kind].delete(value)) off[kind].add(value);
  refilter();
}));
document.querySelectorAll(".only").forEach((button) => button.addEventListener("click", () => {
  const kind = button.dataset.only;
  setOnly(kind, [kind === "dataset" ? Number(button.dataset.value) : button.dataset.value]);
  refilter();
}));
let waiting = 0;
byId("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refilter, 120); });
byId("from").addEventListener("change", refilter);
byId("to").addEventListener("change", refilter);
byId("filters").addEventListener("submit", (event) => { event.preventDefault(); refilter(); });
byId("filters").addEventListener("reset", (event) => {
  event.preventDefault();
  if (isOff(byId("reset"))) return;
  fromParameters(new URLSearchParams());
  refilter();
});
