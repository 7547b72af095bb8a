/* The scene that is chosen, the scenes at the same place, and what is known of it. */
import { mark, swatch } from "./colours.js";
import { names, scenes } from "./data.js";
import { onFilter, shownScenes } from "./filters.js";
import { WORDS, byId, cloud, copyButton, make, moment, number, since, size, visible } from "./words.js";

const MOST = 100;
const CHECKS = { digest: "checksum and contents agree", crc: "every entry read", structure: "structure", size: "size only" };
const watchers = [];
let selected = null;
let hits = [];
let origin = null;

export const selectedScene = () => selected;
/* Call a watcher with `{ move }` after each change: whether the map should show the scene. */
export const onSelect = (watcher) => watchers.push(watcher);

/* Choose a scene.
   among: the scenes at the same place; move: show it on the map; reveal: scroll to its details; focus: go there. */
export const select = (scene, { among = [scene], move = false, reveal = false, focus = false } = {}) => {
  if (!selected || focus) origin = document.activeElement;
  selected = scene; hits = among;
  describe();
  watchers.forEach((watcher) => watcher({ move }));
  if (reveal || focus) byId("details-title").closest("section").scrollIntoView({ block: "nearest" });
  if (focus) byId("details-title").focus({ preventScroll: true });
};

export const unselect = () => {
  if (!selected) return;
  const inside = byId("details-title").closest("section").contains(document.activeElement);
  selected = null; hits = [];
  describe();
  watchers.forEach((watcher) => watcher({ move: false }));
  if (inside && origin && origin.isConnected) origin.focus();
  origin = null;
};

const facts = (scene) => {
  const list = make("dl");
  const add = (term, ...value) => { const place = make("dd", {}, ...value); list.append(make("dt", {}, term), place); return place; };
  add("State", mark(scene.state), WORDS[scene.state], scene.changed ? ", changed since it was downloaded" : "");
  if (scene.error) add("Last error", visible(scene.error)).className = "error";
  if (scene.order && scene.state !== "held") add("Order", make("code", {}, visible(scene.order.order)), `, placed ${moment(scene.order.placed)} UTC, ${since(scene.order.placed)} ago`);
  add(scene.datasets.length > 1 ? "Datasets" : "Dataset", ...(scene.datasets.length
    ? scene.datasets.flatMap((dataset, i) => [i ? " " : "", swatch(dataset), names[dataset]]) : ["no longer wanted"]));
  add("Acquired", scene.start ? `${moment(scene.start)} UTC` : "not known");
  const what = [scene.satellite, scene.mode, scene.product].filter(Boolean).join(" ");
  if (what) add("Product", visible(what));
  if (scene.cloud !== undefined) add("Cloud cover", cloud(scene));
  if (scene.polarisation) add("Polarisation", visible(scene.polarisation));
  const orbit = [scene.relative_orbit && `relative ${scene.relative_orbit}`, scene.direction && visible(scene.direction.toLowerCase())].filter(Boolean).join(", ");
  if (orbit) add("Orbit", orbit);
  if (scene.tile) add("Tile", visible(scene.tile));
  if (scene.size !== undefined) add("Size", size(scene.size));
  if (scene.path && scene.files) add("Folder", make("code", {}, visible(scene.path)), `, ${scene.files === 1 ? "1 file" : `${number(scene.files)} files`}`);
  else if (scene.path) add("File", make("code", {}, visible(scene.path)));
  if (scene.checked) add("Checked", CHECKS[scene.checked] || scene.checked);
  if (scene.sha256) add(scene.files ? "SHA-256 of the list of its files" : "SHA-256", make("code", {}, scene.sha256));
  if (!scene.shape) add("Footprint", "not known");
  return list;
};

const describe = () => {
  const place = byId("details");
  byId("details-title").textContent = hits.length > 1 ? `${number(hits.length)} scenes here` : "Scene";
  if (!selected) {
    place.replaceChildren(make("p", { className: "empty" }, "Choose a day of the calendar, a footprint, a dot of the timeline or a row of the list."),
      listOf(shownScenes().slice(-8).reverse(), "Newest acquisitions"));
    return;
  }
  const scene = selected, row = make("div", { className: "row" }, copyButton(scene.id, "the id"));
  if (scene.shape) row.append(make("button", { type: "button", className: "quiet", onclick: () => watchers.forEach((watcher) => watcher({ move: true, zoom: true })) }, "Zoom to it"));
  row.append(make("button", { type: "button", className: "quiet", onclick: unselect }, "Close"));
  place.replaceChildren(make("code", { className: "id" }, visible(scene.id)));
  if (scene.picture) place.append(make("img", { src: `data:image/webp;base64,${scene.picture}`, alt: "Quick-look of the scene" }));
  place.append(facts(scene), row);
  if (hits.length > 1) place.append(listOf(hits, "All scenes here"));
};

const listOf = (among, title) => {
  const list = make("ul", {});
  list.setAttribute("aria-label", title);
  for (const scene of among.slice(0, MOST)) {
    const button = make("button", { type: "button", title: visible(scene.id) }, swatch(scene.dataset), moment(scene.start),
      make("span", { className: "end" }, scene.cloud === undefined ? "" : `${cloud(scene)} `, scene.state === "held" ? "" : WORDS[scene.state]));
    button.setAttribute("aria-current", String(scene === selected));
    button.onclick = () => select(scene, { among: selected ? among : [scene], move: true, focus: true });
    list.append(make("li", {}, button));
  }
  if (among.length > MOST) list.append(make("li", {}, `and ${number(among.length - MOST)} more`));
  return make("div", { className: "hits" }, make("p", {}, title), list);
};

export const startSelection = () => {
  describe();
  onFilter(() => { if (selected && !shownScenes().includes(selected)) unselect(); else if (!selected) describe(); });
  addEventListener("keydown", (event) => { if (event.key === "Escape") unselect(); });
};
