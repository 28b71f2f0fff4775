// Tells the story in Node: `node --experimental-websocket node.js ws://address/path`.

import { connect, offsetOf } from "../../client/wakelog.js";
import { story } from "./story.js";

console.log(await story(connect, offsetOf, process.argv[2]));
process.exit();
