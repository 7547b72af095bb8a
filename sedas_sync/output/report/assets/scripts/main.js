/* Start the parts of the page. */
import { byId } from "./words.js";
import { scenes } from "./data.js";
import { refilter } from "./filters.js";
import { startSelection } from "./selection.js";
import { startCoverage } from "./coverage.js";
import { map, startMap } from "./map.js";
import { startTimeline } from "./timeline.js";
import { startLists } from "./lists.js";
import { startCharts } from "./charts.js";
import { startPrint } from "./print.js";
import { startAddress } from "./address.js";
import { ready } from "./ready.js";

for (const id of ["explore", "scenes-panel", "charts-panel"]) byId(id).hidden = false;
map.invalidateSize({ animate: false });
startSelection();
startCoverage();
startMap();
startTimeline();
startLists();
startCharts();
startPrint();
refilter();
startAddress();
window.report = { map, scenes };
ready();
