// Tells the story in Node: `node --experimental-websocket node.js ws://address/path`.

import { readFileSync } from "node:fs";

import { connect } from "../../client/wakelog.js";
import { story } from "./story.js";

const acts = JSON.parse(readFileSync(new URL("../scenario.json", import.meta.url)));
console.log(await story(connect, acts, process.argv[2]));
process.exit();
