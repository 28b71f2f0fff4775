"""Plays ../scenario.json, as ../scenario.md says, and prints the names of the acts."""

import json
import re
import sys
from functools import reduce
from operator import getitem
from pathlib import Path

from websockets.exceptions import InvalidStatus

from client import Client, Closed, payload_of


def includes(found, wanted):
    for field, value in wanted.items():
        assert found[field] == value, (field, value, found)


class Player:
    """A method for each kind of step, a parameter for each of its fields."""

    def __init__(self, url, subprotocol):
        self.url = url
        self.subprotocol = subprotocol
        self.clients = {}
        self.ends = {}
        self.names = {}

    def play(self, step):
        whom = step.pop("for", "speakers")
        assert whom in ("speakers", "listeners")
        if whom == "speakers":
            step = json.loads(re.sub(r'"\$([\w.]+)"', self.bound, json.dumps(step)))
            getattr(self, "do_" + step.pop("do"))(**step)

    def bound(self, path):
        return json.dumps(reduce(getitem, path[1].split("."), self.names))

    def do_come(self, who, consumer, cursor):
        self.clients[who] = Client(self.url, self.subprotocol, consumer=consumer)
        includes(self.clients[who].welcome["cursor"], cursor)

    def do_read(self, who, filters, at, answer={"type": "subscribed"}):
        field = "start" if at in ("latest", "earliest") else "position"
        place = {} if at == "cursor" else {field: at}
        told = self.clients[who].subscribe("s", filters, **place)
        includes(told, answer)
        self.ends[who] = told["end"]

    def do_hear(self, who, events):
        heard, gaps = self.clients[who].until_live(len(events))
        assert not gaps and len(heard) == len(events), (gaps, heard)
        for found, wanted in zip(heard, events):
            includes({**found, "missed": found["offset"] < self.ends[who]}, wanted)
            assert payload_of(found) == payload_of(wanted)

    def do_publish(self, who, bind=None, answer={"type": "published"}, **event):
        self.names[bind] = self.clients[who].publish(**event)
        includes(self.names[bind], answer)

    def do_ack(self, who, at):
        assert self.clients[who].ack(at)["position"] == at

    def do_stop(self, who):
        self.clients[who].say("unsubscribe", sub="s")
        self.clients[who].expect("unsubscribed")

    def do_cut(self, who):
        self.clients[who].cut()

    def do_leave(self, who):
        self.clients[who].socket.close()

    def do_told(self, who, **message):
        includes(self.clients[who].next(), message)

    def do_closed(self, who, code, back):
        try:
            raise AssertionError(self.clients[who].next())
        except Closed as closed:
            assert (closed.code, closed.come_back) == (code, back)

    def do_refused(self, who, upgrade, lines, page):
        """Of the three, this client sees the answer to its upgrade."""
        try:
            self.do_come(who, who, {})
        except InvalidStatus as refused:
            assert upgrade == {"status": refused.response.status_code}
        else:
            raise AssertionError("let in")


def main(url, subprotocol):
    player = Player(url, subprotocol)
    acts = Path(__file__).parent.parent / "scenario.json"
    for act in json.loads(acts.read_text()):
        for step in act["steps"]:
            print(step, file=sys.stderr)
            player.play(step)
        yield act["act"]


if __name__ == "__main__":
    print(*main(*sys.argv[1:]))
