// Socket.IO's own client, for all who listen and publish: node clients.mjs MODULES.
//
// The first line of its input says who there is, each other one what to publish, or that the end
// is near; it tells facts, answers and how far it is on its output. All of that is JSON.

import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules] = process.argv.slice(2);
const { io } = createRequire(`${modules}/`)("socket.io-client");

// How long an answer may take before an event is sent again.
const ANSWER_MS = 5000;
// A connection that nothing comes through any more ends within this time.
const STEADY_MS = 4000;

// What is told comes out in its order, several lines at a time.
let told = [];
function tell(what) {
  told.push(`${JSON.stringify(what)}\n`);
  if (told.length === 1) setImmediate(flush);
}
function flush() {
  let bytes = Buffer.from(told.join(""));
  told = [];
  while (bytes.length > 0) bytes = bytes.subarray(writeSync(1, bytes));
}

let began = false;
const coming = new Set();
const listening = new Set();
const sockets = [];

function open(url, auth) {
  // All else is the default: reconnection after 1 to 5 s, and no end to it.
  const socket = io(url, { transports: ["websocket"], auth });
  socket.on("disconnect", () => socket.active || socket.connect());
  sockets.push(socket);
  return socket;
}

function listen({ client, url, rooms }) {
  const socket = open(url, { identity: client, rooms });
  coming.add(client);
  listening.add(client);
  socket.on("connect", () => {
    if (began) tell({ fact: "connected", client, recovered: socket.recovered === true });
  });
  socket.on("hello", () => {
    if (!coming.delete(client) || coming.size > 0) return;
    began = true;
    tell({ phase: "began" });
  });
  socket.on("event", ({ offset, id, text }) => {
    tell({ fact: "heard", client, offset, id, text });
    if (id !== "the-end") return;
    tell({ fact: "stands", client, offset: offset + 1 });
    listening.delete(client);
    if (listening.size === 0) setTimeout(() => process.exit(0), 100);
  });
}

// Until it is answered.
function publish(socket, event) {
  socket.timeout(ANSWER_MS).emit("publish", event, (error, offset) => {
    if (error) publish(socket, event);
    else tell({ answered: event.id, offset });
  });
}

// The last event is sent once all are there to hear it.
function gather() {
  let since = Date.now();
  const timer = setInterval(() => {
    if (!sockets.every((socket) => socket.connected)) since = Date.now();
    if (Date.now() - since < STEADY_MS) return;
    clearInterval(timer);
    tell({ phase: "gathered" });
  }, 100);
}

const producers = [];
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const message = JSON.parse(line);
  if (message.clients) {
    message.clients.forEach(listen);
    for (const url of message.producers) producers.push(open(url, { identity: url, rooms: [] }));
  } else if (message.event) {
    publish(producers[message.producer], message.event);
  } else {
    gather();
  }
});
lines.on("close", () => process.exit(1));
