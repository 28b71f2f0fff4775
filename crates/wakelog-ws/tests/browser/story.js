// Plays the acts of ../scenario.json with the browser's client, as ../scenario.md says, in a page
// and in Node. Resolves to their names.

const PATIENCE_MS = 15_000;

// What the client tells as events of its own; the rest is overheard.
const TOLD = ["gap", "reset", "fenced"];

function same(found, wanted, what) {
  const [left, right] = [found, wanted].map((value) =>
    value instanceof Uint8Array ? `bytes ${value}` : JSON.stringify(value),
  );
  if (left !== right) throw new Error(`${what}: ${left}, not ${right}`);
}

function includes(found, wanted) {
  for (const [field, value] of Object.entries(wanted)) same(found[field], value, field);
}

// What a payload is to this client.
const payload = ({ data, text = data, base64 }) =>
  base64 === undefined ? text : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// Resolves to what `look` finds once it finds something.
async function until(look, what) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const found = look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`never: ${what}`);
}

// The next thing of this type that somebody is told.
async function hear({ told }, type) {
  const at = () => told.findIndex((one) => one.type === type) + 1;
  return told.splice((await until(at, type)) - 1, 1)[0];
}

function open(connect, url, consumer) {
  const told = [];
  class Overheard extends WebSocket {
    constructor(...place) {
      super(...place);
      this.addEventListener("error", () => told.push({ type: "failed" }));
      this.addEventListener("close", ({ code }) => told.push({ type: "close", code }));
      this.addEventListener("message", ({ data }) => {
        const message = JSON.parse(data);
        if (!TOLD.includes(message.type)) told.push(message);
      });
    }
  }
  const client = connect(url, { consumer, WebSocket: Overheard });
  for (const type of TOLD) client.addEventListener(type, (event) => told.push(event));
  return { client, told, events: [] };
}

// A method for each kind of step: who takes it, and its fields.
const player = (come, names) => ({
  async come(who, { consumer, cursor }) {
    Object.assign(who, who.client ? {} : come(consumer));
    who.client.goOnline();
    includes((await until(() => who.client.welcome, "welcome")).cursor, cursor);
  },

  // After a cut and after a reset, the client goes on by itself.
  async read(who, { filters, at, answer = { type: "subscribed" } }) {
    const places = [at];
    const options = at === "cursor" ? {} : { start: () => places.shift() };
    const listener = (event) => void who.events.push(event);
    if (who.kept) same(who.kept, at, "the place that was kept");
    else who.subscription = who.client.on(filters, listener, options);
    includes(await hear(who, answer.type), answer);
    who.kept = answer.type === "reset" && "earliest";
  },

  async hear(who, { events }) {
    const wanted = events.length;
    await until(() => who.events.length >= wanted && who.subscription.live, `${wanted} events`);
    const heard = who.events.splice(0);
    same(heard.length, wanted, "events");
    events.forEach(({ data, text, base64, ...fields }, at) =>
      includes(heard[at], { ...fields, data: payload({ data, text, base64 }) }),
    );
  },

  async publish(
    who,
    { id, topics, name, volatile, bind, answer = { type: "published" }, ...content },
  ) {
    const told = await who.client.emit(topics, payload(content), { id, name, volatile });
    names[bind] = { type: "reply", ...told };
    includes(names[bind], answer);
  },

  // The client does it by itself.
  async ack(who, { at }) {
    while ((await hear(who, "ack_ok")).position !== at);
  },

  async stop(who) {
    who.subscription.off();
    await hear(who, "unsubscribed");
  },

  async cut(who) {
    who.kept = who.subscription.position;
    who.client.goOffline();
  },

  async leave(who) {
    who.client.close();
    delete who.client;
  },

  async told(who, message) {
    includes(await hear(who, message.type), { ...message });
  },

  async closed(who, { code, back }) {
    const gone = () => ["offline", "connecting"].includes(who.client.status.state);
    await until(gone, "closed");
    const { status } = who.client;
    same(status.code ?? (await hear(who, "close")).code, code, "the code");
    same(status.state === "connecting", back, "coming back");
  },

  // A page sees neither a status nor lines, and a Node before 22 tells no close after the error.
  async refused(who, { upgrade, lines, page }) {
    Object.assign(who, come("late"));
    includes(await hear(who, page.type), { ...page });
    same(who.client.status.state, "connecting", "the state");
  },
});

export async function story(connect, acts, url) {
  const [names, people, played] = [{}, {}, []];
  const steps = player((consumer) => open(connect, url, consumer), names);
  const bound = (_, path) =>
    JSON.stringify(path.split(".").reduce((found, field) => found[field], names));

  async function play(step) {
    const text = JSON.stringify(step).replace(/"\$([\w.]+)"/g, bound);
    const { do: kind, who, for: whom = "speakers", ...fields } = JSON.parse(text);
    if (whom === "listeners") return;
    const left = new Set(Object.keys(fields));
    const get = (_, field) => (left.delete(field), fields[field]);
    await steps[kind]((people[who] ??= {}), new Proxy(fields, { get }));
    same([whom, ...left], ["speakers"], "what is not known");
  }

  for (const act of acts) {
    for (const step of act.steps) {
      await play(step).catch((error) => {
        throw new Error(`${act.act}: ${JSON.stringify(step)}: ${error}`);
      });
    }
    played.push(act.act);
  }
  for (const { client } of Object.values(people)) client.close();
  return played.join(" ");
}
