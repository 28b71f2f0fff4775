// The chat page: one wakelog client, and what the people of this server do with it.
//
// A room is a topic (`room.lobby`), a message is an event in it. The page subscribes to all rooms
// and to `who`, where people say their names, and keeps the newest part of the log in memory.

import { connect, offsetOf } from "./wakelog.js";
import { byId, count, number, words } from "./dom.js";
import * as identity from "./identity.js";
import { Log, keep } from "./log.js";
import * as view from "./view.js";

const HISTORY = 3_000; // events before the end that a fresh page asks for
const FLOOD = 1_000;
const PEOPLE_MS = 1_000;
const REMEMBERED = 50_000; // ids against doubles, and offsets for counting
const ROOM_NAME = /^[a-z0-9-]{1,32}$/;

const me = identity.load();
const rooms = new Map();
const people = new Map(); // id -> { name, online, offset, met } of everybody we have heard of
const outbox = new Map(); // id -> { room, text, state } of what I wrote, until it comes back
const seen = new Set(); // what is shown: a retry whose answer was lost is no second message
let offsets = []; // of all messages, to count how far behind somebody is
let arrived = []; // what the next frame will show
let room = "lobby";
let end = 0; // of the log, as far as we know
let missed = { count: 0, complete: true, shown: false }; // what came while we were away
let drawing = false;
let numbers = 0;

const log = new Log(byId("scroller"), byId("log"), byId("jump"));
const url = new URL("wakelog", location.href);
url.protocol = url.protocol.replace("http", "ws");
url.hash = "";
const client = connect(url, { consumer: me.id });
const reading = client.on(["room.*", "who"], receive, { start: beginning });

// A fresh page shows some history, and all of what this consumer has not seen.
function beginning({ end, cursor }) {
  const history = Math.max(0, offsetOf(end) - HISTORY);
  const resumed = cursor?.state === "resumed" && offsetOf(cursor.position) < history;
  return resumed ? cursor.position : history;
}

function receive(event) {
  event.from ??= "server";
  end = Math.max(end, event.offset + 1);
  if (event.topics.includes("who")) {
    person(event.from).name = nameIn(event);
  } else if (!event.id || !seen.has(keyOf(event))) {
    remember(event);
    person(event.from).name = nameIn(event);
    arrived.push(messageOf(event));
  }
  draw();
}

const keyOf = ({ from, id }) => `${from} ${id}`;

function remember(event) {
  seen.add(keyOf(event));
  offsets.push(event.offset);
  if (offsets.length > 2 * REMEMBERED) offsets.splice(0, REMEMBERED);
  for (const oldest of seen) {
    if (seen.size <= REMEMBERED) break;
    seen.delete(oldest);
  }
}

function messageOf(event) {
  const { offset, position, time, from, id, data } = event;
  const topic = event.topics.find((name) => name.startsWith("room.")) ?? "room.lobby";
  const away = event.missed && from !== me.id;
  if (away) countMissed();
  const text = words(data?.text ?? data, 4_000);
  const name = nameIn(event);
  return { room: topic.slice(5), offset, position, time, from, id, name, text, missed: away };
}

const nameIn = ({ data, from }) => words(data?.name || identity.nameOf(from), 40);

// The count goes on over a connection that breaks while catching up; the next absence begins a new
// one, and what was marked before is ordinary then.
function countMissed() {
  if (missed.complete) {
    missed = { count: 0, complete: false, shown: false };
    const before = [...[...rooms.values()].flatMap(({ messages }) => messages), ...arrived];
    for (const message of before) message.missed = false;
    log.show(placeOf(room).messages);
  }
  missed.count++;
}

function placeOf(name) {
  if (!rooms.has(name)) rooms.set(name, { messages: [], unread: 0 });
  return rooms.get(name);
}

function person(id) {
  if (!people.has(id)) people.set(id, { name: identity.nameOf(id), online: false, offset: end });
  return people.get(id);
}

// How many messages we know of lie at or after a place.
function behind(place) {
  let [low, high] = [0, offsets.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offsets[middle] < place) low = middle + 1;
    else high = middle;
  }
  return offsets.length - low;
}

// The server lost the end of its log: what we saw of it is void.
function takeBack(from, to) {
  const isVoid = ({ offset }) => offset >= from && offset < to;
  for (const place of rooms.values()) {
    for (const message of place.messages.filter(isVoid)) seen.delete(keyOf(message));
    place.messages = place.messages.filter((message) => !isVoid(message));
  }
  arrived = arrived.filter((message) => !isVoid(message));
  offsets = offsets.filter((offset) => !isVoid({ offset }));
  log.show(placeOf(room).messages);
}

// One drawing per frame. A hidden tab gets no frames, but its work must not pile up.
function draw() {
  if (drawing) return;
  drawing = true;
  if (document.hidden) setTimeout(drawNow, 100);
  else requestAnimationFrame(drawNow);
}

function drawNow() {
  drawing = false;
  const shown = [];
  for (const message of arrived.splice(0)) {
    const place = placeOf(message.room);
    keep(place.messages, message);
    if (message.from === me.id) outbox.delete(message.id);
    if (message.room === room) shown.push(message);
    else if (message.from !== me.id) place.unread++;
  }
  view.rooms(rooms, room, enter);
  view.room(room, placeOf(room));
  view.outbox([...outbox.values()].filter((item) => item.room === room));
  if (shown.length) log.add(shown);
  log.settle();
  view.myself(me);
  view.people(people, me, behind, client.welcome !== undefined);
  const { position } = reading;
  view.place(position, position ? offsetOf(position) : 0, end, client.welcome?.epoch);
  drawStatus();
}

function drawStatus() {
  const { status } = client;
  const waiting = [...outbox.values()].filter(({ state }) => state === "waiting").length;
  view.status(status, waiting);
  document.body.dataset.missed = missed.count;
  if (status.reason === "fenced") {
    const text = ["This name is open in another tab.", "It went on there; this one stays quiet."];
    view.notice("fenced", text, "Be somebody new", () => {
      identity.forget();
      location.reload();
    });
  } else if (status.state === "offline") {
    const rest = "What others write waits in the log; what you write, here.";
    view.notice("offline", ["You are offline.", rest]);
  } else if (missed.count && missed.complete && !missed.shown && !arrived.length) {
    const title = `${count(missed.count, "message")} while you were away.`;
    view.notice("missed", [title, "All of them are here."], "Got it", () => {
      missed.shown = true;
      drawStatus();
    });
  } else {
    view.notice();
  }
}

function enter(name) {
  room = name;
  placeOf(name).unread = 0;
  history.replaceState(null, "", `#${name}`);
  log.show(placeOf(name).messages);
  draw();
}

function enterByAddress() {
  const name = location.hash.slice(1);
  enter(ROOM_NAME.test(name) ? name : "lobby");
}

// Resolves when the message is on the server's disk, however long that takes.
async function say(text, to = room) {
  const id = `${me.session}-${++numbers}`;
  const item = { room: to, text, state: "waiting" };
  outbox.set(id, item);
  draw();
  try {
    await client.emit(`room.${to}`, { name: me.name, text }, { id, name: "message" });
    item.state = "sent";
  } catch (error) {
    Object.assign(item, { state: "failed", why: error.message });
  }
  draw();
  return item.state === "sent";
}

async function flood() {
  const button = byId("flood");
  const [to, start] = [room, performance.now()];
  button.disabled = true;
  let stored = 0;
  const one = async (n) => {
    if (await say(`Event ${number(n)} of ${number(FLOOD)}`, to)) stored++;
    button.textContent = `${number(stored)} on disk`;
  };
  await Promise.all(Array.from({ length: FLOOD }, (_, n) => one(n + 1)));
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  button.textContent = `${number(stored)} on disk in ${seconds} s`;
  document.body.dataset.flooded = stored;
  setTimeout(() => {
    button.textContent = `Flood ${number(FLOOD)}`;
    button.disabled = false;
  }, 3_000);
}

// A name goes into the log, so that whoever reads it later knows who wrote.
function announce() {
  me.announced = true;
  identity.save(me);
  client.emit("who", { name: me.name }, { name: "name" }).catch(() => {});
  draw();
}

// Who is connected is not in the log: the server tells it, with everybody's place.
async function look() {
  if (!client.welcome) return;
  const answer = await fetch("people").then((response) => response.json(), () => undefined);
  if (!answer) return; // the server is away, and the status says so
  end = Math.max(end, answer.end);
  for (const known of people.values()) known.online = false;
  for (const { id, online, offset } of answer.people) {
    Object.assign(person(id), { online, offset, met: true });
  }
  draw();
}

client.addEventListener("status", ({ state }) => {
  if (client.welcome) end = Math.max(end, offsetOf(client.welcome.end));
  if (state === "live") missed.complete = true;
  draw();
});

client.addEventListener("gap", ({ from, to, reason }) => {
  if (reason === "diverged") takeBack(from, to);
  arrived.push({ kind: "gap", from, to, reason, room });
  draw();
});

client.addEventListener("reset", () => {
  for (const place of rooms.values()) place.messages.length = 0;
  arrived.length = offsets.length = end = 0;
  seen.clear();
  log.show([]);
  view.say("This server has another log now; the messages of the old one left the page.");
});

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const { text } = event.target.elements;
  const words = text.value.trim();
  text.value = "";
  log.follow();
  if (words) say(words);
});

byId("new-room").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = event.target.elements.room.value.trim().toLowerCase().replaceAll(/\s+/g, "-");
  if (!ROOM_NAME.test(name)) return view.say("A room's name is letters, digits and dashes.");
  event.target.reset();
  enter(name);
});

const rename = (event) => {
  event.preventDefault();
  const name = byId("me").elements.name.value.trim();
  byId("me").elements.name.value = name || me.name;
  if (!name || name === me.name) return;
  me.name = name;
  announce();
};
byId("me").addEventListener("submit", rename);
byId("me").addEventListener("change", rename);

byId("toggle").addEventListener("click", () => {
  if (client.status.state === "offline") client.goOnline();
  else client.goOffline();
});
byId("flood").addEventListener("click", flood);
addEventListener("hashchange", enterByAddress);
setInterval(look, PEOPLE_MS);
setInterval(drawStatus, 500); // the countdown to the next try

for (const name of ["lobby", "garden", "workshop"]) placeOf(name);
enterByAddress();
if (!me.announced) announce();
