/* Values as text, and elements made of text. Text from the document reaches the page as text only, never as markup. */

export const WORDS = { held: "downloaded", pending: "on order", missing: "missing", failed: "failed" };
export const DAY = 86400;

export const byId = (id) => document.getElementById(id);

export const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

export const draw = (tag, attributes = {}, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

const grouped = new Intl.NumberFormat("en-GB");
export const number = (value) => grouped.format(value);
export const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

export const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes, unit = 0;
  while (value >= 999.95 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
};

export const moment = (text) => (text ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : "not known");
export const dayOf = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
export const cloud = (scene) => (scene.cloud === undefined ? "–" : `${scene.cloud} %`);

/* The time since a moment, at the time of reading. */
export const since = (text) => {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  const days = Math.floor(seconds / DAY), hours = Math.floor((seconds % DAY) / 3600);
  if (days) return days < 14 && hours ? `${days} d ${hours} h` : `${number(days)} d`;
  return hours ? `${hours} h` : `${Math.floor(seconds / 60)} min`;
};

/* Characters that cannot be seen or change the direction of text are written as escapes. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
export const visible = (text) => text.replace(UNSEEN, (char) => {
  const code = char.codePointAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
});

const copy = (text, button) => {
  const done = (words) => { button.textContent = words; setTimeout(() => { button.textContent = "Copy"; }, 2000); };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => done("Copied"), () => done("Not allowed"));
  else done("Not allowed");
};
export const copyButton = (text, what) => {
  const button = make("button", { type: "button", className: "copy", title: `Copy ${what}` }, "Copy");
  button.setAttribute("aria-label", `Copy ${what} ${visible(text)}`);
  button.onclick = (event) => { event.stopPropagation(); copy(text, button); };
  return button;
};

/* A button that is off keeps the focus, so that the keyboard does not lose its place. */
export const setOff = (button, off) => button.setAttribute("aria-disabled", String(off));
export const isOff = (button) => button.getAttribute("aria-disabled") === "true";
