// What a named consumer does: it acknowledges what its listeners have processed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { STEM, at, event, page, settle, start, until } from "./fake.js";

const CURSOR = { consumer: "alice", cursor: { state: "resumed", position: at(100) } };

async function subscribed(t, count) {
  const all = start({ consumer: "alice" });
  t.after(() => all.client.close());
  for (let n = 1; n <= count; n++) all.client.on(`room.${n}`, () => {});
  const socket = await (await all.socket(0)).welcome(CURSOR);
  await until(() => socket.all("subscribe").length === count);
  const subs = socket.all("subscribe").map(({ sub }) => sub);
  for (const sub of subs) socket.say({ type: "subscribed", sub, position: at(100), end: 100 });
  return { ...all, socket, subs };
}

test("one ack is on its way at a time, and the last one tells all", async (t) => {
  const { socket, subs } = await subscribed(t, 1);
  socket.say(page(subs[0], [event(100)]));
  await until(() => socket.said("ack"));
  socket.say(page(subs[0], [event(101), event(102)]), page(subs[0], [event(103)]));
  await settle();
  assert.deepEqual(socket.all("ack").map(({ position }) => position), [at(101)]);
  socket.say({ type: "ack_ok", position: at(101) });
  await settle();
  assert.deepEqual(socket.all("ack").map(({ position }) => position), [at(101), at(104)]);
  socket.say({ type: "ack_ok", position: at(104) });
  await settle();
  assert.equal(socket.all("ack").length, 2, "nothing new to say");
});

test("the slowest subscription says how far the consumer is", async (t) => {
  const { socket, subs } = await subscribed(t, 2);
  socket.say(page(subs[0], [event(150)]));
  await settle();
  assert.equal(socket.said("ack"), undefined, "the other one has said nothing yet");
  socket.say(page(subs[1], [event(120)]));
  assert.equal((await until(() => socket.said("ack"))).position, at(121));
});

test("places of two epochs are not compared", async (t) => {
  const { socket, subs } = await subscribed(t, 2);
  const stem = STEM.replace("1-", "2-");
  socket.say(page(subs[0], [event(100)]), page(subs[1], [event(130)], { stem }));
  await settle();
  assert.equal(socket.said("ack"), undefined);
  socket.say({ type: "heartbeat", positions: { [subs[0]]: at(140, stem) } });
  assert.equal((await until(() => socket.said("ack"))).position, at(131, stem));
});

test("a heartbeat is answered and moves a quiet client", async (t) => {
  const { client, socket, subs } = await subscribed(t, 1);
  socket.say(page(subs[0], []));
  await until(() => client.status.state === "live");
  socket.say({ type: "heartbeat", positions: { [subs[0]]: at(900), gone: at(1) } });
  await until(() => socket.all("ack").length);
  assert.equal(socket.all("heartbeat").length, 1);
  socket.say({ type: "ack_ok", position: at(100) });
  assert.equal((await until(() => socket.said("ack"))).position, at(900));
});

test("a refused ack does not stop the next one", async (t) => {
  const { socket, subs } = await subscribed(t, 1);
  socket.say(page(subs[0], [event(100)]));
  await until(() => socket.said("ack"));
  socket.say({ type: "error", code: "ack_refused", retry: false, re: "ack", message: "no" });
  socket.say(page(subs[0], [event(101)]));
  assert.equal((await until(() => socket.all("ack")[1])).position, at(102));
});

test("a subscription that ended holds nobody back", async (t) => {
  const { client, socket, subs } = await subscribed(t, 1);
  const slow = client.on("room.9", () => {});
  const { sub } = await until(() => socket.all("subscribe")[1]);
  socket.say({ type: "subscribed", sub, position: at(100), end: 100 });
  socket.say(page(subs[0], [event(150)]));
  await settle();
  slow.off();
  assert.deepEqual(socket.said("unsubscribe"), { type: "unsubscribe", sub });
  socket.say(page(sub, [event(110)]), page(subs[0], [event(152)]));
  assert.equal((await until(() => socket.said("ack"))).position, at(153));
});
