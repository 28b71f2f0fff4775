// Small helpers: elements, numbers, names. Text goes in as text nodes only, never as HTML.

export const byId = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Calls `draw` when `value` is another one than the last time.
const drawn = new Map();
export function whenChanged(key, value, draw) {
  const text = JSON.stringify(value);
  if (drawn.get(key) === text) return;
  drawn.set(key, text);
  draw(value);
}

const formats = new Intl.NumberFormat("en-US");
export const number = (value) => formats.format(value);
export const count = (value, word) => `${number(value)} ${word}${value === 1 ? "" : "s"}`;

const HOURS = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const clock = new Intl.DateTimeFormat("en-GB", HOURS);
export const timeOf = (micros) => clock.format(micros / 1_000);

// Whatever an event holds, as words: anybody may have put anything into it.
export const words = (value, most) =>
  (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, most);

// A person's colour and letters, the same in every tab.
export function mark(id, name) {
  let hash = 0;
  for (const letter of id) hash = (hash * 31 + letter.codePointAt(0)) % 65_521;
  const letters = name.split(/\s+/).map((word) => word[0] ?? "");
  const text = letters.slice(0, 2).join("").toUpperCase();
  const style = `--hue:${(hash * 137) % 360}`;
  return h("span", { class: "mark", style, "aria-hidden": "true" }, text);
}
