// Everything around the messages: rooms, people, status, outbox, the place in the log.

import { byId, count, h, mark, number, whenChanged } from "./dom.js";

const OUTBOX_ROWS = 4;
const PEOPLE_ROWS = 14;

export function rooms(all, current, enter) {
  const shown = [...all].map(([name, { unread }]) => ({ name, unread, here: name === current }));
  whenChanged("rooms", shown, () => {
    const row = ({ name, unread, here }) => {
      const badge = unread ? [h("span", { class: "badge" }, number(unread))] : [];
      const current = here && "page";
      const label = h("span", {}, name);
      const button = h("button", { type: "button", "aria-current": current }, label, ...badge);
      button.addEventListener("click", () => enter(name));
      return h("li", {}, button);
    };
    byId("rooms").replaceChildren(...shown.map(row));
  });
}

export function room(name, { messages }) {
  whenChanged("room", [name, messages.length], () => {
    byId("room").textContent = name;
    byId("summary").textContent = count(messages.length, "message");
    byId("hello").hidden = messages.length > 0;
    document.title = `${name} \u00b7 wakelog chat`;
    document.querySelector("#composer input").placeholder = `Write to ${name}`;
  });
}

// What I wrote and what has not come back from the log yet.
export function outbox(items) {
  const newest = items.slice(-OUTBOX_ROWS);
  const more = items.length - newest.length;
  whenChanged("outbox", [newest, more], () => {
    const words = { waiting: "waiting to be sent", sent: "on disk", failed: "not sent" };
    const row = ({ text, state, why }) =>
      h(
        "li",
        { class: `row ${state}` },
        h("i", { class: "tick" }),
        h("div", { class: "body" }, h("p", {}, text)),
        h("span", { class: "offset" }, why ? `${words[state]}: ${why}` : words[state]),
      );
    const head = more ? [h("li", { class: "more" }, `${number(more)} more above`)] : [];
    byId("outbox").replaceChildren(...head, ...newest.map(row));
  });
}

// Everybody but me: who is connected first, then who is furthest behind. Without a connection they
// stay as they were when it was lost, and it says so.
export function people(all, me, behind, connected) {
  const others = [...all].filter(([id, { met }]) => met && id !== me.id);
  const shown = others.map(([id, { name, online, offset }]) => {
    return { id, name, online, behind: behind(offset) };
  });
  shown.sort((a, b) => b.online - a.online || b.behind - a.behind || (a.name < b.name ? -1 : 1));
  const known = shown.slice(0, PEOPLE_ROWS);
  whenChanged("people", [known, connected], () => {
    const nobody = h("li", { class: "nobody" }, "Nobody else yet. Open a second tab.");
    const rows = known.map((one) => personRow(one, connected));
    byId("people").replaceChildren(...(rows.length ? rows : [nobody]));
  });
}

function personRow({ id, name, online, behind }, connected) {
  const lag = behind ? `${number(behind)} behind` : "up to date";
  const state = !connected ? "last seen here" : online ? lag : `away, ${lag}`;
  const width = Math.min(100, Math.round(Math.sqrt(behind / 1_000) * 100));
  const kind = `person${online && connected ? "" : " away"}${behind && connected ? " late" : ""}`;
  const who = h("div", { class: "who" }, h("b", {}, name), h("small", {}, state));
  const part = h("i", { style: `--w:${width}%` });
  const bar = h("span", { class: "lag", "aria-hidden": "true" }, part);
  const data = { class: kind, "data-person": id, "data-behind": behind };
  return h("li", data, mark(id, name), who, bar);
}

export function myself({ id, name }) {
  whenChanged("me", [id, name], () => {
    const form = byId("me");
    form.querySelector(".mark")?.remove();
    form.prepend(mark(id, name));
    form.elements.name.value = name;
  });
}

// One short line that says how things stand, honestly.
export function status({ state, reason, attempt, retryAt, missed }, waiting) {
  const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1_000));
  let text = { live: "Live", connecting: "Connecting", offline: "Offline" }[state];
  if (state === "catching-up") text = missed ? `Catching up, ${number(missed)}` : "Catching up";
  if (state === "connecting" && attempt) text = "Server away, trying now";
  if (state === "connecting" && retryAt) text = `Server away, next try in ${seconds} s`;
  if (reason === "fenced") text = "Open elsewhere";
  whenChanged("status", [state, text, waiting], () => {
    document.body.dataset.state = state;
    byId("status").querySelector("span").textContent = text;
    byId("toggle").textContent = state === "offline" ? "Come back" : "Go offline";
    byId("toggle").className = state === "offline" ? "primary" : "quiet";
    byId("waiting").hidden = waiting === 0;
    byId("waiting").textContent = `${number(waiting)} waiting to be sent`;
  });
}

// The band above the messages: what just happened and what to do about it.
export function notice(kind, text, button, action) {
  whenChanged("notice", [kind, text, button], () => {
    const band = byId("notice");
    band.hidden = !kind;
    if (!kind) return;
    band.dataset.kind = kind;
    const [title, rest] = text;
    band.querySelector("b").textContent = title;
    band.querySelector("span").textContent = rest;
    band.querySelector("button").hidden = !button;
    band.querySelector("button").textContent = button;
    band.querySelector("button").onclick = action;
    say(`${title} ${rest}`);
  });
}

export function place(position, offset, end, epoch) {
  const done = end ? Math.min(100, (100 * offset) / end) : 100;
  whenChanged("place", [offset, end, epoch], () => {
    byId("track").style.setProperty("--w", `${done}%`);
    byId("place").textContent = `${number(offset)} of ${number(end)} events`;
    byId("epoch").textContent = epoch ? `epoch ${epoch.split("-")[0]}` : "";
    byId("place").title = position ?? "";
  });
}

// Words for those who listen instead of looking.
export function say(text) {
  byId("spoken").textContent = text;
}
