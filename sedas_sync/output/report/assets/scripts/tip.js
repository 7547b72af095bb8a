/* A tip beside the pointer that names the scenes there. A touch has no pointer that stays, so it has no tip. */
import { swatch } from "./colours.js";
import { WORDS, byId, cloud, count, make, moment, visible } from "./words.js";

const tip = byId("tip");
let touched = -Infinity;
addEventListener("pointerdown", (event) => { if (event.pointerType !== "mouse") { touched = performance.now(); hideTip(); } }, true);

export const hideTip = () => { tip.hidden = true; };

export const pointAt = (event, found, title = "") => {
  tip.hidden = !found.length || performance.now() - touched < 1000;
  if (tip.hidden) return;
  const scene = found[0];
  tip.replaceChildren(...(title ? [make("div", {}, title)] : []), swatch(scene.dataset), make("b", {}, visible(scene.id)),
    make("div", {}, [moment(scene.start), scene.cloud === undefined ? "" : `cloud ${cloud(scene)}`, WORDS[scene.state]].filter(Boolean).join(" · ")));
  if (scene.picture) tip.append(make("img", { src: `data:image/webp;base64,${scene.picture}`, alt: "" }));
  if (found.length > 1) tip.append(make("div", {}, `and ${count(found.length - 1, "other scene")} here`));
  const box = tip.getBoundingClientRect(), { clientX: x, clientY: y } = event;
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
};
