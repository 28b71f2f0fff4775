// A WebSocket whose other end is the test: it sees what the client says and says what it likes.

import { connect } from "../wakelog.js";

export const LOG = "0f8fad5bd9cb469fa16570867728950e";
export const STEM = `${LOG}.1-00000001.`;

export const at = (offset, stem = STEM) => `${stem}${offset}`;

export const WELCOME = {
  type: "welcome",
  log: LOG,
  epoch: "1-00000001",
  end: at(100),
  from: null,
  consumer: null,
  cursor: null,
  heartbeat_ms: 20_000,
  reconnect: { min_ms: 1, max_ms: 2 },
  limits: {
    message_bytes: 65_536,
    subscriptions: 32,
    filters: 64,
    publishes: 256,
    dedup_ids: 65536,
    credit: { events: 40, bytes: 4_000 },
  },
};

export const event = (offset, data = offset) => ({ offset, time: 1, topics: ["room.1"], data });

export const page = (sub, events, { live = true, position, stem = STEM, bytes = 10 } = {}) => ({
  type: "events",
  sub,
  stem,
  events,
  position: position ?? at((events.at(-1)?.offset ?? 99) + 1, stem),
  bytes,
  live,
});

// Resolves once the condition holds, and fails with its text after five seconds.
export async function until(condition) {
  for (const end = Date.now() + 5_000; Date.now() < end; ) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error(`never happened: ${condition}`);
}

// Lets everything happen that can happen now.
export const settle = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms));

// A client, the sockets that it opened, and what it told.
export function start(options = {}) {
  const sockets = [];
  class FakeSocket {
    heard = [];
    closed = false;

    constructor(url, protocol) {
      Object.assign(this, { url, protocol });
      sockets.push(this);
    }

    send(text) {
      if (this.closed) throw new Error("the client writes to a closed socket");
      this.heard.push(JSON.parse(text));
    }

    close() {
      this.closed = true;
    }

    open() {
      this.onopen();
      return until(() => this.said("hello"));
    }

    say(...messages) {
      for (const message of messages) this.onmessage({ data: JSON.stringify(message) });
    }

    cut(code = 1006) {
      this.closed = true;
      this.onclose({ code });
    }

    all(type) {
      return this.heard.filter((message) => message.type === type);
    }

    said(type) {
      return this.all(type).at(-1);
    }

    // The handshake, then the subscription that follows it.
    async welcome(changes = {}) {
      await this.open();
      this.say({ ...WELCOME, ...changes });
      return this;
    }
  }
  const client = connect("ws://test/ws", { WebSocket: FakeSocket, ...options });
  const told = [];
  for (const type of ["status", "gap", "reset", "fenced", "error"]) {
    client.addEventListener(type, (event) => told.push({ ...event, type }));
  }
  const socket = (number) => until(() => sockets[number]);
  return { client, sockets, socket, told, of: (type) => told.filter((t) => t.type === type) };
}
