// A page to play with: subscribe, publish, drop the connection, watch what was missed arrive.

import { connect } from "./wakelog.js";

const ROWS_MAX = 1_000; // older rows leave the page; the log keeps them

const at = (id) => document.getElementById(id);
const [events, scroller, toggle] = [at("events"), at("scroller"), at("toggle")];

let token; // lives in this page alone
let subscription;

const wake = connect(new URL("events", location.href.replace(/^http/, "ws")), {
  token: () => token,
});

const cell = (kind, text, tag = "span") => {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text;
  return made;
};

// Adds a row, and stays at the end if that is where the reader is.
const add = (row) => {
  const near = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  events.append(row);
  while (events.childElementCount > ROWS_MAX) events.firstChild.remove();
  if (near) scroller.scrollTop = scroller.scrollHeight;
};

const note = (text, kind = "note") => add(cell(kind, text, "li"));

const textOf = (data) => {
  if (data instanceof Uint8Array) return `${data.length} bytes`;
  return typeof data === "string" ? data : JSON.stringify(data);
};

const show = (event) => {
  const row = cell(event.missed ? "missed" : "", "", "li");
  const time = new Date(event.time / 1_000);
  const name = event.name ? `${event.name} ` : "";
  row.append(
    cell("offset", event.offset),
    cell("topic", event.topics.join(", ")),
    cell("data", name + textOf(event.data)),
    cell("", time.toLocaleTimeString(), "time"),
  );
  row.title = `${event.position} ${time.toISOString()}`;
  add(row);
  at("place").textContent = event.position;
};

const subscribe = () => {
  const { filter, start } = at("read").elements;
  subscription?.off();
  events.replaceChildren();
  const from = start.value === "-100" ? -100 : start.value;
  const filters = filter.value.split(/[\s,]+/).filter(Boolean);
  subscription = wake.on(filters, show, { start: from });
};

const STATES = {
  connecting: "connecting",
  "catching-up": "catching up",
  live: "live",
  offline: "offline",
};

wake.addEventListener("status", ({ state, missed, pending, reason, code }) => {
  document.body.dataset.state = state;
  const waiting = pending ? `, ${pending} waiting to be sent` : "";
  at("status").lastChild.textContent = STATES[state] + waiting;
  toggle.textContent = state === "offline" ? "Come back" : "Drop connection";
  at("missed").textContent = missed ? `${missed} missed, arrived` : "";
  if (code === 4401) at("token").hidden = false;
  else if (state === "offline" && reason !== "user") note(`offline: ${reason}`, "note error");
});
wake.addEventListener("gap", ({ from, to, reason }) => {
  note(`events ${from} to ${to - 1} will not come: ${reason}`);
});
wake.addEventListener("reset", () => note("this is another log than before: beginning anew"));
wake.addEventListener("error", ({ message, code }) => {
  if (code !== "unauthorized") note(message ?? code, "note error");
});

toggle.addEventListener("click", () => {
  if (document.body.dataset.state === "offline") wake.goOnline();
  else wake.goOffline("user");
});

at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  token = event.target.elements.token.value;
  event.target.reset();
  event.target.hidden = true;
  wake.goOnline();
});

at("read").addEventListener("submit", (event) => {
  event.preventDefault();
  subscribe();
});

at("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const { topic, data } = event.target.elements;
  const sent = wake.emit(topic.value, data.value);
  sent.catch((error) => note(`not published: ${error.message}`, "note error"));
  data.select();
});

subscribe();
