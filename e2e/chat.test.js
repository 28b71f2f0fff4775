// What the project is for, seen in a browser: somebody is away, the server dies, and nothing that
// was said is lost, doubled or out of order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { WAIT_MS, browser, say, server, shown, shows, state, texts } from "./harness.js";

const { WAKELOG_SCREENSHOT } = process.env;
const FLOOD = Array.from({ length: 1_000 }, (_, n) => {
  return `Event ${(n + 1).toLocaleString("en-US")} of 1,000`;
});

test("a thousand events missed, the server killed: all arrive, in order, once", async (t) => {
  const chat = await server(t);
  const { tab, complaints } = await browser(t, chat.address);
  const away = await tab("Merry Puffin");
  const here = await tab("Amber Finch");
  const talk = ["Is the new build out?", "Going out now.", "Good. I am in the tunnel next."];
  await say(away, talk[0]);
  await shows(here, talk.slice(0, 1));
  await say(here, talk[1]);
  await shows(away, talk.slice(0, 2));
  await say(away, talk[2]);
  await shows(here, talk);

  await here.waitForSelector(`[data-person="${away.me.id}"][data-behind="0"]`);
  await away.click("#toggle");
  await state(away, "offline");
  await here.click("#flood");
  await here.waitForSelector('body[data-flooded="1000"]');
  const published = new Map(
    here.frames.received
      .filter(({ type }) => type === "published")
      .map(({ id, offset }) => [id, offset]),
  );
  await here.waitForSelector(`[data-person="${away.me.id}"][data-behind="1000"]`);
  assert.deepEqual(await texts(away), talk, "offline is offline");

  await chat.kill();
  await state(here, "connecting");
  await chat.start();
  await away.click("#toggle");
  await away.waitForSelector('#notice[data-kind="missed"]:not([hidden])');
  await state(away, "live");

  const rows = await shown(away);
  const missed = rows.filter((row) => row.missed);
  assert.deepEqual(missed.map(({ text }) => text), FLOOD, "exactly these, in this order");
  assert.deepEqual(rows.map(({ text }) => text), [...talk, ...FLOOD], "and nothing else");
  for (const { id, offset } of missed) {
    assert.equal(published.get(id), offset, "each was answered `published`, with this offset");
  }
  missed.reduce((before, row) => {
    assert.ok(before.offset < row.offset);
    return row;
  });
  assert.match(await away.textContent("#notice"), /^\s*1,000 messages while you were away\./);
  assert.equal(await away.getAttribute("body", "data-missed"), "1000");

  await state(here, "live");
  assert.deepEqual(await texts(here), [...talk, ...FLOOD], "the other tab shows each once, too");
  await here.waitForSelector(`[data-person="${away.me.id}"][data-behind="0"]`);
  assert.deepEqual(complaints, []);
  if (WAKELOG_SCREENSHOT) await screenshots(away, WAKELOG_SCREENSHOT);
});

test("the server dies while all are here: what was typed waits and arrives once", async (t) => {
  const chat = await server(t);
  const { tab, complaints } = await browser(t, chat.address);
  const one = await tab("Merry Puffin");
  const two = await tab("Amber Finch");
  await say(one, "before");
  for (const page of [one, two]) await shows(page, ["before"]);

  await chat.kill();
  await state(one, "connecting");
  for (const text of ["first", "second", "third"]) await say(one, text);
  await one.waitForSelector("#waiting:text-is('3 waiting to be sent')");
  assert.match(await one.textContent("#status"), /Server away/);
  assert.deepEqual(await texts(one), ["before"], "nothing is shown as said that is not on disk");

  await chat.start();
  const expected = ["before", "first", "second", "third"];
  assert.deepEqual(await shows(two, expected), expected);
  assert.deepEqual(await shows(one, expected), expected);
  await one.waitForSelector("#waiting", { state: "hidden" });
  assert.equal(await one.locator("#outbox .row").count(), 0);
  await state(one, "live");
  assert.deepEqual(complaints, []);
});

test("a flood that the server does not survive is stored whole", async (t) => {
  const chat = await server(t);
  const { tab, complaints } = await browser(t, chat.address);
  const one = await tab("Merry Puffin");
  const two = await tab("Amber Finch");
  await one.click("#flood");
  await two.waitForSelector("#log .row");
  await chat.kill();
  await chat.start();
  await one.waitForSelector('body[data-flooded="1000"]');
  // What was answered before the kill keeps its place; what was not is sent again, in order.
  const lengths = (page) => page.locator("#log .row").count();
  for (const page of [one, two]) {
    for (const end = Date.now() + WAIT_MS; (await lengths(page)) < 1_000 && Date.now() < end; ) {
      await page.waitForTimeout(50);
    }
    assert.deepEqual(await texts(page), FLOOD);
  }
  assert.deepEqual(complaints, []);
});

test("a tab that is closed and opened again knows what it missed", async (t) => {
  const chat = await server(t);
  const { tab } = await browser(t, chat.address);
  const one = await tab("Merry Puffin");
  const two = await tab("Amber Finch");
  await say(two, "seen");
  await shows(one, ["seen"]);
  // The server's cursor is what remembers; it moves when the page has acknowledged.
  await two.waitForSelector(`[data-person="${one.me.id}"][data-behind="0"]`);
  await one.goto("about:blank");
  await two.waitForSelector(`[data-person="${one.me.id}"].away`);
  await say(two, "missed");
  await say(two, "missed too");
  await shows(two, ["seen", "missed", "missed too"]);
  await chat.kill();
  await chat.start();
  await one.goto(chat.address);
  await one.waitForSelector('#notice[data-kind="missed"]:not([hidden])');
  assert.match(await one.textContent("#notice"), /^\s*2 messages while you were away\./);
  const marks = (await shown(one)).map(({ text, missed }) => [text, missed]);
  assert.deepEqual(marks, [["seen", false], ["missed", true], ["missed too", true]]);
});

test("two tabs of one name: the newer one has it, the older one says so", async (t) => {
  const chat = await server(t);
  const { tab } = await browser(t, chat.address);
  const older = await tab("Merry Puffin");
  const newer = await tab("Merry Puffin");
  await older.waitForSelector('#notice[data-kind="fenced"]:not([hidden])');
  await older.waitForTimeout(1_000);
  await state(newer, "live");
  assert.match(await older.textContent("#status"), /Open elsewhere/);
});

test("gaps are told where they are, and what the server took back goes away", async (t) => {
  const chat = await server(t);
  const { tab, complaints } = await browser(t, chat.address);
  const wire = {};
  const one = await tab("Merry Puffin", wire);
  for (const text of ["kept", "lost", "lost too"]) await say(one, text);
  await shows(one, ["kept", "lost", "lost too"]);
  const { sub, position } = one.frames.received.filter(({ type }) => type === "events").at(-1);
  const offsets = (await shown(one)).map(({ offset }) => offset);
  const gap = (reason, from, to) => wire.say({ type: "gap", sub, from, to, reason, position });
  const [last] = offsets.slice(-1);

  gap("trimmed", 5_000, 6_234);
  await one.waitForSelector(".divider.gap");
  const told = await one.textContent(".divider.gap");
  assert.match(told, /^Events 5,000 to 6,233 are missing: they are older than/);
  gap("diverged", offsets[1], last + 1);
  await one.waitForFunction(() => document.querySelectorAll("#log .row").length === 1);
  await one.waitForFunction(() => document.querySelectorAll(".divider.gap").length === 2);
  assert.deepEqual(await texts(one), ["kept"]);

  // A server that says `reset` has no such subscription (any more).
  wire.ask({ type: "unsubscribe", sub });
  wire.say({ type: "reset", sub, reason: "log", earliest: position, end: position });
  const spoken = () => document.querySelector("#spoken").textContent;
  await one.waitForFunction(`/another log/.test((${spoken})())`);
  assert.deepEqual(await shows(one, ["kept", "lost", "lost too"]), ["kept", "lost", "lost too"]);
  assert.deepEqual(complaints, []);
});

// The picture of the README, in light and dark: some talk, then what was missed.
async function screenshots(page, path) {
  await page.mouse.move(0, 0);
  await page.evaluate(() => {
    document.activeElement.blur();
    document.getElementById("scroller").scrollTop = 0;
  });
  await page.waitForTimeout(300);
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: path.replace(/\.png$/, "-dark.png") });
}
