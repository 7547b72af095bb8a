/* The document: scenes, areas, orders, failures, land and names of places. It is compressed in the page. */
import { byId } from "./words.js";

const inflated = async (text) => {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
};

export const report = await inflated(byId("data").textContent);

const rows = (columns) => {
  const names = Object.keys(columns);
  if (!names.length) return [];
  return columns[names[0]].map((_, i) => {
    const row = {};
    for (const name of names) if (columns[name][i] !== null) row[name] = columns[name][i];
    return row;
  });
};

/* Mercator, in pixels of zoom level 0. */
const flat = (x, y) => {
  const sine = Math.sin((Math.max(-85.05, Math.min(85.05, y)) * Math.PI) / 180);
  return [((x + 180) / 360) * 256, (0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)) * 256];
};

/* A ring of degrees, and the same in pixels. */
const ring = (steps, scale) => {
  const degrees = new Float64Array(steps.length), pixels = new Float64Array(steps.length);
  let x = 0, y = 0;
  for (let i = 0; i < steps.length; i += 2) {
    x += steps[i]; y += steps[i + 1];
    degrees[i] = x / scale; degrees[i + 1] = y / scale;
    const at = flat(degrees[i], degrees[i + 1]);
    pixels[i] = at[0]; pixels[i + 1] = at[1];
  }
  return { degrees, pixels };
};

const boxOf = (parts, unit) => {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [{ [unit]: numbers }] of parts) {
    for (let i = 0; i < numbers.length; i += 2) {
      box[0] = Math.min(box[0], numbers[i]); box[1] = Math.min(box[1], numbers[i + 1]);
      box[2] = Math.max(box[2], numbers[i]); box[3] = Math.max(box[3], numbers[i + 1]);
    }
  }
  return box;
};
const outline = (polygons, scale) => {
  const parts = polygons.map((rings) => rings.map((steps) => ring(steps, scale)));
  return { parts, box: boxOf(parts, "degrees"), pixelBox: boxOf(parts, "pixels") };
};

/* West, south, east and north around boxes. */
export const union = (boxes) => boxes.reduce((a, b) => [
  Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3]),
]);

const outlines = report.outlines.map((polygons) => outline(polygons, report.scales.scene));
export const names = report.datasets;
export const areas = report.aois.map(({ name, outline: polygons }) => ({ name, ...outline(polygons, report.scales.aoi) }));
export const scenes = rows(report.scenes);
export const orders = rows(report.orders);
export const failures = rows(report.failures);

scenes.forEach((scene, index) => {
  scene.index = index;
  scene.state = report.states[scene.state];
  scene.dataset = scene.datasets.length ? scene.datasets[0] : -1;
  scene.day = scene.start ? scene.start.slice(0, 10) : "";
  scene.seconds = scene.start ? Date.parse(scene.start) / 1000 : null;
  scene.find = scene.id.toLowerCase();
  if (scene.path) scene.path = scene.path.replaceAll("*", scene.id);
  scene.shape = scene.outline === undefined ? null : outlines[scene.outline];
});
const join = (item) => {
  if (typeof item.scene === "number") item.scene = scenes[item.scene];
  else item.scene = { id: item.scene, listed: false };
  return item;
};
orders.map(join).forEach((order) => { order.scene.order = order; });
failures.map(join).forEach((failure) => { failure.scene.error = failure.error; });

export const sceneOf = new Map(scenes.map((scene) => [scene.id, scene]));

const inRing = (degrees, x, y) => {
  let odd = false;
  for (let i = 0, j = degrees.length - 2; i < degrees.length; j = i, i += 2) {
    if ((degrees[i + 1] > y) !== (degrees[j + 1] > y)
      && x < ((degrees[j] - degrees[i]) * (y - degrees[i + 1])) / (degrees[j + 1] - degrees[i + 1]) + degrees[i]) odd = !odd;
  }
  return odd;
};
/* Whether a place is inside an outline. */
export const covers = ({ parts, box }, x, y) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]
  && parts.some((rings) => rings.filter(({ degrees }) => inRing(degrees, x, y)).length % 2 === 1);

/* Land: a ring that crosses the antimeridian, or runs round a pole, comes without a break there. It is laid out flat, and
   drawn as often as the sheet of longitudes shows a part of it. */
export const land = () => {
  const { lines, polygons, borders } = report.land, scale = report.scales.land, sheet = report.west;
  const decoded = lines.map((steps) => {
    const line = [];
    let x = 0, y = 0;
    for (let i = 0; i < steps.length; i += 2) { x += steps[i]; y += steps[i + 1]; line.push([x / scale, y / scale]); }
    return line;
  });
  const line = (index) => (index >= 0 ? decoded[index] : [...decoded[~index]].reverse());
  const laid = (positions, closed) => {
    let turn = 0, before = positions[0];
    const out = positions.map((at) => { turn -= 360 * Math.round((at[0] - before[0]) / 360); before = at; return [at[0] + turn, at[1]]; });
    const first = out[0], last = out[out.length - 1];
    if (closed && Math.abs(last[0] - first[0]) > 180) out.push([last[0], -85], [first[0], -85]);
    return out;
  };
  const repeated = (rings) => [-360, 0, 360]
    .filter((turn) => rings[0].some(([x]) => x + turn > sheet) && rings[0].some(([x]) => x + turn < sheet + 360))
    .map((turn) => rings.map((positions) => {
      const out = new Float64Array(positions.length * 2);
      positions.forEach(([x, y], i) => { const at = flat(x + turn, y); out[2 * i] = at[0]; out[2 * i + 1] = at[1]; });
      return out;
    }));
  return {
    polygons: polygons.flatMap((rings) => repeated(rings.map((indexes) => laid(indexes.flatMap(line), true)))),
    borders: borders.flatMap((index) => repeated([laid(line(index), false)])),
  };
};
