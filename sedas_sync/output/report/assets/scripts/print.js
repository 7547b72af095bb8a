/* Printing: light colours, the map and the timeline for the width of paper, and whole lists. */
import { setTheme } from "./colours.js";
import { unfoldAreas } from "./coverage.js";
import { allLists } from "./lists.js";
import { map, redrawMap } from "./map.js";
import { resizeTimeline } from "./timeline.js";
import { count, make, number } from "./words.js";

const MOST = 500;
let before = null;

const fitToPage = () => {
  const view = map.getBounds();
  map.invalidateSize({ animate: false, pan: false });
  map.fitBounds(view, { animate: false });
  redrawMap();
  resizeTimeline();
};

export const startPrint = () => {
  addEventListener("beforeprint", () => {
    if (before) return;
    before = { theme: setTheme("light"), all: unfoldAreas(true), centre: map.getCenter(), zoom: map.getZoom() };
    document.documentElement.classList.add("printing");
    for (const list of allLists()) {
      const all = list.lengthen(MOST);
      if (all > MOST) list.table.after(make("p", { className: "printed left-out" }, `The first ${number(MOST)} of ${count(all, "row")} are printed. Filter the page to print others.`));
    }
    fitToPage();
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    document.documentElement.classList.remove("printing");
    document.querySelectorAll(".left-out").forEach((note) => note.remove());
    allLists().forEach((list) => list.lengthen(0));
    unfoldAreas(before.all);
    setTheme(before.theme);
    map.invalidateSize({ animate: false, pan: false });
    map.setView(before.centre, before.zoom, { animate: false });
    redrawMap();
    resizeTimeline();
    before = null;
  });
};
