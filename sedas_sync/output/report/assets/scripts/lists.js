/* Long tables in pages: scenes, failures and orders. */
import { mark, swatch } from "./colours.js";
import { failures, names, orders, report } from "./data.js";
import { onFilter, shownScenes } from "./filters.js";
import { onSelect, select, selectedScene } from "./selection.js";
import { WORDS, byId, cloud, copyButton, isOff, make, moment, number, setOff, since, size, visible } from "./words.js";

const PAGE = 25, SHORT_PAGE = 10;
const lists = [];

const cell = (className, label, ...children) => { const made = make("td", { className }, ...children); if (label) made.dataset.label = label; return made; };
const idOf = (text, what) => make("span", { className: "id" }, make("code", { title: visible(text) }, visible(text)), copyButton(text, what));
const head = (scene) => {
  const first = make("th", { scope: "row" });
  if (scene.listed === false) { first.append(idOf(scene.id, "the id")); return first; }
  const open = make("button", { type: "button", className: "link", title: visible(scene.id) }, make("code", {}, visible(scene.id)));
  open.onclick = (event) => { event.stopPropagation(); select(scene, { move: true, reveal: true, focus: event.detail === 0 }); };
  first.append(make("span", { className: "id" }, open, copyButton(scene.id, "the id")));
  return first;
};

/* Show items in pages in a table that has a pager. */
const paged = (name, tableId, rowOf, none, usual = PAGE) => {
  const body = byId(tableId).tBodies[0], pager = byId(`${name}-pager`);
  const [previous, next] = pager.querySelectorAll("button"), words = pager.querySelector("span");
  let items = [], page = 0, length = usual;
  const show = () => {
    const pages = Math.max(1, Math.ceil(items.length / length));
    page = Math.max(0, Math.min(page, pages - 1));
    const part = items.slice(page * length, (page + 1) * length);
    body.replaceChildren(...part.map(rowOf));
    if (!items.length) body.replaceChildren(make("tr", {}, make("td", { colSpan: 9, className: "none" }, none)));
    words.textContent = items.length ? `${number(page * length + 1)}–${number(page * length + part.length)} of ${number(items.length)}` : "";
    pager.hidden = items.length <= length;
    setOff(previous, page === 0);
    setOff(next, page >= pages - 1);
  };
  previous.onclick = () => { if (!isOff(previous)) { page -= 1; show(); } };
  next.onclick = () => { if (!isOff(next)) { page += 1; show(); } };
  const list = {
    set(all) { items = all; page = 0; show(); },
    /* Show up to so many items on one page, or pages of the usual length again. Returns how many items there are. */
    lengthen(most) { const first = page * length; length = most || usual; page = most ? 0 : Math.floor(first / usual); show(); return items.length; },
    table: byId(tableId),
  };
  lists.push(list);
  return list;
};
export const allLists = () => lists;

/* ------------------------------------------------------------------------------------------------ the list of scenes */

const KEYS = {
  id: (scene) => scene.id, dataset: (scene) => scene.dataset, start: (scene) => scene.start || "",
  state: (scene) => report.states.indexOf(scene.state), cloud: (scene) => (scene.cloud === undefined ? -1 : scene.cloud), size: (scene) => scene.size || -1,
};
const sceneRow = (scene) => {
  const row = make("tr", {}, head(scene),
    cell("datasets", "", ...(scene.datasets.length ? [swatch(scene.dataset), scene.datasets.map((dataset) => names[dataset]).join(", ")] : ["no longer wanted"])),
    cell("when", "", moment(scene.start)), cell("state", "", mark(scene.state), WORDS[scene.state]),
    cell(scene.cloud === undefined ? "number zero" : "number", "Cloud", cloud(scene)),
    cell(scene.size === undefined ? "number zero" : "number", "Size", scene.size === undefined ? "–" : size(scene.size)));
  row.dataset.index = scene.index;
  row.classList.toggle("chosen", scene === selectedScene());
  row.onclick = () => select(scene, { move: true, reveal: true });
  return row;
};
const startScenes = () => {
  const list = paged("scenes", "scenes", sceneRow, "No scene passes these filters.");
  let by = "start", down = true;
  const sort = () => {
    const key = KEYS[by], sign = down ? -1 : 1;
    /* Scenes are in the order of time. */
    if (by === "start") list.set(down ? [...shownScenes()].reverse() : shownScenes());
    else list.set([...shownScenes()].sort((a, b) => { const x = key(a), y = key(b); return x < y ? -sign : x > y ? sign : a.index - b.index; }));
  };
  const titles = byId("scenes").tHead;
  titles.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
    down = by === button.dataset.sort ? !down : false;
    by = button.dataset.sort;
    titles.querySelectorAll("th").forEach((title) => title.setAttribute("aria-sort", title.contains(button) ? (down ? "descending" : "ascending") : "none"));
    sort();
  }));
  onFilter(sort);
  onSelect(() => byId("scenes").querySelectorAll("tr[data-index]").forEach((row) => row.classList.toggle("chosen", selectedScene()?.index === Number(row.dataset.index))));
};

/* ------------------------------------------------------------------------------------------------ failures, orders */

const failureRow = ({ scene, error }) => make("tr", {}, head(scene), cell("error", "", visible(error)));
const orderRow = (order) => make("tr", {}, head(order.scene), cell("", "", visible(order.detail)), cell("when", "Placed", moment(order.placed)),
  cell("number", "Age", since(order.placed)), cell("number", "Asked", number(order.polls)), cell("order", "Order", idOf(order.order, "the order")));

export const startLists = () => {
  if (failures.length) paged("failures", "failures-table", failureRow, "", SHORT_PAGE).set(failures);
  if (orders.length) paged("orders", "orders-table", orderRow, "", SHORT_PAGE).set(orders);
  startScenes();
  document.querySelectorAll("[data-since]").forEach((place) => { place.textContent = `, ${since(place.dataset.since)} ago`; });
};
