// Subscriptions: where they begin, what arrives, how far they got.

import assert from "node:assert/strict";
import { test } from "node:test";

import { STEM, at, event, page, settle, start, until } from "./fake.js";

const END = { type: "subscribed", position: at(100), end: 100 };

test("events arrive in order with their positions, payloads as they were sent", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const seen = [];
  client.on("room.1", (e) => seen.push(e));
  const first = await (await socket(0)).welcome();
  assert.equal(first.protocol, "wakelog.v1.json");
  const { sub, filters, position: from } = await until(() => first.said("subscribe"));
  assert.deepEqual([filters, from], [["room.1"], at(100)]);
  const extra = { not_to: ["bob"], name: "joined", id: "a1", from: "alice" };
  first.say({ ...END, sub });
  first.say(
    page(sub, [
      { ...event(100, { n: null }), ...extra },
      { ...event(103), data: undefined, text: "" },
      { ...event(105), data: undefined, base64: "AAEC/w==" },
      event(106, null),
    ]),
  );
  await until(() => seen.length === 4);
  const { missed, position, notTo, name, id, from: sender, topics, time } = seen[0];
  assert.deepEqual([missed, position, notTo], [false, at(101), ["bob"]]);
  assert.deepEqual([name, id, sender, topics, time], ["joined", "a1", "alice", ["room.1"], 1]);
  const data = seen.map((e) => e.data);
  assert.deepEqual(data, [{ n: null }, "", Uint8Array.of(0, 1, 2, 255), null]);
  assert.deepEqual(seen.map((e) => e.offset), [100, 103, 105, 106]);
});

test("after a cut it goes on from the last event, and what was missed is counted", async (t) => {
  const { client, socket, of } = start();
  t.after(() => client.close());
  const seen = [];
  const subscription = client.on("room.1", (e) => seen.push([e.offset, e.missed]));
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ ...END, sub }, page(sub, [event(100)]));
  await until(() => client.status.state === "live");
  assert.equal(client.status.missed, 0);
  first.cut();
  assert.equal(client.status.state, "connecting");
  const second = await (await socket(1)).welcome({ end: at(104) });
  assert.equal((await until(() => second.said("subscribe"))).position, at(101));
  second.say({ ...END, sub, end: 104 });
  second.say(page(sub, [event(101), event(102)], { live: false }));
  await until(() => client.status.missed === 2);
  assert.equal(client.status.state, "catching-up");
  second.say(page(sub, [event(103), event(104)]));
  await until(() => client.status.state === "live");
  const expected = [[100, false], [101, true], [102, true], [103, true], [104, false]];
  assert.deepEqual(seen, expected);
  assert.equal(subscription.position, at(105));
  await settle();
  const states = of("status").map(({ state, missed }) => `${state} ${missed}`);
  assert.deepEqual(states.slice(-2), ["catching-up 2", "live 3"]);
});

test("a cut within a page redelivers nothing that was processed", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const seen = [];
  let release;
  client.on("room.1", async (e) => {
    seen.push(e.offset);
    if (e.offset === 101) await new Promise((resolve) => (release = resolve));
  });
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ ...END, sub }, page(sub, [event(100), event(101), event(102)]));
  await until(() => release);
  first.cut();
  const second = await (await socket(1)).welcome();
  await settle();
  assert.equal(second.said("subscribe"), undefined, "the place is not known yet");
  release();
  assert.equal((await until(() => second.said("subscribe"))).position, at(102));
  second.say({ ...END, sub }, page(sub, [event(102)]));
  await until(() => seen.length === 3);
  assert.deepEqual(seen, [100, 101, 102]);
});

test("a listener that throws gets the event again, and no other before it", async (t) => {
  t.mock.method(console, "error", () => {});
  const { client, socket, of } = start();
  t.after(() => client.close());
  const seen = [];
  const subscription = client.on("room.1", (e) => {
    seen.push(e.offset);
    if (seen.length === 1) throw new Error("not now");
  });
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ ...END, sub }, page(sub, [event(100), event(101)]));
  await until(() => of("error").length === 1);
  assert.equal(of("error")[0].code, "listener");
  assert.equal(subscription.position, at(100), "not done");
  await until(() => seen.length === 3);
  assert.deepEqual(seen, [100, 100, 101]);
});

test("credit is paid back for what was processed, in handfuls", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  client.on("room.1", () => {});
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ ...END, sub });
  const nine = (from) => Array.from({ length: 9 }, (_, n) => event(from + n));
  first.say(page(sub, nine(100)));
  await settle();
  assert.equal(first.said("credit"), undefined, "less than a quarter is owed");
  first.say(page(sub, nine(109)));
  const credit = { type: "credit", sub, events: 18, bytes: 20 };
  assert.deepEqual(await until(() => first.said("credit")), credit);
  first.say(page(sub, [event(118)], { bytes: 9_000 }));
  await until(() => first.all("credit").length === 2);
  assert.deepEqual(first.said("credit"), { type: "credit", sub, events: 1, bytes: 9_000 });
});

test("a gap is told in its place and moves on; it stands until it was told", async (t) => {
  const { client, socket, told, of } = start({ storage: { load: () => at(50), save() {} } });
  t.after(() => client.close());
  client.on("room.1", (e) => told.push({ type: "event", offset: e.offset, missed: e.missed }));
  const first = await (await socket(0)).welcome();
  const { sub, position } = await until(() => first.said("subscribe"));
  assert.equal(position, at(50));
  first.say({ ...END, sub });
  first.cut();
  const second = await (await socket(1)).welcome();
  assert.equal((await until(() => second.said("subscribe"))).position, at(50), "asked again");
  const gap = { type: "gap", sub, from: 50, to: 90, reason: "trimmed", position: at(90) };
  second.say({ ...END, sub }, gap, page(sub, [event(95)]));
  await until(() => of("event").length);
  const [{ from, to, reason }, e] = told.filter(({ type }) => /gap|event/.test(type));
  assert.deepEqual([from, to, reason], [50, 90, "trimmed"]);
  assert.deepEqual(e, { type: "event", offset: 95, missed: true });
});

test("events below a diverged position are missed ones too", async (t) => {
  const { client, socket } = start({ storage: { load: () => at(60), save() {} } });
  t.after(() => client.close());
  const seen = [];
  client.on("room.1", (e) => seen.push([e.offset, e.missed]));
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  const stem = STEM.replace("1-", "2-");
  const gap = { type: "gap", sub, from: 55, to: 60, reason: "diverged", position: at(55, stem) };
  first.say({ ...END, sub, end: 57 }, gap, page(sub, [event(55), event(57)], { stem }));
  await until(() => seen.length === 2);
  assert.deepEqual(seen, [[55, true], [57, false]]);
});

test("after a reset it says so, forgets the place and starts again", async (t) => {
  const saved = [];
  const storage = { load: () => "elsewhere.1-2.7", save: (key, position) => saved.push(position) };
  const { client, socket, of } = start({ storage });
  t.after(() => client.close());
  client.on("room.1", () => {});
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ type: "reset", sub, reason: "log", earliest: at(0), end: at(100) });
  await until(() => first.all("subscribe").length === 2);
  assert.equal(first.said("subscribe").start, "earliest");
  assert.deepEqual(of("reset").map(({ reason, end }) => [reason, end]), [["log", at(100)]]);
  assert.deepEqual(saved, [""]);
  first.say({ type: "error", code: "bad_position", retry: false, re: "subscribe", sub });
  await until(() => first.all("subscribe").length === 3);
  assert.equal(of("reset")[1].reason, "position");
});

test("where a subscription begins", async (t) => {
  const resumed = { state: "resumed", position: at(40) };
  const fresh = { state: "new", position: at(100) };
  const lost = { state: "lost", position: at(0) };
  const cases = [
    // From the welcome on, whatever is published before it is subscribed.
    [{}, null, { position: at(100) }],
    [{ start: "latest" }, fresh, { position: at(100) }],
    [{ start: "earliest" }, null, { start: "earliest" }],
    [{ start: 7 }, null, { start: 7 }],
    [{ start: -30 }, null, { start: 70 }],
    [{ start: -300 }, null, { start: 0 }],
    [{ start: at(3) }, null, { position: at(3) }],
    [{ start: "earliest" }, fresh, { start: "earliest" }],
    [{ start: "earliest" }, resumed, {}],
    [{}, lost, {}],
    [{ start: ({ end }) => end }, resumed, { position: at(100) }],
  ];
  for (const [options, cursor, expected] of cases) {
    const { client, socket } = start({ consumer: "alice" });
    t.after(() => client.close());
    client.on("room.1", () => {}, options);
    const first = await (await socket(0)).welcome({ cursor });
    assert.equal(first.said("hello").consumer, "alice");
    const { type, sub, filters, ...place } = await until(() => first.said("subscribe"));
    assert.deepEqual(place, expected);
  }
});

test("what is tried again begins where it would have begun the first time", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  client.on("room.1", () => {});
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  const error = { type: "error", re: "subscribe", sub, code: "unavailable", message: "not now" };
  first.say({ ...error, retry: true, after_ms: 1 });
  await until(() => first.all("subscribe").length === 2);
  first.cut();
  const second = await (await socket(1)).welcome({ end: at(200) });
  const third = await until(() => second.said("subscribe"));
  const begun = [...first.all("subscribe"), third].map(({ position }) => position);
  assert.deepEqual(begun, [at(100), at(100), at(100)]);
});

test("who is told of a reset begins at the first event, however often that is tried", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  client.on("room.1", () => {});
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ type: "reset", sub, reason: "log", earliest: at(0), end: at(100) });
  await until(() => first.all("subscribe").length === 2);
  const error = { type: "error", re: "subscribe", sub, code: "unavailable", message: "not now" };
  first.say({ ...error, retry: true, after_ms: 1 });
  await until(() => first.all("subscribe").length === 3);
  first.cut();
  const second = await (await socket(1)).welcome();
  const fourth = await until(() => second.said("subscribe"));
  const begun = [...first.all("subscribe").slice(1), fourth].map((said) => said.start);
  assert.deepEqual(begun, ["earliest", "earliest", "earliest"]);
});

test("a subscription that was cut off as it began hears what was emitted meanwhile", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const first = await (await socket(0)).welcome();
  client.on("room.1", () => {});
  assert.equal((await until(() => first.said("subscribe"))).start, "latest");
  first.cut();
  const second = await (await socket(1)).welcome({ end: at(200) });
  assert.equal((await until(() => second.said("subscribe"))).position, at(200));
});

test("positions are kept where the application wants them", async (t) => {
  const kept = new Map();
  const local = { getItem: (key) => kept.get(key) ?? null, setItem: (k, v) => kept.set(k, v) };
  globalThis.localStorage = local;
  t.after(() => delete globalThis.localStorage);
  const run = async (expected, offset) => {
    const { client, socket } = start({ storage: "localStorage" });
    client.on("room.1", () => {}, { start: "earliest" });
    const first = await (await socket(0)).welcome();
    const { sub, start: from, position } = await until(() => first.said("subscribe"));
    assert.equal(from ?? position, expected);
    first.say({ ...END, sub }, page(sub, [event(offset)]));
    await until(() => kept.size === 1 && [...kept.values()][0] === at(offset + 1));
    client.close();
  };
  await run("earliest", 70);
  await run(at(71), 71);
});

test("a store that fails costs the connection, not the event", async (t) => {
  t.mock.method(console, "error", () => {});
  let broken = true;
  const save = () => (broken ? Promise.reject(new Error("disk")) : undefined);
  const { client, socket, of } = start({ storage: { load() {}, save } });
  t.after(() => client.close());
  client.on("room.1", () => {});
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ ...END, sub }, page(sub, [event(100)]));
  await until(() => of("error").length);
  assert.equal(of("error")[0].code, "hook");
  broken = false;
  const second = await (await socket(1)).welcome();
  assert.equal((await until(() => second.said("subscribe"))).position, at(101));
});

test("what is volatile comes in its turn, and moves no place", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const seen = [];
  const listener = async (e) => {
    await settle(1);
    seen.push([e.offset, e.position, e.volatile, e.missed]);
  };
  const subscription = client.on("room.1", listener);
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  const volatile = (offset) => ({ type: "volatile", position: at(offset) });
  const typing = (offset) => ({ ...page(sub, [event(offset)]), ...volatile(offset) });
  first.say({ ...END, sub }, page(sub, [event(100)]), typing(107));
  await until(() => seen.length === 2);
  assert.deepEqual(seen[1], [107, at(107), true, false]);
  assert.equal(subscription.position, at(101));
  const paid = first.all("credit").length;
  // A slow listener does not let them gather.
  for (let n = 0; n < 1000; n++) first.say(typing(107));
  first.say(page(sub, [event(107)]));
  await until(() => subscription.position === at(108));
  assert.ok(seen.length > 20 && seen.length < 60, `${seen.length}`);
  assert.equal(first.all("credit").length, paid);
});

test("a listener that throws does not get what is volatile again", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const seen = [];
  const subscription = client.on("room.1", ({ offset, volatile }) => {
    seen.push(offset);
    if (volatile) throw new Error("no");
  });
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  first.say({ ...END, sub }, { ...page(sub, [event(100)]), type: "volatile", position: at(100) });
  first.say(page(sub, [event(100)]));
  await until(() => subscription.position === at(101));
  assert.deepEqual(seen, [100, 100]);
});
