/* The view in the part of the address after #, so that it can be linked: filters, the chosen scene and the map. */
import { sceneOf } from "./data.js";
import { fromParameters, onFilter, refilter, toParameters } from "./filters.js";
import { map } from "./map.js";
import { onSelect, select, selectedScene, unselect } from "./selection.js";
import { byId } from "./words.js";

let moved = false;
let written = "";

const write = () => {
  const parameters = new URLSearchParams();
  toParameters(parameters);
  if (byId("clear").value !== byId("clear").defaultValue) parameters.set("clear", byId("clear").value);
  if (selectedScene()) parameters.set("scene", selectedScene().id);
  if (moved) { const { lat, lng } = map.getCenter(); parameters.set("map", `${map.getZoom()}/${lat.toFixed(4)}/${lng.toFixed(4)}`); }
  const text = String(parameters);
  if (text === written) return;
  written = text;
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
};
let due = 0;
const soon = () => { clearTimeout(due); due = setTimeout(write, 150); };

const read = () => {
  /* Other links on the page go to its sections. */
  if (!location.hash.includes("=")) return;
  const parameters = new URLSearchParams(location.hash.slice(1));
  written = String(parameters);
  fromParameters(parameters);
  byId("clear").value = parameters.get("clear") || byId("clear").defaultValue;
  refilter();
  const scene = sceneOf.get(parameters.get("scene"));
  if (scene) select(scene); else unselect();
  const [zoom, lat, lng] = (parameters.get("map") || "").split("/").map(Number);
  if ([zoom, lat, lng].every(Number.isFinite) && parameters.has("map")) { moved = true; map.setView([lat, lng], zoom, { animate: false }); }
};

export const startAddress = () => {
  read();
  map.on("moveend", () => { moved = true; soon(); });
  onFilter(soon);
  onSelect(soon);
  byId("clear").addEventListener("change", soon);
  addEventListener("hashchange", read);
};
