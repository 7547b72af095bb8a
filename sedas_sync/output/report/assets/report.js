/* The page's behaviour: one list of scenes, filtered in one place, shown on a map, a timeline and in a table.
   Text from the document reaches the page as text only, never as markup. */
(() => {
  "use strict";

  const PAGE = 25;
  const NO_CLOUD = -30;
  const DATES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  ];
  const LANE = [0, 6, -6, 12, -12];
  const STATES = ["held", "pending", "missing", "failed"];
  const WORDS = { held: "held", pending: "on order", missing: "missing", failed: "failed" };
  const DASHES = { held: null, pending: "6 4", missing: "1.5 4", failed: null };

  const byId = (id) => document.getElementById(id);
  byId("explore").hidden = false;
  const report = JSON.parse(byId("data").textContent);
  const scenes = report.scenes;
  const names = report.datasets.map((dataset) => dataset.dataset);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const number = (value) => value.toLocaleString("en-GB");
  const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
  const size = (bytes) => {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let value = bytes, unit = 0;
    while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
    return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
  };
  const moment = (text) => (text ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : "not known");
  const cloud = (scene) => (scene.cloud === undefined ? "–" : `${scene.cloud} %`);
  const swatch = (dataset) => make("i", { className: `swatch ${dataset < 0 ? "none" : `c${dataset % 10}`}` });
  const mark = (state) => make("i", { className: `mark ${state}` });
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const colourOf = (dataset) => colour(dataset < 0 ? "missing" : `c${dataset % 10}`);

  const bounds = (outline) => {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const [shell] of outline) {
      for (let i = 0; i < shell.length; i += 2) {
        box[0] = Math.min(box[0], shell[i]); box[1] = Math.min(box[1], shell[i + 1]);
        box[2] = Math.max(box[2], shell[i]); box[3] = Math.max(box[3], shell[i + 1]);
      }
    }
    return box;
  };
  const union = (boxes) => boxes.reduce((a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])]);
  scenes.forEach((scene, index) => {
    scene.index = index;
    scene.dataset = scene.datasets.length ? scene.datasets[0] : -1;
    scene.seconds = scene.start ? Date.parse(scene.start) / 1000 : null;
    scene.box = scene.outline ? bounds(scene.outline) : null;
  });
  const sceneOf = new Map(scenes.map((scene) => [scene.id, scene]));

  /* ------------------------------------------------------------------------------------------------- filtering */

  const off = { dataset: new Set(), state: new Set() };
  let shown = scenes;
  const views = [];

  const passes = () => {
    const from = byId("from").value, to = byId("to").value, text = byId("text").value.trim().toLowerCase();
    return (scene) => {
      const day = scene.start ? scene.start.slice(0, 10) : "";
      const within = scene.datasets.length ? scene.datasets.some((dataset) => !off.dataset.has(dataset)) : !off.dataset.has(-1);
      return within && !off.state.has(scene.state) && (!from || day >= from) && (!to || (day && day <= to))
        && (!text || scene.id.toLowerCase().includes(text));
    };
  };

  const refilter = () => {
    shown = scenes.filter(passes());
    byId("count").textContent = shown.length === scenes.length ? count(scenes.length, "scene") : `${number(shown.length)} of ${count(scenes.length, "scene")}`;
    byId("reset").disabled = shown.length === scenes.length && !byId("from").value && !byId("to").value && !byId("text").value;
    document.documentElement.dataset.shown = shown.length;
    views.forEach((view) => view());
  };

  document.querySelectorAll(".chip").forEach((chip) => chip.addEventListener("click", () => {
    const kind = "dataset" in chip.dataset ? "dataset" : "state";
    const value = kind === "dataset" ? Number(chip.dataset.dataset) : chip.dataset.state;
    const pressed = chip.getAttribute("aria-pressed") === "true";
    chip.setAttribute("aria-pressed", String(!pressed));
    if (pressed) off[kind].add(value); else off[kind].delete(value);
    refilter();
  }));
  let waiting = 0;
  byId("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refilter, 120); });
  byId("from").addEventListener("change", refilter);
  byId("to").addEventListener("change", refilter);
  byId("filters").addEventListener("submit", (event) => { event.preventDefault(); refilter(); });
  byId("filters").addEventListener("reset", () => setTimeout(() => {
    off.dataset.clear(); off.state.clear();
    document.querySelectorAll(".chip").forEach((chip) => chip.setAttribute("aria-pressed", "true"));
    refilter();
  }));

  /* -------------------------------------------------------------------------------------------------- selecting */

  let selected = null;
  let hits = [];

  const select = (scene, among = [scene], { move = false, focus = false } = {}) => {
    selected = scene; hits = among;
    describe();
    map.mark(scene, move);
    timeline.mark();
    table.mark();
    if (focus) { byId("details-title").focus({ preventScroll: true }); byId("explore").querySelector(".stage").scrollIntoView({ block: "nearest" }); }
  };

  const describe = () => {
    const place = byId("details");
    byId("details-title").textContent = hits.length > 1 ? `${number(hits.length)} scenes here` : "Scene";
    if (!selected) {
      const hint = scenes.length
        ? "Choose a footprint, a dot in the timeline or a row of the list to see what is known of it."
        : "There are no scenes to show yet.";
      const newest = scenes.slice(-12).reverse();
      place.replaceChildren(make("p", { className: "empty" }, hint));
      if (newest.length) place.append(listOf(newest, "Newest acquisitions"));
      return;
    }
    const scene = selected;
    const facts = make("dl");
    const add = (term, ...value) => facts.append(make("dt", {}, term), make("dd", {}, ...value));
    add("State", mark(scene.state), WORDS[scene.state], scene.changed ? ", changed since it was fetched" : "");
    if (scene.error) { add("Last error", scene.error); facts.lastChild.className = "error"; }
    if (scene.order) add("Order", make("code", {}, scene.order));
    add(scene.datasets.length > 1 ? "Datasets" : "Dataset", ...(scene.datasets.length
      ? scene.datasets.flatMap((dataset, i) => [i ? " " : "", swatch(dataset), names[dataset]]) : ["no longer wanted"]));
    add("Acquired", scene.start ? `${moment(scene.start)} UTC` : "not known");
    const what = [scene.satellite, scene.mode, scene.product].filter(Boolean).join(" ");
    if (what) add("Product", what);
    if (scene.cloud !== undefined) add("Cloud cover", cloud(scene));
    if (scene.polarisation) add("Polarisation", scene.polarisation);
    const orbit = [scene.relative_orbit && `relative ${scene.relative_orbit}`, scene.direction && scene.direction.toLowerCase()].filter(Boolean).join(", ");
    if (orbit) add("Orbit", orbit);
    if (scene.tile) add("Tile", scene.tile);
    if (scene.size !== undefined) add("Size", size(scene.size));
    if (scene.path) add("File", make("code", {}, scene.path));
    if (scene.checked) add("Checked", { digest: "digest and contents agree", crc: "every entry read", structure: "structure", size: "size only" }[scene.checked] || scene.checked);
    if (scene.sha256) add("SHA-256", make("code", {}, scene.sha256));
    if (!scene.outline) add("Footprint", "not known");
    const row = make("div", { className: "row" });
    if (scene.outline) row.append(make("button", { type: "button", className: "quiet", onclick: () => map.show(scene) }, "Zoom to it"));
    if (navigator.clipboard) {
      const copy = make("button", { type: "button", className: "quiet" }, "Copy id");
      copy.onclick = () => navigator.clipboard.writeText(scene.id).then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "Not allowed"; });
      row.append(copy);
    }
    place.replaceChildren(make("code", { className: "id" }, scene.id), facts, row);
    if (hits.length > 1) place.append(listOf(hits, "All scenes here, newest first"));
  };

  const listOf = (among, title) => {
    const list = make("ul", {});
    list.setAttribute("aria-label", title);
    const most = 100;
    for (const scene of among.slice(0, most)) {
      const button = make("button", { type: "button", title: scene.id }, swatch(scene.dataset), moment(scene.start),
        make("span", { className: "end" }, scene.cloud === undefined ? "" : `${cloud(scene)} `, scene.state === "held" ? "" : WORDS[scene.state]));
      button.setAttribute("aria-current", String(scene === selected));
      button.onclick = () => select(scene, selected ? among : [scene], { move: true, focus: true });
      list.append(make("li", {}, button));
    }
    if (among.length > most) list.append(make("li", {}, `and ${number(among.length - most)} more`));
    return make("div", { className: "hits" }, make("p", {}, title), list);
  };

  const tip = byId("tip");
  const pointAt = (x, y, found) => {
    tip.hidden = !found.length;
    if (tip.hidden) return;
    const scene = found[0];
    tip.replaceChildren(swatch(scene.dataset), make("b", {}, scene.id),
      make("div", {}, [moment(scene.start), scene.cloud === undefined ? "" : `cloud ${cloud(scene)}`, WORDS[scene.state]].filter(Boolean).join(" · ")));
    if (found.length > 1) tip.append(make("div", {}, `and ${count(found.length - 1, "other scene")} here`));
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
  };

  /* -------------------------------------------------------------------------------------------------------- map */

  const map = (() => {
    const sheet = report.west;
    const view = L.map("map", {
      preferCanvas: true, zoomSnap: 0.5, minZoom: 1, maxZoom: 15, worldCopyJump: false, attributionControl: false,
      maxBounds: [[-89, sheet - 60], [89, sheet + 420]], maxBoundsViscosity: 0.8,
      zoomAnimation: !calm && scenes.length <= 5000, fadeAnimation: !calm, inertia: !calm,
    });
    view.createPane("land").style.zIndex = 200;
    view.createPane("scenes").style.zIndex = 400;
    view.createPane("marks").style.zIndex = 450;
    view.createPane("names").style.zIndex = 460;
    const places = view.createPane("places");
    places.style.zIndex = 440;
    places.style.pointerEvents = "none";
    const landCanvas = L.canvas({ pane: "land", padding: 0.5 });
    const sceneCanvas = L.canvas({ pane: "scenes", padding: 0.2 });
    const markCanvas = L.canvas({ pane: "marks", padding: 0.2 });
    L.control.scale({ imperial: false }).addTo(view);
    L.control.attribution({ prefix: false }).addAttribution("Natural Earth, GeoNames").addTo(view);

    const rings = (outline) => outline.map((polygon) => polygon.map((flat) => {
      const ring = [];
      for (let i = 0; i < flat.length; i += 2) ring.push([flat[i + 1], flat[i]]);
      return ring;
    }));

    /* Land and borders. A coast that crosses the antimeridian, or runs round a pole, comes without a break there: it is
       laid out flat, and drawn as often as the sheet of longitudes shows a part of it. */
    const world = JSON.parse(byId("world").textContent);
    const countries = world.objects.countries;
    const flat = (line, closed) => {
      let turn = 0;
      const laid = line.map(([x, y], i) => {
        if (i) turn -= 360 * Math.round((x - line[i - 1][0]) / 360);
        return [y, x + turn];
      });
      const [first, last] = [laid[0], laid[laid.length - 1]];
      if (closed && Math.abs(last[1] - first[1]) > 180) laid.push([-89.9, last[1]], [-89.9, first[1]]);
      return laid;
    };
    const repeated = (parts) => [-360, 0, 360].flatMap((turn) => parts
      .map((lines_) => lines_.map((line) => line.map(([y, x]) => [y, x + turn])))
      .filter(([line]) => line.some(([, x]) => x > sheet) && line.some(([, x]) => x < sheet + 360)));
    const land = repeated(topojson.merge(world, countries.geometries).coordinates.map((polygon) => polygon.map((ring) => flat(ring, true))));
    const borders = repeated(topojson.mesh(world, countries, (a, b) => a !== b).coordinates.map((line) => [flat(line, false)])).flat();
    const below = { pane: "land", renderer: landCanvas, interactive: false };
    const ground = [
      [L.polygon(land, { ...below, weight: 1 }).addTo(view), () => ({ color: colour("land"), fillColor: colour("land"), fillOpacity: 1 })],
      [L.polyline(borders, { ...below, weight: 1 }).addTo(view), () => ({ color: colour("border") })],
    ];

    /* Footprints: the largest lowest, so that the small ones can be seen. */
    const drawn = new Map();
    const onMap = scenes.filter((scene) => scene.box);
    const area = (scene) => (scene.box[2] - scene.box[0]) * (scene.box[3] - scene.box[1]);
    const group = L.layerGroup().addTo(view);
    /* The more footprints lie over each other, the lighter each of them is, so that depth can be seen. */
    const CELLS = 64;
    const depth = () => {
      const placed = shown.filter((scene) => scene.box);
      if (!placed.length) return 1;
      const all = union(placed.map((scene) => scene.box));
      const step = [Math.max((all[2] - all[0]) / CELLS, 1e-6), Math.max((all[3] - all[1]) / CELLS, 1e-6)];
      const touched = new Set();
      let total = 0;
      for (const { box } of placed) {
        const [x0, y0, x1, y1] = box.map((value, i) => Math.floor((value - all[i % 2]) / step[i % 2]));
        for (let x = x0; x <= x1; x += 1) for (let y = y0; y <= y1; y += 1) { touched.add(x * 4 * CELLS + y); total += 1; }
      }
      return total / touched.size;
    };
    const style = (scene, deep) => {
      const own = colourOf(scene.dataset), failed = scene.state === "failed";
      const share = { held: 1, pending: 0.45, missing: 0.12, failed: 0.7 }[scene.state];
      return {
        color: failed ? colour("failed") : own, weight: failed ? 2 : deep > 16 ? 1 : 1.5,
        opacity: failed ? 0.9 : Math.max(0.12, Math.min(0.9, 5 / deep)), fill: true, fillColor: own,
        fillOpacity: Math.min(0.24, 0.8 / deep) * share, dashArray: DASHES[scene.state],
      };
    };
    const rounded = () => 2 ** (Math.round(2 * Math.log2(depth())) / 2);
    let deep = 0;
    const ordered = [...onMap].sort((a, b) => area(b) - area(a));
    const draw = () => {
      const wanted = new Set(shown), before = deep;
      deep = rounded();
      for (const scene of ordered) {
        let layer = drawn.get(scene);
        if (wanted.has(scene)) {
          if (!layer) {
            layer = L.polygon(rings(scene.outline), { pane: "scenes", renderer: sceneCanvas, interactive: false, ...style(scene, deep) });
            drawn.set(scene, layer);
          } else if (deep !== before) layer.setStyle(style(scene, deep));
          if (!group.hasLayer(layer)) group.addLayer(layer);
        } else if (layer && group.hasLayer(layer)) group.removeLayer(layer);
      }
      outline(selected && wanted.has(selected) ? selected : null);
    };

    /* AOIs, and the one scene that is chosen. */
    const halo = [], lines = [], dots = [];
    for (const aoi of report.aois) {
      const options = { pane: "marks", renderer: markCanvas, interactive: false, fill: false, smoothFactor: 0.3 };
      halo.push(L.polygon(rings(aoi.outline), { ...options, weight: 5, opacity: 0.55 }).addTo(view));
      lines.push(L.polygon(rings(aoi.outline), { ...options, weight: 2, opacity: 1 }).addTo(view));
      const box = bounds(aoi.outline), middle = (box[0] + box[2]) / 2;
      const dot = L.circleMarker([(box[1] + box[3]) / 2, middle], { ...options, radius: 5, weight: 2 });
      lines.push(dot);
      const name = L.tooltip({ permanent: true, direction: "top", className: "aoi", pane: "names", offset: [0, -3] });
      name.setLatLng([Math.min(box[3], 84), middle]).setContent(make("span", {}, aoi.name)).addTo(view);
      dots.push({ dot, name, corners: [[box[1], box[0]], [box[3], box[2]]] });
    }
    /* An AOI that is a speck at this zoom is marked by a ring. */
    const ring = () => dots.forEach(({ dot, corners }) => {
      const [a, b] = corners.map((corner) => view.latLngToContainerPoint(corner));
      if (Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) < 9) dot.addTo(view); else dot.remove();
    });
    const casing = L.polygon([], { pane: "marks", renderer: markCanvas, interactive: false, weight: 6, opacity: 0.9, fillOpacity: 0.25 }).addTo(view);
    const core = L.polygon([], { pane: "marks", renderer: markCanvas, interactive: false, weight: 3, fill: false }).addTo(view);
    const outline = (scene) => {
      const where = scene && scene.outline ? rings(scene.outline) : [];
      casing.setLatLngs(where).setStyle({ color: colour("casing"), fillColor: scene ? colourOf(scene.dataset) : "" });
      core.setLatLngs(where).setStyle({ color: colour("chosen") });
    };

    const recolour = () => {
      ground.forEach(([layer, look]) => layer.setStyle(look()));
      drawn.forEach((layer, scene) => layer.setStyle(style(scene, deep)));
      halo.forEach((layer) => layer.setStyle({ color: colour("halo") }));
      lines.forEach((layer) => layer.setStyle({ color: colour("aoi") }));
      outline(selected && shown.includes(selected) ? selected : null);
    };

    /* Names: as many as there is room for, the important ones first. */
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = "12px sans-serif";
    const labels = L.layerGroup().addTo(view);
    const label = () => {
      labels.clearLayers();
      const zoom = view.getZoom(), around = view.getBounds(), frame = view.getContainer().getBoundingClientRect();
      const taken = dots.map(({ name }) => {
        const box = name.getElement().getBoundingClientRect();
        return [box.left - frame.left, box.top - frame.top, box.right - frame.left, box.bottom - frame.top];
      });
      const candidates = zoom < 3 ? [] : [
        ...(zoom <= 6.5 ? report.places.countries.slice(0, zoom < 4 ? 45 : 250).map((place) => [...place, "country"]) : []),
        ...(zoom >= 4.5 ? report.places.cities.map((place) => [...place, "city"]) : []),
      ];
      const most = Math.round(view.getSize().x / 32);
      for (const [name, x, y, kind] of candidates) {
        if (taken.length >= most) break;
        if (!around.contains([y, x])) continue;
        const at = view.latLngToContainerPoint([y, x]);
        const wide = pen.measureText(name).width * (kind === "country" ? 1.5 : 1) + 12;
        const box = kind === "country" ? [at.x - wide / 2, at.y - 9, at.x + wide / 2, at.y + 9] : [at.x - 6, at.y - 9, at.x + wide, at.y + 9];
        if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
        taken.push(box.map((value, i) => value + [-10, -6, 10, 6][i]));
        const icon = L.divIcon({ className: `place ${kind}`, html: make("span", {}, name), iconSize: kind === "country" ? [wide, 12] : [wide, 12], iconAnchor: kind === "country" ? [wide / 2, 6] : [0, 6] });
        labels.addLayer(L.marker([y, x], { icon, pane: "places", interactive: false, keyboard: false }));
      }
    };

    const fit = (boxes, options = {}) => {
      if (!boxes.length) { view.setView([25, sheet + 180], 2); return; }
      const all = union(boxes);
      view.fitBounds([[Math.max(all[1], -84), all[0]], [Math.min(all[3], 84), all[2]]], { padding: [26, 26], maxZoom: 12, animate: false, ...options });
    };
    const aoiBoxes = report.aois.map((aoi) => bounds(aoi.outline));
    const everything = () => fit([...shown.filter((scene) => scene.box).map((scene) => scene.box), ...aoiBoxes]);

    const inside = (outlineOf, x, y) => outlineOf.some((polygon) => {
      let odd = false;
      for (const ring of polygon) {
        for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
          if ((ring[i + 1] > y) !== (ring[j + 1] > y) && x < ((ring[j] - ring[i]) * (y - ring[i + 1])) / (ring[j + 1] - ring[i + 1]) + ring[i]) odd = !odd;
        }
      }
      return odd;
    });
    const at = ({ lat, lng }) => shown.filter(({ box, outline: lines_ }) => box && lng >= box[0] && lng <= box[2] && lat >= box[1] && lat <= box[3] && inside(lines_, lng, lat)).reverse();

    let frame = 0;
    view.on("mousemove", (event) => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => {
        const found = at(event.latlng);
        view.getContainer().style.cursor = found.length ? "pointer" : "";
        pointAt(event.originalEvent.clientX, event.originalEvent.clientY, found);
      });
    });
    view.on("mouseout movestart zoomstart", () => { cancelAnimationFrame(frame); tip.hidden = true; });
    const choose = (place, options) => { const found = at(place); if (found.length) select(found[0], found, options); };
    view.on("click", (event) => choose(event.latlng));
    byId("map").addEventListener("keydown", (event) => { if (event.key === "Enter") choose(view.getCenter(), { focus: true }); });
    const moved = () => { label(); ring(); };
    view.whenReady(() => { moved(); view.on("moveend", moved); });
    byId("fit-all").onclick = everything;
    byId("fit-aois").onclick = () => fit(aoiBoxes);
    byId("fit-aois").hidden = !aoiBoxes.length;

    return {
      view,
      start() { everything(); recolour(); draw(); views.push(draw); },
      recolour,
      show(scene) { fit([scene.box], { maxZoom: 11 }); },
      mark(scene, move) {
        outline(scene);
        if (move && scene.box && !view.getBounds().contains([[scene.box[1], scene.box[0]], [scene.box[3], scene.box[2]]])) fit([scene.box], { maxZoom: view.getZoom() });
      },
    };
  })();

  /* --------------------------------------------------------------------------------------------------- timeline */

  const timeline = (() => {
    const place = byId("timeline");
    const day = 86400;
    let plot = null;
    const kinds = names.map((_, dataset) => dataset);
    if (scenes.some((scene) => scene.dataset < 0)) kinds.push(-1);
    const rank = new Map(kinds.map((kind, i) => [kind, i]));
    const lanes = scenes.some((scene) => scene.cloud === undefined && scene.seconds !== null);
    const clouds = scenes.some((scene) => scene.cloud !== undefined);
    /* Scenes without a figure lie in a lane of their own, those of one pass beside each other. */
    const slots = new Map();
    for (const scene of scenes) {
      if (scene.cloud !== undefined || scene.seconds === null) continue;
      const slot = Math.round(scene.seconds / 10800);
      slots.set(slot, (slots.get(slot) || 0) + 1);
      scene.lane = NO_CLOUD + LANE[(slots.get(slot) - 1) % LANE.length];
    }
    const height = (scene) => (scene.cloud === undefined ? scene.lane : scene.cloud);
    const timed = () => shown.filter((scene) => scene.seconds !== null);

    const columns = () => {
      const list = timed();
      const data = [list.map((scene) => scene.seconds), ...kinds.flatMap(() => [new Array(list.length).fill(null), new Array(list.length).fill(null)])];
      list.forEach((scene, i) => { data[1 + 2 * rank.get(scene.dataset) + (scene.state === "held" ? 0 : 1)][i] = height(scene); });
      return data;
    };
    const range = () => {
      const list = timed();
      const first = byId("from").value ? Date.parse(byId("from").value) / 1000 : list.length ? list[0].seconds : Date.UTC(2019) / 1000;
      const last = byId("to").value ? Date.parse(byId("to").value) / 1000 + day : list.length ? list[list.length - 1].seconds : first + 30 * day;
      const room = Math.max((last - first) * 0.02, 6 * 3600);
      return [first - room, last + room];
    };
    const options = () => {
      const soft = colour("soft"), line = colour("line"), many = shown.length;
      const dot = many > 4000 ? 4 : many > 600 ? 5 : 7;
      const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 }, font: "12px Inter, system-ui, sans-serif" };
      const splits = [...(lanes ? [NO_CLOUD] : []), ...(clouds ? [0, 25, 50, 75, 100] : [])];
      return {
        width: place.clientWidth, height: place.clientHeight, legend: { show: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { points: { show: false }, y: false, drag: { x: true, y: false, setScale: false } },
        scales: { x: { time: true, range }, y: { range: () => [lanes ? NO_CLOUD - 20 : -6, clouds ? 106 : NO_CLOUD + 20] } },
        axes: [{ ...axis, values: DATES }, { ...axis, size: 74, splits: () => splits, values: (_, values) => values.map((value) => (value === NO_CLOUD ? "no figure" : `${value} %`)) }],
        series: [{}, ...kinds.flatMap((kind) => {
          const own = colourOf(kind);
          const base = { paths: () => null, spanGaps: false };
          return [
            { ...base, points: { show: true, size: dot, width: 0.5, stroke: colour("panel"), fill: own } },
            { ...base, points: { show: true, size: dot, width: 1.5, stroke: own, fill: colour("panel") } },
          ];
        })],
        hooks: {
          draw: [(u) => {
            if (!selected || selected.seconds === null || !shown.includes(selected)) return;
            const x = u.valToPos(selected.seconds, "x", true), y = u.valToPos(height(selected), "y", true);
            u.ctx.beginPath(); u.ctx.arc(x, y, 8 * devicePixelRatio, 0, 2 * Math.PI);
            u.ctx.lineWidth = 2 * devicePixelRatio; u.ctx.strokeStyle = colour("ink"); u.ctx.stroke();
          }],
          setSelect: [(u) => {
            if (u.select.width < 4) return;
            const iso = (pixel) => new Date(u.posToVal(pixel, "x") * 1000).toISOString().slice(0, 10);
            byId("from").value = iso(u.select.left); byId("to").value = iso(u.select.left + u.select.width);
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            refilter();
          }],
        },
      };
    };
    const nearest = (event) => {
      const box = plot.over.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      const found = [];
      for (const scene of timed()) {
        const dx = plot.valToPos(scene.seconds, "x") - x;
        if (dx < -9 || dx > 9) continue;
        const far = Math.hypot(dx, plot.valToPos(height(scene), "y") - y);
        if (far < 9) found.push([far, scene]);
      }
      return found.sort((a, b) => a[0] - b[0]).map(([, scene]) => scene);
    };
    const words = () => {
      const list = timed(), figures = list.filter((scene) => scene.cloud !== undefined).map((scene) => scene.cloud).sort((a, b) => a - b);
      byId("timeline-text").textContent = list.length
        ? `${count(list.length, "acquisition")} from ${list[0].start.slice(0, 10)} to ${list[list.length - 1].start.slice(0, 10)}` + (figures.length ? `; cloud cover from ${figures[0]} to ${figures[figures.length - 1]} percent, median ${figures[figures.length >> 1]}.` : ".")
        : "No acquisitions to show.";
    };
    const build = () => {
      if (plot) plot.destroy();
      plot = new uPlot(options(), columns(), place);
      plot.over.addEventListener("mousemove", (event) => pointAt(event.clientX, event.clientY, nearest(event)));
      plot.over.addEventListener("mouseleave", () => { tip.hidden = true; });
      plot.over.addEventListener("click", (event) => { const found = nearest(event); if (found.length) select(found[0], found, { move: true }); });
      words();
    };
    return {
      start() {
        build();
        views.push(() => { plot.setData(columns()); words(); });
        new ResizeObserver(() => { if (place.clientWidth) plot.setSize({ width: place.clientWidth, height: place.clientHeight }); }).observe(place);
      },
      recolour: build,
      mark() { plot.redraw(false); },
    };
  })();

  /* ------------------------------------------------------------------------------------------------------ table */

  const table = (() => {
    const body = byId("scenes").tBodies[0], head = byId("scenes").tHead;
    let by = "start", down = true, page = 0, sorted = [];
    const keys = {
      id: (scene) => scene.id, dataset: (scene) => scene.dataset, start: (scene) => scene.start || "",
      state: (scene) => STATES.indexOf(scene.state), cloud: (scene) => (scene.cloud === undefined ? -1 : scene.cloud), size: (scene) => scene.size || -1,
    };
    const cell = (className, ...children) => make("td", { className }, ...children);
    const draw = () => {
      const pages = Math.max(1, Math.ceil(sorted.length / PAGE));
      page = Math.min(page, pages - 1);
      body.replaceChildren(...sorted.slice(page * PAGE, (page + 1) * PAGE).map((scene) => {
        const open = make("button", { type: "button", className: "link" }, make("code", {}, scene.id));
        const row = make("tr", {}, make("th", { scope: "row" }, open),
          cell("", ...(scene.datasets.length ? [swatch(scene.dataset), scene.datasets.map((dataset) => names[dataset]).join(", ")] : ["no longer wanted"])),
          cell("when", moment(scene.start)), cell("state", mark(scene.state), WORDS[scene.state]), cell(scene.cloud === undefined ? "number zero" : "number", cloud(scene)),
          cell(scene.size === undefined ? "number zero" : "number", scene.size === undefined ? "–" : size(scene.size)));
        row.cells[4].dataset.label = "Cloud";
        row.dataset.index = scene.index;
        row.setAttribute("aria-selected", String(scene === selected));
        open.onclick = (event) => { event.stopPropagation(); select(scene, [scene], { move: true, focus: event.detail === 0 }); };
        row.onclick = () => select(scene, [scene], { move: true });
        return row;
      }));
      if (!sorted.length) body.replaceChildren(make("tr", {}, make("td", { colSpan: 6, className: "none" }, scenes.length ? "No scene passes these filters." : "There are no scenes yet.")));
      byId("page").textContent = sorted.length ? `${number(page * PAGE + 1)}–${number(Math.min(sorted.length, (page + 1) * PAGE))} of ${number(sorted.length)}` : "";
      byId("previous").disabled = page === 0;
      byId("next").disabled = page >= pages - 1;
    };
    const sort = () => {
      const key = keys[by], sign = down ? -1 : 1;
      sorted = [...shown].sort((a, b) => { const x = key(a), y = key(b); return x < y ? -sign : x > y ? sign : a.index - b.index; });
      page = 0;
      draw();
    };
    head.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
      down = by === button.dataset.sort ? !down : false;
      by = button.dataset.sort;
      head.querySelectorAll("th").forEach((title) => title.setAttribute("aria-sort", title.contains(button) ? (down ? "descending" : "ascending") : "none"));
      sort();
    }));
    byId("previous").onclick = () => { page -= 1; draw(); };
    byId("next").onclick = () => { page += 1; draw(); };
    return {
      start() { views.push(sort); },
      mark() { body.querySelectorAll("tr[data-index]").forEach((row) => row.setAttribute("aria-selected", String(scenes[row.dataset.index] === selected))); },
    };
  })();

  /* ------------------------------------------------------------------------------------------------------ light */

  const root = document.documentElement, scheme = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : scheme.matches);
  const recolour = () => {
    byId("theme").textContent = isDark() ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", isDark() ? "Show in light colours" : "Show in dark colours");
    map.recolour();
    timeline.recolour();
  };
  byId("theme").onclick = () => { root.dataset.theme = isDark() ? "light" : "dark"; recolour(); };
  scheme.addEventListener("change", recolour);
  let before = null;
  addEventListener("beforeprint", () => { before = root.dataset.theme || ""; root.dataset.theme = "light"; recolour(); map.view.invalidateSize({ animate: false }); });
  addEventListener("afterprint", () => { if (before) root.dataset.theme = before; else delete root.dataset.theme; recolour(); });

  document.querySelectorAll(".go").forEach((link) => {
    const scene = sceneOf.get(link.dataset.scene);
    if (!scene) { link.classList.remove("go"); return; }
    const button = make("button", { type: "button", className: "link go" }, make("code", {}, link.textContent));
    button.onclick = () => select(scene, [scene], { move: true, focus: true });
    link.replaceWith(button);
  });

  byId("theme").hidden = false;
  map.view.invalidateSize({ animate: false });
  describe();
  map.start();
  timeline.start();
  table.start();
  recolour();
  refilter();
  window.report = { map: map.view, scenes };
  root.dataset.ready = "true";
})();
