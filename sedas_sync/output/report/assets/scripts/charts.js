/* Small charts of what is shown: cloud cover, acquisitions of each month, bytes of each dataset. */
import { names, scenes } from "./data.js";
import { onFilter, shownScenes } from "./filters.js";
import { byId, count, draw, make, size } from "./words.js";

const WIDE = 320, HIGH = 120, FOOT = 18;
const CLOUD = 10;
const LABELS = 6;
const MONTHS = 48;

/* Bars with words for each: `[label, value, words]`. */
const bars = (title, rows, summary) => {
  const most = Math.max(1, ...rows.map(([, value]) => value)), wide = WIDE / Math.max(1, rows.length), every = Math.ceil(rows.length / LABELS);
  const picture = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH + FOOT}`, role: "img", "aria-label": `${title}: ${summary}` });
  rows.forEach(([label, value, words], i) => {
    const high = (value / most) * (HIGH - 14), x = i * wide;
    const bar = draw("rect", { x: x + wide * 0.08, y: HIGH - high, width: wide * 0.84, height: high }, draw("title", {}, `${label}: ${words}`));
    picture.append(bar);
    if (i % every === 0) picture.append(draw("text", { x: x + (every > 1 ? wide * 0.08 : wide / 2), y: HIGH + 13, "text-anchor": every > 1 ? "start" : "middle" }, label));
    if (value === most) picture.append(draw("text", { x: Math.min(WIDE - 14, Math.max(14, x + wide / 2)), y: HIGH - high - 4, "text-anchor": "middle" }, words.split(" ")[0]));
  });
  picture.append(draw("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH }));
  return make("figure", { className: "chart" }, make("figcaption", {}, title), picture);
};

const clouds = () => {
  const bins = new Array(CLOUD).fill(0), known = shownScenes().filter((scene) => scene.cloud !== undefined);
  for (const scene of known) bins[Math.max(0, Math.min(CLOUD - 1, Math.floor(scene.cloud / CLOUD)))] += 1;
  return bars("Cloud cover in percent", bins.map((value, i) => [`${i * CLOUD}`, value, count(value, "scene")]), `${count(known.length, "scene")} with a figure`);
};
const months = () => {
  const dated = shownScenes().filter((scene) => scene.day);
  if (!dated.length) return bars("Acquisitions a month", [], "none");
  const monthOf = (scene) => Number(scene.day.slice(0, 4)) * 12 + Number(scene.day.slice(5, 7)) - 1;
  const first = monthOf(dated[0]), length = monthOf(dated[dated.length - 1]) - first + 1;
  const yearly = length > MONTHS, unit = (month) => (yearly ? Math.floor(month / 12) : month);
  const values = new Array(unit(first + length - 1) - unit(first) + 1).fill(0);
  for (const scene of dated) values[unit(monthOf(scene)) - unit(first)] += 1;
  const label = (i) => { const at = unit(first) + i; return yearly ? `${at}` : `${Math.floor(at / 12)}-${String((at % 12) + 1).padStart(2, "0")}`; };
  return bars(yearly ? "Acquisitions a year" : "Acquisitions a month", values.map((value, i) => [label(i), value, count(value, "scene")]),
    `${count(dated.length, "scene")} from ${dated[0].day} to ${dated[dated.length - 1].day}`);
};
/* A scene of several datasets counts for its first, so that the sum is what is on disk. */
const bytes = () => {
  const sums = new Map();
  for (const scene of shownScenes()) if (scene.state === "held") sums.set(scene.dataset, (sums.get(scene.dataset) || 0) + scene.size);
  const rows = [...sums].sort((a, b) => b[1] - a[1]), most = Math.max(1, ...rows.map(([, value]) => value));
  const list = make("table", { className: "bytes" }, make("tbody", {}, ...rows.map(([dataset, value]) => {
    const meter = draw("svg", { class: "meter", "aria-hidden": "true", focusable: "false" }, draw("rect", { width: `${(100 * value) / most}%`, height: "100%" }));
    return make("tr", {}, make("th", { scope: "row" }, dataset < 0 ? "no longer wanted" : names[dataset]), make("td", {}, meter), make("td", { className: "number" }, size(value)));
  })));
  return make("figure", { className: "chart" }, make("figcaption", {}, `Size on disk by dataset: ${size(rows.reduce((sum, [, value]) => sum + value, 0))}`), list);
};

export const startCharts = () => onFilter(() => {
  byId("charts").replaceChildren(...(scenes.some((scene) => scene.cloud !== undefined) ? [clouds()] : []), months(), bytes());
});
