// Who this tab is: a friendly name and the consumer under which the server keeps its place. Both
// last as long as the tab, so that two tabs are two people.

const FIRST = "Amber Brisk Calm Clever Dapper Eager Fond Gentle Jolly Keen Lucky Merry Nimble Wise";
const LAST = "Badger Crane Dolphin Finch Gull Heron Ibis Lynx Marten Otter Puffin Seal Swift Wren";

const pick = (words) => words.split(" ")[Math.floor(Math.random() * 14)];
const random = (digits) => Math.random().toString(36).slice(2, 2 + digits);

const fresh = () => {
  const name = `${pick(FIRST)} ${pick(LAST)}`;
  return { name, id: `${name.toLowerCase().replace(" ", "-")}-${random(5)}`, announced: false };
};

export function load() {
  const kept = JSON.parse(sessionStorage.getItem("me"));
  const me = kept ?? fresh();
  if (!kept) save(me);
  return { ...me, session: random(9) };
}

export function save({ name, id, announced }) {
  sessionStorage.setItem("me", JSON.stringify({ name, id, announced }));
}

export function forget() {
  sessionStorage.removeItem("me");
}

// The name that was made with this id: good until its owner's own word is read.
export const nameOf = (id) =>
  id
    .split("-")
    .slice(0, 2)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join(" ");
