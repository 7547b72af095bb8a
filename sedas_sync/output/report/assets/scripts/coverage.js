/* For each area, a calendar strip of its acquisitions and the longest time without any. */
import { areas, names, union } from "./data.js";
import { areaShown, dateOf, onFilter, setArea, shownOverAllAreas } from "./filters.js";
import { select } from "./selection.js";
import { hideTip, pointAt } from "./tip.js";
import { DAY, byId, count, dayOf, draw, make, number } from "./words.js";

const FOLDED = 12;
const BINS = 160;
/* Of the scenes of a day, the first kind of this list is drawn. */
const KINDS = ["clear", "cloudy", "failed", "pending", "missing"];
const HEIGHTS = { clear: 1, cloudy: 0.6, failed: 1, pending: 0.45, missing: 0.25 };
const watchers = [];
let unfolded = false;

/* Call a watcher with the box of an area that was chosen. */
export const onArea = (watcher) => watchers.push(watcher);

const clearUpTo = () => { const value = Number(byId("clear").value); return byId("clear").value.trim() !== "" && value >= 0 && value <= 100 ? value : 30; };
const kindOf = (scene, most) => (scene.state !== "held" ? scene.state : scene.cloud === undefined || scene.cloud <= most ? "clear" : "cloudy");
const dayNumber = (seconds) => Math.floor(seconds / DAY);

/* The longest time between neighbours of some days, and from the first and to the last day of the calendar; null if there
   are no days. */
const longestGap = (days, [first, last]) => {
  if (!days.length) return null;
  let gap = { days: 0, from: first, to: first }, before = first;
  for (const day of [...days, last]) {
    if (day - before > gap.days) gap = { days: day - before, from: before, to: day };
    before = day;
  }
  return gap;
};
const lengthOf = (gap) => (gap === null ? Infinity : gap.days);
const gapInWords = (gap) => `${dayOf(gap.from * DAY)} to ${dayOf(gap.to * DAY)}`;

/* Scenes by area; those over no area, by dataset. Scenes that no dataset wants are left out. */
const grouped = () => {
  const rows = areas.map((area, index) => ({ index, name: area.name, scenes: [] })), others = new Map();
  for (const scene of shownOverAllAreas()) {
    if (!scene.datasets.length) continue;
    for (const area of scene.areas) rows[area].scenes.push(scene);
    if (scene.areas.length) continue;
    if (!others.has(scene.dataset)) others.set(scene.dataset, { index: null, name: areas.length ? `${names[scene.dataset]}, no area` : names[scene.dataset], scenes: [] });
    others.get(scene.dataset).scenes.push(scene);
  }
  return [...rows, ...others.values()];
};
const axisOf = (rows) => {
  const days = rows.flatMap((row) => row.scenes).filter((scene) => scene.seconds !== null).map((scene) => dayNumber(scene.seconds));
  const edge = (id, known) => (dateOf(id) ? Date.parse(dateOf(id)) / 1000 / DAY : known);
  const first = days.reduce((a, b) => Math.min(a, b), Infinity), last = days.reduce((a, b) => Math.max(a, b), -Infinity);
  const axis = [edge("from", first), edge("to", last)];
  return axis.every(Number.isFinite) && axis[0] <= axis[1] ? axis : null;
};

const measure = (row, axis, most) => {
  const dated = [], held = [], clear = [], counts = {};
  for (const scene of row.scenes) {
    const kind = kindOf(scene, most);
    counts[kind] = (counts[kind] || 0) + 1;
    if (scene.seconds === null) continue;
    dated.push(scene);
    if (kind === "clear" || kind === "cloudy") held.push(dayNumber(scene.seconds));
    if (kind === "clear") clear.push(dayNumber(scene.seconds));
  }
  return { ...row, dated, counts, gap: longestGap(held, axis), clearGap: longestGap(clear, axis) };
};
const longestFirst = (a, b) => (lengthOf(b.gap) - lengthOf(a.gap) || 0) || (lengthOf(b.clearGap) - lengthOf(a.clearGap) || 0) || a.name.localeCompare(b.name);

const strip = (row, [first, last], most) => {
  const days = last - first + 1, step = Math.ceil(days / BINS), bins = Math.ceil(days / step);
  const filled = new Map();
  for (const scene of row.dated) {
    const bin = Math.floor((dayNumber(scene.seconds) - first) / step), kind = kindOf(scene, most);
    if (!filled.has(bin) || KINDS.indexOf(kind) < KINDS.indexOf(filled.get(bin))) filled.set(bin, kind);
  }
  const paths = new Map();
  for (const [bin, kind] of filled) paths.set(kind, `${paths.get(kind) || ""}M${bin} 1V${1 - HEIGHTS[kind]}h.86V1z`);
  const place = (day) => (day - first) / step;
  const picture = draw("svg", { class: "strip", viewBox: `0 0 ${bins} 1.3`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${count(row.dated.length, "acquisition")} over ${row.name}; ${row.gap ? `longest gap ${row.gap.days} days` : "none downloaded"}` },
  draw("rect", { class: "ground", width: bins, height: 1 }),
  ...[...paths].map(([kind, d]) => draw("path", { class: kind, d })),
  ...(row.gap && row.gap.days ? [draw("rect", { class: "gap", x: place(row.gap.from), width: Math.max(0.5, place(row.gap.to) - place(row.gap.from)), y: 1.1, height: 0.2 })] : []));
  const at = (event) => {
    const box = picture.getBoundingClientRect(), bin = Math.floor(((event.clientX - box.left) / box.width) * bins), day = first + bin * step;
    const found = row.dated.filter((scene) => Math.floor((dayNumber(scene.seconds) - first) / step) === bin).reverse();
    const end = Math.min(last, day + step - 1);
    return [found, step > 1 ? `${dayOf(day * DAY)} to ${dayOf(end * DAY)}` : dayOf(day * DAY)];
  };
  picture.onmousemove = (event) => { const [found, words] = at(event); pointAt(event, found, `${row.name}, ${words}`); };
  picture.onmouseleave = hideTip;
  picture.onclick = (event) => { const [found] = at(event); if (found.length) select(found[0], { among: found, move: true, reveal: true }); };
  return picture;
};

const cell = (className, label, ...children) => { const made = make("td", { className }, ...children); made.dataset.label = label; return made; };
const rowOf = (row, axis, most) => {
  const name = row.index === null ? row.name : make("button", { type: "button", className: "link", title: row.name }, row.name);
  const line = make("tr", {}, make("th", { scope: "row" }, name), make("td", { className: "strip" }, strip(row, axis, most)));
  const held = (row.counts.clear || 0) + (row.counts.cloudy || 0);
  line.append(cell("number", "Scenes", `${number(held)} of ${number(row.scenes.length)}`), cell("number", "Clear", number(row.counts.clear || 0)));
  for (const [kind, words] of [["pending", "On order"], ["missing", "Missing"], ["failed", "Failed"]]) {
    const value = row.counts[kind] || 0;
    line.append(cell(`number ${value ? kind : "zero"}`, words, number(value)));
  }
  for (const [gap, words] of [[row.gap, "Longest gap"], [row.clearGap, "Without clear"]]) {
    line.append(cell("gap", words, make("b", {}, gap ? `${number(gap.days)} d` : "none"), make("small", {}, gap && gap.days ? ` from ${dayOf(gap.from * DAY)}` : "")));
    line.lastChild.title = gap && gap.days ? gapInWords(gap) : "";
  }
  if (row.index !== null) {
    name.setAttribute("aria-pressed", String(areaShown() === row.index));
    name.onclick = () => {
      const chosen = areaShown() === row.index ? null : row.index;
      setArea(chosen);
      watchers.forEach((watcher) => watcher(chosen === null ? union(areas.map(({ box }) => box)) : areas[chosen].box));
      document.querySelector(`#coverage tr[data-area="${row.index}"] .link`)?.focus();
    };
    line.dataset.area = row.index;
    line.setAttribute("aria-selected", String(areaShown() === row.index));
    line.classList.toggle("chosen", areaShown() === row.index);
  }
  return line;
};

const show = () => {
  const rows = grouped(), axis = axisOf(rows), body = byId("coverage").tBodies[0], most = clearUpTo();
  byId("coverage-scroll").hidden = axis === null;
  byId("all-areas").hidden = axis === null || unfolded || rows.length <= FOLDED;
  if (axis === null) { byId("coverage-text").textContent = "No acquisitions to show."; return; }
  const measured = rows.map((row) => measure(row, axis, most)).sort(longestFirst);
  const [worst] = measured;
  byId("coverage-text").replaceChildren(...(worst.gap
    ? ["Longest time without a downloaded scene: ", make("b", {}, `${worst.name}, ${count(worst.gap.days, "day")}`), worst.gap.days ? `, ${gapInWords(worst.gap)}.` : "."]
    : ["No scene is downloaded: ", make("b", {}, worst.name), "."]));
  byId("coverage-from").textContent = dayOf(axis[0] * DAY);
  byId("coverage-to").textContent = dayOf(axis[1] * DAY);
  body.replaceChildren(...(unfolded ? measured : measured.slice(0, FOLDED)).map((row) => rowOf(row, axis, most)));
  byId("all-areas").textContent = `Show all ${number(rows.length)} areas`;
};

/* Show all areas, or only the first ones. Returns whether all were shown before. */
export const unfoldAreas = (all) => { const before = unfolded; unfolded = all; show(); return before; };

export const startCoverage = () => {
  onFilter(show);
  byId("clear").addEventListener("change", show);
  byId("all-areas").onclick = () => { unfoldAreas(true); byId("coverage-scroll").focus(); };
};
