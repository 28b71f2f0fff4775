// The list of messages. It shows any number of them without a stutter: new ones come in one
// fragment a frame, what is out of sight costs no layout (CSS content-visibility), and the oldest
// leave when there are too many.

import { h, mark, number, timeOf } from "./dom.js";

const ROWS_MAX = 4_000;
const ROWS_DROPPED = 1_000; // at once, so that it happens seldom
const NEAR_END_PX = 60;
const SAME_BREATH_MICROS = 300e6; // messages of one person this close share a head

// Adds a message to a room and forgets the oldest when there are too many.
export function keep(messages, message) {
  messages.push(message);
  if (messages.length > ROWS_MAX) messages.splice(0, ROWS_DROPPED);
}

export class Log {
  #scroller;
  #list;
  #jump;
  #last; // the newest message in the list
  #divider; // before the first missed one
  #missed = 0;
  #following = true;

  constructor(scroller, list, jump) {
    this.#scroller = scroller;
    this.#list = list;
    this.#jump = jump;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.follow());
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(scroller);
  }

  // Shows another room.
  show(messages) {
    this.#list.replaceChildren();
    this.#last = this.#divider = undefined;
    this.#missed = 0;
    this.#following = true;
    this.add(messages);
  }

  add(messages) {
    const rows = document.createDocumentFragment();
    const hadDivider = this.#divider !== undefined;
    for (const message of messages) this.#append(rows, message);
    this.#list.append(rows);
    if (this.#divider) this.#divider.lastChild.textContent = number(this.#missed);
    while (this.#list.childElementCount > ROWS_MAX) this.#list.firstElementChild.remove();
    // Whoever comes back wants to read on where they left.
    if (this.#divider && !hadDivider && this.#following) this.#showFirstMissed();
    else if (this.#following) this.#toEnd();
    this.#showJump();
  }

  settle() {
    if (this.#following) this.#toEnd();
  }

  // Goes to the newest message and stays there.
  follow() {
    this.#following = true;
    this.#toEnd();
    this.#showJump();
  }

  // Brings the first missed message to the top, just below its divider, which sticks there. Once
  // more in the next frame, when the rows that came into sight have their true heights.
  #showFirstMissed(again = true) {
    const first = this.#divider?.nextSibling;
    if (!first) return;
    const top = this.#scroller.getBoundingClientRect().top + this.#divider.offsetHeight;
    this.#scroller.scrollTop += first.getBoundingClientRect().top - top;
    this.#scrolled();
    if (again) requestAnimationFrame(() => this.#showFirstMissed(false));
  }

  #append(rows, message) {
    if (message.kind === "gap") {
      rows.append(gapRow(message));
      this.#last = undefined;
      return;
    }
    if (message.missed && this.#missed++ === 0) {
      const words = h("span", {}, "While you were away");
      this.#divider = h("li", { class: "divider missed" }, words, h("b"));
      rows.append(this.#divider);
      this.#last = undefined;
    } else if (!message.missed && this.#last?.missed) {
      rows.append(h("li", { class: "divider live" }, h("span", {}, "You are up to date")));
      this.#last = undefined;
    }
    rows.append(messageRow(message, this.#last));
    this.#last = message;
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#showJump();
  }

  #showJump() {
    this.#jump.hidden = this.#following;
    if (!this.#following) this.#jump.textContent = `${number(this.#below())} below`;
  }

  // How many rows lie below the window.
  #below() {
    const bottom = this.#scroller.getBoundingClientRect().bottom;
    const rows = this.#list.children;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].getBoundingClientRect().bottom <= bottom) low = middle + 1;
      else high = middle;
    }
    return rows.length - low;
  }
}

function messageRow(message, before) {
  const { id, from, name, text, offset, position, time, missed } = message;
  const goesOn =
    before?.from === from && before.name === name && time - before.time < SAME_BREATH_MICROS;
  const words = h("p", {}, text);
  const body = goesOn
    ? h("div", { class: "body" }, words)
    : h("div", { class: "body" }, h("b", {}, name), h("time", {}, timeOf(time)), words);
  const gutter = goesOn ? h("i", { class: "tick" }) : mark(from, name);
  const place = h("span", { class: "offset", title: `position ${position}` }, number(offset));
  const kind = `row${goesOn ? "" : " head"}${missed ? " missed" : ""}`;
  return h("li", { class: kind, "data-offset": offset, "data-id": id }, gutter, body, place);
}

function gapRow({ from, to, reason }) {
  const why = {
    trimmed: "they are older than what this server keeps",
    corrupt: "their place on the server's disk is damaged",
    diverged: "the server lost its newest events; these were taken back",
  }[reason];
  const range = `Events ${number(from)} to ${number(to - 1)} are missing`;
  return h("li", { class: "divider gap" }, h("span", {}, `${range}: ${why ?? reason}`));
}
