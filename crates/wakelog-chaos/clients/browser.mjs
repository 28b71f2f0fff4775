// The browser's client under Node: node browser.mjs URL NAME FILTER...; tells facts, one a line.

import { createRequire } from "node:module";
import { writeSync } from "node:fs";
import { connect } from "../../wakelog-ws/client/wakelog.js";

const [url, client, ...filters] = process.argv.slice(2);
// Node has a WebSocket of its own from 22 on; before, the package `ws` takes its place.
const WebSocket =
  globalThis.WebSocket ?? createRequire(`${process.env.WAKELOG_NODE_MODULES}/`)("ws");
const tell = (fact) => writeSync(1, `${JSON.stringify({ ...fact, client })}\n`);

tell({ fact: "client", identity: client, filters, start: 0 });
const log = connect(url, { consumer: client, WebSocket });
log.addEventListener("gap", ({ from, to, reason }) => tell({ fact: "gap", from, to, reason }));
log.addEventListener("reset", () => tell({ fact: "reset" }));
const listener = ({ offset, id, data, topics }) => {
  tell({ fact: "heard", offset, id, text: data });
  if (!topics.includes("end")) return;
  tell({ fact: "stands", offset: offset + 1 });
  setTimeout(() => process.exit(0), 50);
};
log.on(filters, listener, {
  // Its own position, from the very first offset.
  start: ({ end }) => `${end.slice(0, end.lastIndexOf(".") + 1)}0`,
});
