/* The timeline: each scene by its time and its cloud cover. Scenes without a figure lie in a lane of their own. */
import { colour, colourOf, onColours, patternOf } from "./colours.js";
import { scenes } from "./data.js";
import { dateOf, onFilter, setDates, shownScenes } from "./filters.js";
import { onSelect, select, selectedScene } from "./selection.js";
import { hideTip, pointAt } from "./tip.js";
import { DAY, byId, count, dayOf } from "./words.js";

const NO_CLOUD = -30;
const LANE = [0, 6, -6, 12, -12];
const PASS = 10800;
const CLOSE = 9;
const DATES = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];
const place = byId("timeline");
const lanes = scenes.some((scene) => scene.cloud === undefined && scene.seconds !== null);
const clouds = scenes.some((scene) => scene.cloud !== undefined);
let plot = null;

const slots = new Map();
for (const scene of scenes) {
  if (scene.cloud !== undefined || scene.seconds === null) continue;
  const slot = Math.round(scene.seconds / PASS);
  slots.set(slot, (slots.get(slot) || 0) + 1);
  scene.lane = NO_CLOUD + LANE[(slots.get(slot) - 1) % LANE.length];
}
const height = (scene) => (scene.cloud === undefined ? scene.lane : scene.cloud);
const timed = () => shownScenes().filter((scene) => scene.seconds !== null);
const data = () => { const list = timed(); return [list.map((scene) => scene.seconds), list.map(height)]; };

const range = () => {
  const list = timed();
  const first = dateOf("from") ? Date.parse(dateOf("from")) / 1000 : list.length ? list[0].seconds : Date.UTC(2019) / 1000;
  const last = dateOf("to") ? Date.parse(dateOf("to")) / 1000 + DAY : list.length ? list[list.length - 1].seconds : first + 30 * DAY;
  const room = Math.max((last - first) * 0.02, 6 * 3600);
  return [first - room, Math.max(last, first) + room];
};

/* A dot, a square, a triangle or a diamond: datasets from the eleventh on differ by their shape. */
const shape = (ctx, x, y, r, pattern) => {
  ctx.beginPath();
  if (pattern === 0) ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (pattern === 1) ctx.rect(x - r, y - r, 2 * r, 2 * r);
  else if (pattern === 2) { ctx.moveTo(x, y - r * 1.2); ctx.lineTo(x + r * 1.2, y + r); ctx.lineTo(x - r * 1.2, y + r); ctx.closePath(); }
  else { ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.3, y); ctx.lineTo(x, y + r * 1.3); ctx.lineTo(x - r * 1.3, y); ctx.closePath(); }
};
const dots = (u) => {
  const list = timed(), ratio = devicePixelRatio, ctx = u.ctx;
  const radius = (list.length > 4000 ? 2 : list.length > 600 ? 2.5 : 3.5) * ratio;
  const panel = colour("panel");
  ctx.save();
  for (const scene of list) {
    const own = colourOf(scene.dataset), held = scene.state === "held";
    shape(ctx, u.valToPos(scene.seconds, "x", true), u.valToPos(height(scene), "y", true), radius, patternOf(scene.dataset));
    ctx.fillStyle = held ? own : panel; ctx.strokeStyle = held ? panel : own;
    ctx.lineWidth = (held ? 0.5 : 1.5) * ratio;
    ctx.fill(); ctx.stroke();
  }
  const scene = selectedScene();
  if (scene && scene.seconds !== null) {
    shape(ctx, u.valToPos(scene.seconds, "x", true), u.valToPos(height(scene), "y", true), 8 * ratio, 0);
    ctx.lineWidth = 2 * ratio; ctx.strokeStyle = colour("ink"); ctx.stroke();
  }
  ctx.restore();
};

const options = () => {
  const soft = colour("soft"), line = colour("line");
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 }, font: "12px Inter, system-ui, sans-serif" };
  const splits = [...(lanes ? [NO_CLOUD] : []), ...(clouds ? [0, 25, 50, 75, 100] : [])];
  return {
    width: place.clientWidth, height: place.clientHeight, legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { points: { show: false }, y: false, drag: { x: true, y: false, setScale: false } },
    scales: { x: { time: true, range }, y: { range: () => [lanes ? NO_CLOUD - 20 : -6, clouds ? 106 : NO_CLOUD + 20] } },
    axes: [{ ...axis, values: DATES }, { ...axis, size: 74, splits: () => splits, values: (_, values) => values.map((value) => (value === NO_CLOUD ? "no figure" : `${value} %`)) }],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: {
      draw: [dots],
      setSelect: [(u) => {
        if (u.select.width < 4) return;
        const day = (pixel) => dayOf(u.posToVal(pixel, "x"));
        const dates = [day(u.select.left), day(u.select.left + u.select.width)];
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        setDates(...dates);
      }],
    },
  };
};

const nearest = (event) => {
  const box = plot.over.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const found = [];
  for (const scene of timed()) {
    const dx = plot.valToPos(scene.seconds, "x") - x;
    if (dx < -CLOSE || dx > CLOSE) continue;
    const far = Math.hypot(dx, plot.valToPos(height(scene), "y") - y);
    if (far < CLOSE) found.push([far, scene]);
  }
  return found.sort((a, b) => a[0] - b[0]).map(([, scene]) => scene);
};
const describe = () => {
  const list = timed(), figures = list.filter((scene) => scene.cloud !== undefined).map((scene) => scene.cloud).sort((a, b) => a - b);
  byId("timeline-text").textContent = list.length
    ? `${count(list.length, "acquisition")} from ${list[0].day} to ${list[list.length - 1].day}` + (figures.length ? `; cloud cover from ${figures[0]} to ${figures[figures.length - 1]} percent, median ${figures[figures.length >> 1]}.` : ".")
    : "No acquisitions to show.";
};
const build = () => {
  if (plot) plot.destroy();
  plot = new uPlot(options(), data(), place);
  plot.over.addEventListener("mousemove", (event) => pointAt(event, nearest(event)));
  plot.over.addEventListener("mouseleave", hideTip);
  plot.over.addEventListener("click", (event) => { hideTip(); const found = nearest(event); if (found.length) select(found[0], { move: true, reveal: true }); });
  describe();
};

/* Left and right choose the scene before and after, Home and End the first and the last. */
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const step = (event) => {
  const list = timed(), by = STEPS[event.key];
  if (by === undefined || !list.length) return;
  event.preventDefault();
  const now = list.indexOf(selectedScene());
  const next = now < 0 ? (by > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, now + by));
  select(list[Number.isFinite(by) ? next : by > 0 ? list.length - 1 : 0], { move: true });
};

/* Draw for the width of the page as it is now. */
export const resizeTimeline = () => { if (place.clientWidth) plot.setSize({ width: place.clientWidth, height: place.clientHeight }); };

export const startTimeline = () => {
  build();
  onFilter(() => { plot.setData(data()); describe(); });
  onSelect(() => plot.redraw(false));
  onColours(build);
  place.addEventListener("keydown", step);
  new ResizeObserver(resizeTimeline).observe(place);
};
