// The client of wakelog.v1. Usage: wakelog.d.ts; the wire: PROTOCOL.md.

const PATIENCE_MS = 10_000; // until a socket is welcome; then, until it counts as good
const FINAL = [1000, 1002, 1003, 1007, 1008, 1009]; // close codes that forbid to come back

const dot = (position) => position.lastIndexOf(".") + 1;
const stemOf = (position) => position.slice(0, dot(position));
const isFinal = (code) => FINAL.includes(code) || (code >= 4400 && code < 4500 && code !== 4408);
const failure = ({ code, message = code }) => Object.assign(new Error(message), { code });

export const offsetOf = (position) => Number(position.slice(dot(position)));
export const connect = (url, options) => new Client(url, options);

const browserStore = {
  load: (key) => localStorage.getItem(key),
  save: (key, position) => localStorage.setItem(key, position),
};

const encode = (data) => {
  if (data === undefined) return {};
  if (typeof data === "string") return { text: data };
  if (!(data instanceof Uint8Array)) return { data };
  return { base64: btoa(data.reduce((text, byte) => text + String.fromCharCode(byte), "")) };
};

const decode = ({ not_to: notTo, data, text = data, base64, ...event }, stem) => ({
  ...event,
  notTo,
  data: base64 === undefined ? text : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)),
  position: stem + (event.offset + 1),
});

class Client extends EventTarget {
  #session; // one per socket: whatever holds another one is late and is ignored
  #subscriptions = new Map();
  #outbox = new Map(); // id -> what waits for its answer, oldest first
  #state = { state: "connecting" };
  #told;
  #telling = false;
  #attempt = 0;
  #timer;
  #reconnect = { min_ms: 500, max_ms: 30_000 };
  #acked;
  #count = 0;
  #prefix = Date.now().toString(36) + Math.random().toString(36).slice(2);

  constructor(url, options = {}) {
    super();
    this.url = url;
    this.options = options;
    const { storage } = options;
    this.store = storage === "localStorage" ? browserStore : storage?.load && storage;
    globalThis.addEventListener?.("online", () => this.#timer && this.#dial());
    if (options.offline) this.goOffline();
    else this.#dial();
  }

  on(filters, listener, options = {}) {
    const sub = `s${++this.#count}`;
    const subscription = new Subscription(this, sub, [filters].flat(), listener, options);
    this.#subscriptions.set(sub, subscription);
    subscription.open(this.#session);
    return subscription;
  }

  forget({ sub }) {
    this.#subscriptions.delete(sub);
    this.send({ type: "unsubscribe", sub });
    this.changed();
  }

  emit(topics, data, { id = `${this.#prefix}-${++this.#count}`, name, notTo, volatile } = {}) {
    const head = { type: "publish", id, topics: [topics].flat(), name, not_to: notTo, volatile };
    const text = JSON.stringify({ ...head, ...encode(data) });
    return new Promise((resolve, reject) => {
      if (this.#state.reason === "closed") return reject(failure({ code: "closed" }));
      this.#outbox.set(id, { text, resolve, reject });
      this.#flush();
      this.changed();
    });
  }

  goOffline(reason = "user") {
    this.#lost(this.#session, 1000, reason);
  }

  goOnline() {
    if (this.#state.state !== "offline" || this.#state.reason === "closed") return;
    this.#attempt = 0;
    this.#dial();
  }

  close() {
    this.goOffline("closed");
    for (const id of this.#outbox.keys()) this.#settle(id, "reject", failure({ code: "closed" }));
  }

  get welcome() {
    return this.#session?.welcome;
  }

  get status() {
    const open = this.#open;
    const state = open.every(({ live }) => live) ? "live" : "catching-up";
    return {
      ...(this.welcome ? { state } : this.#state),
      missed: open.reduce((sum, { missed }) => sum + missed, 0),
      pending: this.#outbox.size,
    };
  }

  get #open() {
    return [...this.#subscriptions.values()].filter(({ failed }) => !failed);
  }

  tell(type, detail) {
    this.dispatchEvent(Object.assign(new Event(type), detail));
  }

  // Tells the status once a tick, and only another one.
  changed() {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      const { status } = this;
      const text = JSON.stringify(status);
      if (text !== this.#told) this.tell("status", status);
      this.#told = text;
    });
  }

  isCurrent(session) {
    return session && session === this.#session;
  }

  send(message) {
    if (this.welcome) this.#session.socket.send(JSON.stringify(message));
  }

  // The cursor follows the slowest subscription. One ack is on its way at a time.
  ack() {
    const session = this.#session;
    if (!this.options.consumer || !session?.welcome || session.acking) return;
    const positions = this.#open.map(({ position }) => position ?? "");
    const stem = stemOf(positions[0] ?? "");
    if (!stem || positions.some((position) => stemOf(position) !== stem)) return;
    const position = stem + Math.min(...positions.map(offsetOf));
    if (position === this.#acked) return;
    session.acking = true;
    this.#acked = position;
    this.send({ type: "ack", position });
  }

  fault(code, error, event) {
    console.error(error);
    this.tell("error", { code, message: String(error), error, event });
  }

  // What a hook throws costs the connection, never an event.
  stumble(error, session) {
    this.fault("hook", error);
    this.#lost(session, 1006);
  }

  #dial() {
    this.#timer = clearTimeout(this.#timer);
    const socket = new (this.options.WebSocket ?? WebSocket)(this.url, "wakelog.v1.json");
    const session = { socket, patience: PATIENCE_MS, heard: Date.now() };
    this.#session = session;
    this.#state = { state: "connecting", attempt: this.#attempt };
    socket.onopen = () => this.#hello(session);
    socket.onerror = () => {};
    socket.onclose = ({ code }) => this.#lost(session, code);
    socket.onmessage = ({ data }) => {
      if (!this.isCurrent(session)) return;
      session.heard = Date.now();
      this.#handle(JSON.parse(data), session);
    };
    this.#watch(session);
    this.changed();
  }

  async #hello(session) {
    let { consumer, token } = this.options;
    try {
      if (token?.call) token = await token();
      const hello = { type: "hello", consumer, token, client: "wakelog.js/0.1" };
      if (this.isCurrent(session)) session.socket.send(JSON.stringify(hello));
    } catch (error) {
      this.stumble(error, session);
    }
  }

  // A socket that says nothing is dead, whatever the system says.
  #watch(session) {
    clearTimeout(session.watch);
    const left = session.heard + session.patience - Date.now();
    if (left <= 0) this.#lost(session, 4408);
    else session.watch = setTimeout(() => this.#watch(session), left);
  }

  #lost(session, code, reason = "refused") {
    if (session !== this.#session) return;
    this.#timer = clearTimeout(this.#timer);
    this.#session = undefined;
    if (session) {
      clearTimeout(session.watch);
      session.socket.close();
      if (Date.now() - session.since >= PATIENCE_MS) this.#attempt = 0;
    }
    for (const item of this.#outbox.values()) item.sent = false;
    for (const subscription of this.#open) subscription.live = false;
    const renew = code === 4401 && session?.welcome && this.options.token?.call; // expired
    if (isFinal(code) && !renew) {
      this.#state = { state: "offline", reason, code };
    } else {
      const { min_ms, max_ms } = this.#reconnect;
      const [from, to] = session.bye ?? [0, Math.min(max_ms, min_ms * 2 ** this.#attempt++)];
      const wait = from + Math.random() * (to - from);
      this.#timer = setTimeout(() => this.#dial(), wait);
      this.#state = { state: "connecting", attempt: this.#attempt, retryAt: Date.now() + wait };
    }
    this.changed();
  }

  #flush() {
    const session = this.#session;
    if (!session?.welcome) return;
    let { publishes, message_bytes } = session.welcome.limits;
    for (const [id, item] of this.#outbox) {
      if (!publishes--) return;
      if (item.sent) continue;
      if (new TextEncoder().encode(item.text).length > message_bytes) {
        this.#settle(id, "reject", failure({ code: "too_large" }));
        continue;
      }
      item.sent = true;
      session.socket.send(item.text);
    }
  }

  #settle(id, how, value) {
    const item = this.#outbox.get(id);
    this.#outbox.delete(id);
    item?.[how](value);
    this.#flush();
    this.changed();
  }

  #handle(message, session) {
    const subscription = this.#subscriptions.get(message.sub);
    switch (message.type) {
      case "welcome":
        session.welcome = message;
        session.since = Date.now();
        session.patience = message.heartbeat_ms * 2.5;
        this.#reconnect = message.reconnect;
        this.#acked = undefined;
        this.#watch(session);
        for (const each of this.#open) each.open(session, false, message.end);
        this.#flush();
        return this.changed();
      case "heartbeat":
        this.send({ type: "heartbeat" });
        for (const [sub, position] of Object.entries(message.positions ?? {})) {
          this.#subscriptions.get(sub)?.handle({ type: "moved", position }, session);
        }
        return;
      case "published":
        return this.#settle(message.id, "resolve", message);
      case "reply": {
        const { id, data } = decode(message);
        return this.#settle(id, "resolve", { id, data });
      }
      case "ack_ok":
        session.acking = false;
        return this.ack();
      case "fenced":
        this.tell("fenced");
        return this.#lost(session, 4409, "fenced");
      case "bye":
        session.bye = message.in;
        return;
      case "error":
        return this.#refused(message, session, subscription);
      default:
        subscription?.handle(message, session);
    }
  }

  #refused({ type, ...detail }, session, subscription) {
    const { code, re, id, retry, after_ms = 1000 } = detail;
    const item = re === "publish" && this.#outbox.get(id);
    if (re === "ack") session.acking = false;
    if (item && retry) {
      setTimeout(() => {
        if (this.isCurrent(session)) item.sent = false;
        this.#flush();
      }, after_ms);
    } else if (item) this.#settle(id, "reject", failure(detail));
    else if (re === "subscribe") subscription?.refused(detail, session, after_ms);
    if (code !== "no_such_sub") this.tell("error", { ...detail, subscription });
  }
}

class Subscription {
  live = false;
  missed = 0;
  failed = false;
  position;
  #client;
  #listener;
  #options;
  #key;
  #loaded = false;
  #work = Promise.resolve();
  #from = Infinity; // what lies at or after it, and before #end, was missed
  #end = 0;
  #begin;
  #anew;
  #owed;
  #busy = 0;

  constructor(client, sub, filters, listener, options) {
    this.sub = sub;
    this.filters = filters;
    this.#client = client;
    this.#listener = listener;
    this.#options = options;
    this.#key = ["wakelog", client.url, client.options.consumer, options.key ?? filters].join(" ");
  }

  off() {
    this.failed = true;
    this.#client.forget(this);
  }

  // What waits for the welcome begins there: publishes go first.
  open(session, anew, now) {
    this.live = false;
    this.missed = 0;
    this.#client.changed();
    this.#then(session, async () => {
      if (!this.#loaded) this.position = (await this.#client.store?.load(this.#key)) || undefined;
      this.#loaded = true;
      this.#anew ||= anew;
      this.#begin = (!anew && this.#begin) || now;
      const { cursor } = session.welcome;
      // Resumed, or lost.
      const stored = !this.#anew && /^[rl]/.test(cursor?.state) ? cursor.position : undefined;
      const known = this.position ?? stored;
      this.#from = known ? offsetOf(known) : Infinity;
      this.#owed = { events: 0, bytes: 0 };
      const place = this.#place(session.welcome, stored);
      const { sub, filters } = this;
      if (!this.#isLate(session)) this.#client.send({ type: "subscribe", sub, filters, ...place });
    });
  }

  #place(welcome, stored) {
    if (this.position) return { position: this.position };
    let { start } = this.#options;
    if (typeof start === "function") start = start(welcome);
    else if (stored) return {};
    start ??= this.#anew ? "earliest" : "latest";
    if (start === "latest") start = this.#begin ?? start;
    if (start < 0) start = Math.max(0, offsetOf(welcome.end) + start);
    return String(start).includes(".") ? { position: start } : { start };
  }

  #isLate(session) {
    return this.failed || !this.#client.isCurrent(session);
  }

  // Does the work after all that came before it, unless its connection is gone by then.
  #then(session, work) {
    this.#busy++;
    this.#work = this.#work
      .then(() => session?.welcome && !this.#isLate(session) && work())
      .catch((error) => this.#client.stumble(error, session))
      .then(() => this.#busy--);
  }

  handle(message, session) {
    switch (message.type) {
      case "subscribed":
        this.#end = message.end;
        // A position that was given stands until a page or a gap has moved it: a gap that is lost
        // on the way must be told again.
        if (this.#from === Infinity) this.position ??= message.position;
        return;
      case "volatile":
        if (this.#busy > 32) return;
      case "events":
        return this.#then(session, () => this.#page(message, session));
      case "gap":
        return this.#then(session, () => {
          const { from, to, reason, position } = message;
          this.#from = Math.min(this.#from, offsetOf(position));
          this.#client.tell("gap", { from, to, reason, position, subscription: this });
          return this.#moved(position);
        });
      case "moved":
        return this.#then(session, () => this.#moved(message.position));
      case "reset":
        return this.#then(session, () => this.#reset(message, session));
    }
  }

  refused({ retry, code }, session, after) {
    if (retry) setTimeout(() => this.#isLate(session) || this.open(session), after);
    else if (code === "bad_position") this.handle({ type: "reset", reason: "position" }, session);
    else this.failed = true;
    this.#client.changed();
  }

  async #page({ type, stem, events, position, bytes, live }, session) {
    const volatile = type === "volatile";
    for (const raw of events) {
      const event = decode(raw, stem);
      event.missed = event.offset >= this.#from && event.offset < this.#end;
      if (volatile) Object.assign(event, { volatile, position });
      if (!(await this.#deliver(event, session))) return;
      if (volatile) continue;
      this.missed += event.missed;
      await this.#moved(event.position);
      if (this.#isLate(session)) return;
    }
    if (volatile) return;
    await this.#moved(position);
    if (this.#isLate(session)) return;
    this.live = live;
    this.#pay(events.length, bytes, session.welcome.limits.credit);
    this.#client.changed();
  }

  // An event is done when the listener is. One that throws gets the same event again.
  async #deliver(event, session) {
    for (let pause = 1000; ; pause = Math.min(2 * pause, 30_000)) {
      try {
        await this.#listener(event);
        return true;
      } catch (error) {
        this.#client.fault("listener", error, event);
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (event.volatile || this.#isLate(session)) return false;
      }
    }
  }

  async #moved(position) {
    this.position = position;
    await this.#client.store?.save(this.#key, position);
    this.#client.ack();
  }

  #pay(events, bytes, cap) {
    const owed = this.#owed;
    owed.events += events;
    owed.bytes += bytes;
    if (owed.events * 4 < cap.events && owed.bytes * 4 < cap.bytes) return;
    this.#client.send({ type: "credit", sub: this.sub, ...owed });
    this.#owed = { events: 0, bytes: 0 };
  }

  async #reset({ reason, earliest, end }, session) {
    this.position = undefined;
    await this.#client.store?.save(this.#key, "");
    this.#client.tell("reset", { reason, earliest, end, subscription: this });
    this.open(session, true);
  }
}
