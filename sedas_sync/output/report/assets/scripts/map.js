/* The map: land, footprints, areas and names. Leaflet moves it, and everything is painted on its canvases here. */
import { colour, colourOf, onColours, patternOf } from "./colours.js";
import { onArea } from "./coverage.js";
import { areas, covers, land, report, scenes, union } from "./data.js";
import { onFilter, shownScenes } from "./filters.js";
import { onSelect, select, selectedScene } from "./selection.js";
import { hideTip, pointAt } from "./tip.js";
import { byId, count, make } from "./words.js";

const DASHES = { held: [], pending: [6, 4], missing: [1.5, 4], failed: [] };
/* What a scene adds to the depth of its place. */
const WEIGHTS = { held: 3, pending: 1, missing: 0, failed: 1 };
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const sheet = report.west;

export const map = L.map("map", {
  zoomSnap: 0.5, minZoom: 1, maxZoom: 15, worldCopyJump: false, attributionControl: false,
  maxBounds: [[-89, sheet - 60], [89, sheet + 420]], maxBoundsViscosity: 0.8,
  zoomAnimation: !calm && scenes.length <= 5000, fadeAnimation: !calm, inertia: !calm,
});
L.control.scale({ imperial: false }).addTo(map);
L.control.attribution({ prefix: false }).addAttribution("Natural Earth, GeoNames").addTo(map);

/* Canvases that are painted whenever the map has moved, the lowest first. Browsers print a canvas on white and hide what lies
   below it, so on paper the lowest has everything. */
const layers = [];
const printing = () => document.documentElement.classList.contains("printing");
const Painted = L.Canvas.extend({
  initialize(paint, options) { L.Canvas.prototype.initialize.call(this, options); this.paint = paint; layers.push(this); },
  _updatePaths() { this._redraw(); },
  _draw() {
    const scale = 2 ** map.getZoom(), origin = map.getPixelOrigin(), { min } = this._bounds, size = this._bounds.getSize();
    const trace = (pixels, closed = true, ctx = this._ctx) => {
      for (let i = 0; i < pixels.length; i += 2) ctx[i ? "lineTo" : "moveTo"](pixels[i] * scale - origin.x, pixels[i + 1] * scale - origin.y);
      if (closed) ctx.closePath();
    };
    this._container.hidden = printing() && this !== layers[0];
    if (!printing()) { this.paint(this._ctx, trace, this._bounds); return; }
    if (this !== layers[0]) return;
    this._ctx.fillStyle = colour("sea");
    this._ctx.fillRect(min.x, min.y, size.x, size.y);
    layers.forEach(({ paint }) => paint(this._ctx, trace, this._bounds));
  },
  again() { if (this._map) this._redraw(); },
});
const canvas = (name, zIndex, paint, padding) => {
  map.createPane(name).style.zIndex = zIndex;
  return new Painted(paint, { pane: name, padding });
};
const shapeOf = (trace, { parts }, ctx) => parts.forEach((rings) => rings.forEach(({ pixels }) => trace(pixels, true, ctx)));
const onScreen = ([west, south, east, north], around) => west <= around.getEast() && east >= around.getWest() && south <= around.getNorth() && north >= around.getSouth();

/* ---------------------------------------------------------------------------------------------------------- land */

const ground = land();
canvas("land", 200, (ctx, trace) => {
  ctx.fillStyle = ctx.strokeStyle = colour("land");
  ctx.lineWidth = 1;
  for (const rings of ground.polygons) { ctx.beginPath(); rings.forEach((ring) => trace(ring)); ctx.fill("evenodd"); ctx.stroke(); }
  ctx.strokeStyle = colour("border");
  ctx.beginPath();
  for (const [line] of ground.borders) trace(line, false);
  ctx.stroke();
}, 0.5);

/* ---------------------------------------------------------------------------------------------------- footprints */

/* Scenes of a dataset and state whose outlines look the same at this zoom are painted as one; the largest lowest, so that
   the small can be seen. */
let ordered = [];
const reorder = () => {
  const area = ({ shape: { box } }) => (box[2] - box[0]) * (box[3] - box[1]);
  ordered = shownScenes().filter(({ shape }) => shape).map((scene) => [area(scene), scene]).sort((a, b) => b[0] - a[0]).map(([, scene]) => scene);
};
const grouped = (around) => {
  const scale = 2 ** map.getZoom(), found = new Map();
  const [west, south, east, north] = [around.getWest(), around.getSouth(), around.getEast(), around.getNorth()];
  for (const scene of ordered) {
    const { box, pixelBox } = scene.shape;
    if (box[0] > east || box[2] < west || box[1] > north || box[3] < south) continue;
    const key = `${Math.round(pixelBox[0] * scale)} ${Math.round(pixelBox[1] * scale)} ${Math.round(pixelBox[2] * scale)} ${Math.round(pixelBox[3] * scale)} ${scene.dataset} ${scene.state}`;
    const group = found.get(key);
    if (group) group.times += 1; else found.set(key, { scene, times: 1 });
  }
  return [...found.values()];
};
const corners = (around) => [around.getSouthWest(), around.getNorthWest(), around.getNorthEast(), around.getSouthEast()];
const holds = (shape, around) => shape.box[0] <= around.getWest() && shape.box[2] >= around.getEast() && shape.box[1] <= around.getSouth()
  && shape.box[3] >= around.getNorth() && corners(around).every(({ lat, lng }) => covers(shape, lng, lat));
/* How many scenes lie over each place of the view, by dataset: counted on a small canvas, where the colours are sums. */
const COARSE = 4;
const FULL = 3;
const counting = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const PATTERNS = [() => true, (x, y) => (x + y) % 4 < 2, (x, y) => (x - y + 4096) % 4 < 2, (x, y) => x % 4 < 2 && y % 4 < 2];
const counts = (drawn, trace, bounds) => {
  const wide = Math.ceil(bounds.getSize().x / COARSE), high = Math.ceil(bounds.getSize().y / COARSE), found = new Map();
  Object.assign(counting.canvas, { width: wide, height: high });
  for (const dataset of new Set(drawn.map(({ scene }) => scene.dataset))) {
    counting.setTransform(1, 0, 0, 1, 0, 0);
    counting.globalCompositeOperation = "copy"; counting.fillStyle = "#000"; counting.fillRect(0, 0, wide, high);
    counting.globalCompositeOperation = "lighter";
    counting.setTransform(1 / COARSE, 0, 0, 1 / COARSE, -bounds.min.x / COARSE, -bounds.min.y / COARSE);
    for (const { scene, times } of drawn) {
      if (scene.dataset !== dataset || !WEIGHTS[scene.state]) continue;
      counting.fillStyle = `rgb(${Math.min(255, WEIGHTS[scene.state] * times)} 0 0)`;
      counting.beginPath();
      shapeOf(trace, scene.shape, counting);
      counting.fill("evenodd");
    }
    found.set(dataset, counting.getImageData(0, 0, wide, high).data);
  }
  return { found, wide, high };
};
/* The deeper, the less transparent; the deepest place of the view is the measure. The colour is that of the datasets there. */
const shade = ({ found, wide, high }) => {
  const image = counting.createImageData(wide, high), sums = new Uint16Array(wide * high);
  for (const data of found.values()) for (let i = 0; i < sums.length; i += 1) sums[i] += data[4 * i];
  const deepest = Math.max(FULL, sums.reduce((a, b) => Math.max(a, b), 0)), deep = deepest / FULL, top = 255 * Math.min(0.6, 0.24 + 0.06 * Math.log2(deep));
  for (const [dataset, data] of found) {
    const rgb = colourOf(dataset).match(/[\d.]+/g).map(Number), pattern = PATTERNS[patternOf(dataset)];
    for (let i = 0; i < sums.length; i += 1) {
      const value = data[4 * i];
      if (!value || !pattern(i % wide, Math.floor(i / wide))) continue;
      for (let band = 0; band < 3; band += 1) image.data[4 * i + band] += (rgb[band] * value) / sums[i];
      image.data[4 * i + 3] += (top * Math.log1p(sums[i]) * value) / (Math.log1p(deepest) * sums[i]);
    }
  }
  counting.putImageData(image, 0, 0);
  return deep;
};
const sceneCanvas = canvas("scenes", 400, (ctx, trace, bounds) => {
  const around = map.getBounds(), whole = [], edged = [];
  for (const group of grouped(around.pad(0.2))) (holds(group.scene.shape, around) ? whole : edged).push(group);
  const deep = edged.length ? shade(counts(edged, trace, bounds)) : 1;
  if (edged.length) ctx.drawImage(counting.canvas, bounds.min.x, bounds.min.y, counting.canvas.width * COARSE, counting.canvas.height * COARSE);
  for (const { scene } of edged) {
    const failed = scene.state === "failed";
    ctx.beginPath();
    shapeOf(trace, scene.shape);
    ctx.globalAlpha = failed ? 0.9 : Math.max(0.12, Math.min(0.9, 8 / deep));
    ctx.strokeStyle = failed ? colour("failed") : colourOf(scene.dataset);
    ctx.lineWidth = failed ? 2 : deep > 16 ? 1 : 1.5;
    ctx.setLineDash(DASHES[scene.state]);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  ctx.setLineDash([]);
  const over = whole.reduce((sum, { times }) => sum + times, 0);
  byId("map-note").textContent = over ? `${count(over, "scene")} cover${over === 1 ? "s" : ""} all of this view` : "";
}, 0.2);

/* --------------------------------------------------------------------------------- areas, and the scene chosen */

const markCanvas = canvas("marks", 450, (ctx, trace) => {
  ctx.lineJoin = "round";
  const stroke = (width, name) => { ctx.lineWidth = width; ctx.strokeStyle = colour(name); ctx.stroke(); };
  for (const area of areas) {
    ctx.beginPath();
    /* An area that is a speck at this zoom is marked by a ring. */
    if (isSpeck(area)) {
      const at = map.latLngToLayerPoint(middle(area.box));
      ctx.arc(at.x, at.y, 5, 0, 2 * Math.PI);
    } else shapeOf(trace, area);
    ctx.globalAlpha = 0.55; stroke(5, "halo"); ctx.globalAlpha = 1; stroke(2, "aoi");
  }
  const scene = selectedScene();
  if (!scene || !scene.shape) return;
  ctx.beginPath();
  shapeOf(trace, scene.shape);
  if (!holds(scene.shape, map.getBounds())) { ctx.globalAlpha = 0.25; ctx.fillStyle = colourOf(scene.dataset); ctx.fill("evenodd"); ctx.globalAlpha = 1; }
  stroke(6, "casing"); stroke(3, "chosen");
}, 0.2);
const middle = ([west, south, east, north]) => [(south + north) / 2, (west + east) / 2];
const isSpeck = ({ box }) => {
  const a = map.latLngToLayerPoint([box[1], box[0]]), b = map.latLngToLayerPoint([box[3], box[2]]);
  return Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) < 9;
};

/* --------------------------------------------------------------------------------------------------------- names */

/* As many names as there is room for: areas first, then the largest places. A name that has no room is hidden. */
map.createPane("places").style.zIndex = 460;
map.getPane("places").style.pointerEvents = "none";
const labels = L.layerGroup();
const pen = document.createElement("canvas").getContext("2d");
const label = () => {
  labels.clearLayers();
  const zoom = map.getZoom(), around = map.getBounds(), frame = map.getContainer().getBoundingClientRect();
  const taken = [...map.getContainer().querySelectorAll(".leaflet-control")].map((control) => {
    const box = control.getBoundingClientRect();
    return [box.left - frame.left - 4, box.top - frame.top - 4, box.right - frame.left + 4, box.bottom - frame.top + 4];
  });
  const free = (box) => taken.every((other) => box[0] >= other[2] || box[2] <= other[0] || box[1] >= other[3] || box[3] <= other[1]);
  const put = (name, position, box, at, className) => {
    if (!free(box)) return false;
    taken.push(className === "aoi" ? box : [box[0] - 10, box[1] - 6, box[2] + 10, box[3] + 6]);
    const icon = L.divIcon({ className: `place ${className}`, html: make("span", {}, name), iconSize: [box[2] - box[0], box[3] - box[1]], iconAnchor: [at.x - box[0], at.y - box[1]] });
    labels.addLayer(L.marker(position, { icon, pane: "places", interactive: false, keyboard: false }));
    return true;
  };
  pen.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  for (const { name, box } of areas) {
    if (!onScreen(box, around)) continue;
    const wide = Math.min(240, pen.measureText(name).width + 16), x = middle(box)[1];
    const top = map.latLngToContainerPoint([Math.min(box[3], 84), x]), foot = map.latLngToContainerPoint([box[1], x]);
    const above = [top.x - wide / 2, top.y - 26, top.x + wide / 2, top.y - 7], below = [foot.x - wide / 2, foot.y + 7, foot.x + wide / 2, foot.y + 26];
    if (!put(name, [Math.min(box[3], 84), x], above, top, "aoi")) put(name, [box[1], x], below, foot, "aoi");
  }
  const candidates = zoom < 3 ? [] : [
    ...(zoom <= 6.5 ? report.places.countries.slice(0, zoom < 4 ? 45 : 250).map((place) => [...place, "country"]) : []),
    ...(zoom >= 4.5 ? report.places.cities.map((place) => [...place, "city"]) : []),
  ];
  const most = taken.length + Math.round(map.getSize().x / 40);
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  for (const [name, x, y, kind] of candidates) {
    if (taken.length >= most) break;
    if (!around.contains([y, x])) continue;
    const at = map.latLngToContainerPoint([y, x]), wide = pen.measureText(name).width * (kind === "country" ? 1.5 : 1) + 12;
    put(name, [y, x], kind === "country" ? [at.x - wide / 2, at.y - 9, at.x + wide / 2, at.y + 9] : [at.x - 6, at.y - 9, at.x + wide, at.y + 9], at, kind);
  }
};

/* -------------------------------------------------------------------------------------------------------- moving */

const fit = (boxes, options = {}) => {
  if (!boxes.length) { map.setView([25, sheet + 180], 2, { animate: false }); return; }
  const all = union(boxes);
  map.fitBounds([[Math.max(all[1], -84), all[0]], [Math.min(all[3], 84), all[2]]], { padding: [26, 26], maxZoom: 12, animate: false, ...options });
};
const areaBoxes = areas.map(({ box }) => box);
export const fitAll = () => fit([...shownScenes().filter(({ shape }) => shape).map(({ shape }) => shape.box), ...areaBoxes]);

const at = ({ lat, lng }) => shownScenes().filter(({ shape }) => shape && covers(shape, lng, lat)).reverse();
const choose = (place, options) => { const found = at(place); if (found.length) select(found[0], { among: found, ...options }); };

/* The wheel and one finger scroll the page. Ctrl and the wheel, or two fingers, zoom the map; the page shows that once. */
const help = (words) => {
  const place = byId("map-help");
  if (place.dataset.seen) return;
  place.dataset.seen = "true";
  place.textContent = words;
  place.hidden = false;
  setTimeout(() => { place.hidden = true; }, 2500);
};
const frame = byId("map").parentElement;
const early = { capture: true, passive: true };
frame.addEventListener("wheel", (event) => {
  if (event.ctrlKey || event.metaKey) return;
  event.stopPropagation();
  help("Hold Ctrl and turn the wheel to zoom the map.");
}, early);
frame.addEventListener("pointerdown", (event) => map.dragging[event.pointerType === "mouse" ? "enable" : "disable"](), early);
frame.addEventListener("touchmove", (event) => { if (event.touches.length === 1) help("Two fingers move and zoom the map."); }, early);

export const redrawMap = () => layers.forEach((layer) => layer.again());

export const startMap = () => {
  let due = 0;
  map.on("mousemove", (event) => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => {
      const found = at(event.latlng);
      map.getContainer().style.cursor = found.length ? "pointer" : "";
      pointAt(event.originalEvent, found);
    });
  });
  map.on("mouseout movestart zoomstart", () => { cancelAnimationFrame(due); hideTip(); });
  map.on("click", (event) => { cancelAnimationFrame(due); hideTip(); choose(event.latlng, { reveal: true }); });
  byId("map").addEventListener("keydown", (event) => { if (event.key === "Enter") choose(map.getCenter(), { focus: true }); });
  byId("fit-all").onclick = fitAll;
  byId("fit-aois").onclick = () => fit(areaBoxes);
  byId("fit-aois").hidden = !areaBoxes.length;
  byId("areas-label").hidden = areaBoxes.length < 2;
  byId("areas").append(...areas.map(({ name }, index) => make("option", { value: index }, name)));
  byId("areas").onchange = () => { if (byId("areas").value) fit([areas[byId("areas").value].box], { maxZoom: 11 }); byId("areas").value = ""; };
  onArea((box) => fit([box], { maxZoom: 11 }));
  onFilter(() => { reorder(); sceneCanvas.again(); });
  onSelect(({ move, zoom = false }) => {
    const scene = selectedScene(), box = scene && scene.shape && scene.shape.box;
    if (zoom) fit([box], { maxZoom: 11 });
    else if (move && box && !map.getBounds().intersects([[box[1], box[0]], [box[3], box[2]]])) fit([box], { maxZoom: map.getZoom() });
    markCanvas.again();
  });
  onColours(redrawMap);
  reorder();
  fitAll();
  [...layers, labels].forEach((layer) => layer.addTo(map));
  label();
  map.on("moveend", label);
};
