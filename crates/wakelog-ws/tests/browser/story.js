// Live, resume after a cut, twice with one id, fenced, gap, reset, drain: the story of
// tests/it/shims.rs as this client is told it, in a page and in Node. Returns what it has seen.

const PATIENCE_MS = 15_000;

function check(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

const same = (one, other, what) => {
  const [left, right] = [one, other].map((value) => JSON.stringify(value));
  check(left === right, `${what}: ${left}, not ${right}`);
};

// Resolves to what `look` finds once it finds something.
async function until(look, what) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const found = look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`never: ${what}`);
}

export async function story(connect, offsetOf, url) {
  const seen = [];
  const clients = [];
  const told = [];
  const come = (consumer) => {
    const client = connect(url, { consumer });
    for (const type of ["gap", "reset", "fenced"]) {
      client.addEventListener(type, (event) => told.push(Object.assign(event, { client })));
    }
    clients.push(client);
    return client;
  };
  const of = (client, type) => told.find((one) => one.client === client && one.type === type);
  const read = async (client, start) => {
    const events = [];
    const subscription = client.on("room.*", (event) => void events.push(event), { start });
    return { events, subscription };
  };

  const reader = come("reader");
  const writer = come("writer");
  const { events, subscription } = await read(reader);
  await until(() => subscription.live, "live");
  same(reader.welcome.cursor.state, "new", "the cursor");
  const first = await writer.emit("room.1", { n: 1, text: "liv\u00e9" }, { id: "1" });
  const [live] = await until(() => events.length && events, "an event");
  same(live.data, { n: 1, text: "liv\u00e9" }, "the payload");
  same([live.from, live.position, live.missed], ["writer", first.position, false], "the event");
  seen.push("live");

  reader.goOffline();
  const bytes = Uint8Array.of(0, 1, 2, 255);
  const missed = await writer.emit("room.2", bytes, { id: "2" });
  reader.goOnline();
  const late = await until(() => events[1], "what was missed");
  same([late.offset, late.missed], [missed.offset, true], "what was missed");
  check(late.data instanceof Uint8Array, "bytes are bytes");
  same([...late.data], [...bytes], "the bytes");
  await until(() => subscription.live, "live again");
  same(events.length, 2, "events");
  seen.push("resume");

  same(await writer.emit("room.2", bytes, { id: "2" }), missed, "the same answer");
  seen.push("twice");

  const newer = come("reader");
  await until(() => of(reader, "fenced"), "fenced");
  same([reader.status.state, reader.status.code], ["offline", 4409], "the end");
  await until(() => newer.welcome, "the newer one");
  same(newer.welcome.cursor.state, "resumed", "the cursor");
  seen.push("fenced");

  const { data } = await writer.emit("control.trim");
  const again = await read(newer, () => first.position);
  const gap = await until(() => of(newer, "gap"), "a gap");
  const numbers = [gap.from, gap.to, gap.reason];
  same(numbers, [offsetOf(first.position), data.first, "trimmed"], "the gap");
  await until(() => again.subscription.live, "live behind the gap");
  same(again.events.length, 0, "events behind the gap");
  seen.push("gap");

  // The log of this position is gone; asked again, there is no other one.
  const places = [`${"0".repeat(32)}.1-00000001.3`];
  const other = await read(newer, () => places.shift());
  same((await until(() => of(newer, "reset"), "a reset")).reason, "log", "the reset");
  await until(() => other.subscription.live, "live after the reset");
  seen.push("reset");

  await writer.emit("control.drain");
  await until(() => newer.status.state === "connecting", "asked to come back");
  seen.push("drain");
  clients.forEach((client) => client.close());
  return seen.join(" ");
}
