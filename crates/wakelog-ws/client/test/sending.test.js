// The outbox: what was emitted is sent until it is answered, under the same id.

import assert from "node:assert/strict";
import { test } from "node:test";

import { WELCOME, at, settle, start, until } from "./fake.js";

const published = ({ id }, offset) => ({ type: "published", id, offset, position: at(offset + 1) });

test("emit resolves when the server says that the event is on disk", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const answers = [
    client.emit("room.1", { n: 1 }, { name: "message" }),
    client.emit(["room.1", "room.2"], "words", { id: "mine", notTo: ["bob"] }),
    client.emit("room.1", Uint8Array.of(0, 1, 2, 255)),
    client.emit("room.1"),
  ];
  assert.equal(client.status.pending, 4);
  const first = await (await socket(0)).welcome();
  await until(() => first.all("publish").length === 4);
  const sent = first.all("publish").map(({ type, id, ...rest }) => rest);
  assert.deepEqual(sent, [
    { topics: ["room.1"], name: "message", data: { n: 1 } },
    { topics: ["room.1", "room.2"], not_to: ["bob"], text: "words" },
    { topics: ["room.1"], base64: "AAEC/w==" },
    { topics: ["room.1"] },
  ]);
  const ids = first.all("publish").map(({ id }) => id);
  assert.equal(new Set(ids).size, 4);
  assert.equal(ids[1], "mine");
  ids.forEach((id, n) => first.say(published({ id }, 7 + n)));
  const offsets = (await Promise.all(answers)).map(({ offset }) => offset);
  assert.deepEqual(offsets, [7, 8, 9, 10]);
  assert.equal(client.status.pending, 0);
});

test("what was not answered is sent again, in order, under the same ids", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const first = await (await socket(0)).welcome();
  const answers = [1, 2, 3].map((n) => client.emit("room.1", n));
  await until(() => first.all("publish").length === 3);
  first.say(published(first.all("publish")[1], 50));
  first.cut();
  answers.push(client.emit("room.1", 4));
  const second = await (await socket(1)).welcome();
  await until(() => second.all("publish").length === 3);
  const [one, , three] = first.all("publish");
  assert.deepEqual(second.all("publish").slice(0, 2), [one, three]);
  assert.deepEqual(second.all("publish").map(({ data }) => data), [1, 3, 4]);
  second.all("publish").forEach((message, n) => second.say(published(message, 60 + n)));
  const offsets = (await Promise.all(answers)).map(({ offset }) => offset);
  assert.deepEqual(offsets, [60, 50, 61, 62]);
});

test("no more are under way than the server wants", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const limits = { ...WELCOME.limits, publishes: 3 };
  const first = await (await socket(0)).welcome({ limits });
  const answers = Array.from({ length: 8 }, (_, n) => client.emit("room.1", n));
  for (let n = 0; n < 8; n++) {
    await settle(1);
    assert.equal(first.all("publish").length, Math.min(8, n + 3));
    first.say(published(first.all("publish")[n], n));
  }
  await Promise.all(answers);
});

test("what can never succeed is told once, what may is tried again", async (t) => {
  const { client, socket, of } = start();
  t.after(() => client.close());
  const first = await (await socket(0)).welcome();
  const bad = client.emit("room..1", 1);
  const busy = client.emit("room.1", 2);
  const large = client.emit("room.1", "\u20ac".repeat(30_000));
  await assert.rejects(large, { code: "too_large" });
  await until(() => first.all("publish").length === 2);
  const [one, two] = first.all("publish");
  const error = { type: "error", re: "publish", message: "no" };
  first.say({ ...error, code: "bad_topic", retry: false, id: one.id });
  await assert.rejects(bad, { code: "bad_topic", message: "no" });
  first.say({ ...error, code: "unavailable", retry: true, id: two.id, after_ms: 5 });
  await until(() => first.all("publish").length === 3);
  assert.deepEqual(first.said("publish"), two);
  first.say(published(two, 9));
  assert.equal((await busy).offset, 9);
  assert.deepEqual(of("error").map(({ code }) => code), ["bad_topic", "unavailable"]);
});

test("offline it waits, and close gives everything back", async (t) => {
  const { client, socket, sockets } = start({ offline: true });
  t.after(() => client.close());
  const first = client.emit("room.1", 1);
  const never = client.emit("room.1", 2);
  await settle();
  assert.deepEqual([sockets.length, client.status.pending], [0, 2]);
  assert.equal(client.status.state, "offline");
  client.goOnline();
  const connection = await (await socket(0)).welcome();
  connection.say(published(await until(() => connection.all("publish")[0]), 5));
  assert.equal((await first).offset, 5);
  client.close();
  await assert.rejects(never, { code: "closed" });
  await assert.rejects(client.emit("room.1", 3), { code: "closed" });
  client.goOnline();
  await settle();
  assert.deepEqual([sockets.length, connection.closed], [1, true]);
});

test("an answer of the application resolves with its data", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const answers = ["a", "b", "c"].map((id) => client.emit("ask", 1, { id }));
  const first = await (await socket(0)).welcome();
  await until(() => first.all("publish").length === 3);
  first.say({ type: "reply", id: "a", data: { ok: true } });
  first.say({ type: "reply", id: "b", text: "words" }, { type: "reply", id: "c", base64: "AP8=" });
  assert.deepEqual(await Promise.all(answers), [
    { id: "a", data: { ok: true } },
    { id: "b", data: "words" },
    { id: "c", data: Uint8Array.of(0, 255) },
  ]);
  assert.equal(client.status.pending, 0);
});

test("what is volatile says so, and its answer is a reply", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const answer = client.emit("room.1", "...", { volatile: true });
  const first = await (await socket(0)).welcome();
  const { id, volatile } = await until(() => first.said("publish"));
  assert.equal(volatile, true);
  first.say({ type: "reply", id, text: "" });
  assert.deepEqual(await answer, { id, data: "" });
});
