// The connection: when it comes back by itself, how soon, and when it must not.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import * as wakelog from "../wakelog.js";
import { WELCOME, at, settle, start, until } from "./fake.js";

const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const PROTOCOL = read("../../PROTOCOL.md");

test("every close code of PROTOCOL.md does what its table says", async (t) => {
  const section = PROTOCOL.split("## 11. Close codes")[1].split("\n## ")[0];
  const rows = [...section.matchAll(/^\| ([\d, ]+)[^|]*\|[^|]*\| (yes|no)/gm)];
  assert.ok(rows.length >= 12, "the table is where it was");
  for (const [, codes, answer] of rows) {
    for (const code of codes.split(",").map(Number)) {
      const { client, socket, sockets } = start();
      t.after(() => client.close());
      (await (await socket(0)).welcome()).cut(code);
      const { state, code: told } = client.status;
      assert.equal(state, answer === "yes" ? "connecting" : "offline", `close code ${code}`);
      if (answer === "yes") await socket(1);
      else await settle(10);
      assert.equal(sockets.length, answer === "yes" ? 2 : 1);
      if (answer === "no") assert.equal(told, code);
    }
  }
});

test("the server's examples in PROTOCOL.md are understood", async (t) => {
  const examples = [...PROTOCOL.matchAll(/```json server\n([^]*?)```/g)];
  assert.ok(examples.length >= 12, "the examples are where they were");
  for (const [, text] of examples) {
    const { client, socket, of } = start({ consumer: "alice" });
    t.after(() => client.close());
    client.on("room.42", () => {}, { key: "room" });
    const first = await (await socket(0)).welcome();
    await until(() => first.said("subscribe"));
    first.say(JSON.parse(text.replaceAll('"room"', `"${first.said("subscribe").sub}"`)));
    await settle(1);
    assert.ok(of("error").every(({ code }) => code !== "hook"), text);
  }
});

test("the waits grow and are spread; a good connection makes them short again", async (t) => {
  const { client, socket, of } = start();
  t.after(() => client.close());
  t.mock.method(Math, "random", () => 0.5);
  const wait = () => {
    const { state, retryAt } = client.status;
    assert.equal(state, "connecting");
    return Math.round(retryAt - Date.now());
  };
  (await socket(0)).cut();
  const near = (value, expected) => assert.ok(Math.abs(value - expected) <= 3, `${value} ms`);
  near(wait(), 250);
  const reconnect = { min_ms: 8, max_ms: 40 };
  (await (await socket(1)).welcome({ reconnect })).cut();
  for (const [n, expected] of [8, 16, 20, 20].entries()) {
    near(wait(), expected);
    (await socket(n + 2)).cut();
  }
  const bye = await (await socket(6)).welcome({ reconnect });
  bye.say({ type: "bye", in: [60, 80] });
  bye.cut(1012);
  near(wait(), 70);
  const good = await (await socket(7)).welcome({ reconnect });
  const { now } = Date;
  t.mock.method(Date, "now", () => now() + 10_000);
  good.cut();
  near(wait(), 4);
  assert.equal(of("fenced").length, 0);
});

test("a connection that went silent is given up", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const first = await (await socket(0)).welcome({ heartbeat_ms: 160 });
  await settle(240);
  first.say({ type: "heartbeat" });
  await settle(240);
  assert.equal(first.closed, false, "it has just said something");
  const second = await socket(1);
  assert.equal(first.closed, true);
  first.onmessage({ data: JSON.stringify({ type: "fenced" }) });
  first.cut(4409);
  await second.welcome();
  assert.equal(client.status.state, "live", "late words of the old connection count nothing");
});

test("credentials that end are renewed if the application has a way to", async (t) => {
  let count = 0;
  const { client, socket } = start({ token: async () => `token ${++count}` });
  t.after(() => client.close());
  const first = await (await socket(0)).welcome();
  first.say({ type: "error", code: "expired", retry: false, message: "", re: "hello" });
  first.cut(4401);
  assert.equal(client.status.state, "connecting");
  const second = await socket(1);
  second.onopen?.();
  await until(() => second.said("hello"));
  assert.equal(second.said("hello").token, "token 2");
  // Those that are refused are not asked for again and again.
  second.cut(4401);
  assert.deepEqual([client.status.state, client.status.code], ["offline", 4401]);
});

test("fenced is final until the user asks", async (t) => {
  const { client, socket, sockets, of } = start({ consumer: "alice" });
  t.after(() => client.close());
  const first = await (await socket(0)).welcome();
  first.say({ type: "fenced" });
  first.cut(4409);
  await settle(15);
  assert.equal(of("fenced").length, 1);
  assert.deepEqual([sockets.length, client.status.reason], [1, "fenced"]);
  client.goOnline();
  await (await socket(1)).welcome();
  assert.equal(client.status.state, "live");
});

test("the user may leave and come back at any moment", async (t) => {
  const { client, socket, sockets } = start();
  t.after(() => client.close());
  client.goOffline();
  assert.equal((await socket(0)).closed, true, "while it was still connecting");
  client.goOnline();
  client.goOnline();
  await (await socket(1)).welcome();
  client.goOffline();
  client.goOffline();
  await settle(15);
  assert.equal(sockets.length, 2);
  assert.deepEqual([client.status.state, client.status.reason], ["offline", "user"]);
  client.goOnline();
  (await socket(2)).cut();
  client.goOffline();
  await settle(15);
  assert.equal(sockets.length, 3, "no attempt is left over");
});

test("the token comes from the application, anew for each connection", async (t) => {
  t.mock.method(console, "error", () => {});
  let count = 0;
  const token = async () => {
    count += 1;
    if (count === 2) throw new Error("no token now");
    return `t${count}`;
  };
  const { client, socket, of } = start({ token });
  t.after(() => client.close());
  const first = await (await socket(0)).welcome();
  assert.equal(first.said("hello").token, "t1");
  first.cut();
  (await socket(1)).onopen();
  await until(() => of("error").length === 1);
  const third = await (await socket(2)).welcome();
  assert.equal(third.said("hello").token, "t3");
});

test("a subscription that is refused is told; what may come later is tried again", async (t) => {
  const { client, socket, of } = start();
  t.after(() => client.close());
  client.on("secret", () => {});
  const first = await (await socket(0)).welcome();
  const { sub } = await until(() => first.said("subscribe"));
  const error = { type: "error", re: "subscribe", sub, message: "no" };
  first.say({ ...error, code: "unavailable", retry: true, after_ms: 1 });
  await until(() => first.all("subscribe").length === 2);
  assert.equal(client.status.state, "catching-up");
  first.say({ ...error, code: "forbidden", retry: false });
  await until(() => client.status.state === "live");
  assert.deepEqual(of("error").map(({ code }) => code), ["unavailable", "forbidden"]);
});

test("messages of a later version are passed over", async (t) => {
  const { client, socket } = start();
  t.after(() => client.close());
  const first = await (await socket(0)).welcome({ news: 1 });
  first.say({ type: "news" }, { type: "news", sub: "s1" }, { type: "published", id: "?" });
  assert.equal(client.status.state, "live");
  assert.equal(wakelog.offsetOf(at(17)), 17);
  assert.equal(client.welcome.log, WELCOME.log);
});

test("the whole client is less than 5 kB on the wire", () => {
  const bytes = gzipSync(read("../wakelog.js"), { level: 9 }).length;
  assert.ok(bytes < 5_000, `${bytes} bytes`);
});
