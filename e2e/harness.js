// The real server as a child process, and Chromium with tabs on its page.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const { WAKELOG_CHAT, WAKELOG_CHROMIUM = "/usr/bin/chromium" } = process.env;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// What the browser itself complains about while no server is there.
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET/;

export const WAIT_MS = 30_000;

// A chat server on a directory of its own; `kill` and `start` keep directory and port.
export async function server(t) {
  if (!WAKELOG_CHAT) throw new Error("WAKELOG_CHAT must name the chat server: cargo xtask test");
  const dir = await mkdtemp(join(tmpdir(), "wakelog-e2e-"));
  const at = { address: undefined, child: undefined };

  at.start = async () => {
    const listen = at.address ? new URL(at.address).host : "127.0.0.1:0";
    const words = ["--dir", join(dir, "log"), "--listen", listen];
    at.child = spawn(WAKELOG_CHAT, words, { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: at.child.stdout })) {
      const found = line.match(/^listening on (http:.*)$/);
      if (found) {
        at.address = found[1];
        at.child.stdout.resume();
        return;
      }
    }
    throw new Error("the server ended before it listened");
  };

  at.kill = async () => {
    if (at.child.exitCode !== null || at.child.signalCode !== null) return;
    const gone = once(at.child, "exit");
    at.child.kill("SIGKILL");
    await gone;
  };

  t.after(async () => {
    await at.kill();
    await rm(dir, { recursive: true, force: true });
  });
  await at.start();
  return at;
}

// A browser with a fresh profile. `tab` opens the page as somebody and waits until it is live; with
// a `wire` the test can put words into the server's mouth.
export async function browser(t, address) {
  const program = await chromium.launch({ executablePath: WAKELOG_CHROMIUM, args: FLAGS });
  t.after(() => program.close());
  const context = await program.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(WAIT_MS);
  const complaints = [];

  const tab = async (name, wire) => {
    const page = await context.newPage();
    if (wire) await stretch(page, wire);
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      const bad = message.type() === "error" && !EXPECTED.test(message.text());
      if (bad) complaints.push(message.text());
    });
    const me = { name, id: `${name.toLowerCase().replace(" ", "-")}-00000` };
    await page.addInitScript((me) => {
      if (!sessionStorage.getItem("me")) sessionStorage.setItem("me", JSON.stringify(me));
    }, me);
    const frames = { sent: [], received: [] };
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => frames.sent.push(JSON.parse(payload)));
      socket.on("framereceived", ({ payload }) => frames.received.push(JSON.parse(payload)));
    });
    await page.goto(address);
    await state(page, "live");
    return Object.assign(page, { frames, me });
  };
  return { tab, complaints };
}

// Puts the test between the two: `wire.say` speaks as the server does, `wire.ask` as the page.
async function stretch(page, wire) {
  await page.routeWebSocket(/\/wakelog$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => server.send(message));
    server.onMessage((message) => socket.send(message));
    wire.ask = (message) => server.send(JSON.stringify(message));
    wire.say = (message) => socket.send(JSON.stringify(message));
  });
}

export const state = (page, name) => page.waitForSelector(`body[data-state="${name}"]`);

export async function say(page, text) {
  await page.fill("#composer input", text);
  await page.press("#composer input", "Enter");
}

// The messages that a tab shows, in their order on the page.
export const shown = (page) =>
  page.$$eval("#log .row", (rows) =>
    rows.map((row) => ({
      text: row.querySelector("p").textContent,
      offset: Number(row.dataset.offset),
      id: row.dataset.id,
      missed: row.classList.contains("missed"),
    })),
  );

export const texts = async (page) => (await shown(page)).map(({ text }) => text);

// Waits until a tab shows exactly these messages.
export async function shows(page, expected) {
  await page.waitForFunction(
    (count) => document.querySelectorAll("#log .row").length >= count,
    expected.length,
  );
  return texts(page);
}
