// A Socket.IO server as its documents describe one: node server.mjs MODULES FIRST-OFFSET.
//
// It is told what to append on its standard input and says what it knows on its standard output,
// as wakelog's own server does: `listening PORT`, `appended ID OFFSET`.

import { writeSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, first] = process.argv.slice(2);
const { Server } = createRequire(`${modules}/`)("socket.io");

// How many ids of events are remembered, so that what a producer sends again is sent on once.
const REMEMBERED = 65_536;

const say = (...words) => writeSync(1, `${words.join(" ")}\n`);
const http = createServer();
const io = new Server(http, {
  // The values that the documents give.
  connectionStateRecovery: { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true },
});

let next = Number(first);
const offsets = new Map();

// Sends an event on, and says which number it has.
function publish({ id, topics, not_to, text }) {
  let offset = offsets.get(id);
  if (offset !== undefined) return offset;
  offset = next++;
  offsets.set(id, offset);
  if (offsets.size > REMEMBERED) offsets.delete(offsets.keys().next().value);
  io.to(topics)
    .except(not_to.map((identity) => `identity ${identity}`))
    .emit("event", { offset, id, text });
  return offset;
}

io.on("connection", (socket) => {
  // Who was recovered is in its rooms again.
  if (!socket.recovered) {
    const { identity, rooms } = socket.handshake.auth;
    socket.join([...rooms, `identity ${identity}`]);
    // For a recovery there must have been one event at least.
    socket.emit("hello");
  }
  socket.on("publish", (event, answer) => answer(publish(event)));
});

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [word, id, topic] = line.split(" ", 3);
  if (word === "append") {
    const text = line.slice([word, id, topic, ""].join(" ").length);
    say("appended", id, publish({ id, topics: [topic], not_to: [], text }));
  } else if (word === "drain") {
    io.close(() => process.exit(0));
    // A peer that is not there any more would be waited for.
    setTimeout(() => process.exit(0), 1000);
  }
});
// Whoever started it is gone.
lines.on("close", () => setTimeout(() => process.exit(0), 1000));
http.listen(0, "127.0.0.1", () => say("listening", http.address().port));
