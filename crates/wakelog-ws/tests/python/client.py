"""A small client of wakelog.v1, written from PROTOCOL.md alone.

One thread, no reconnecting by itself: whoever uses it reads message by message and decides. It
answers heartbeats, pays credit back, and keeps the position of each subscription.
"""

import base64
import json

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("wakelog.v1.json")
PATIENCE_S = 20


def payload_of(event):
    """Section 6: one of data, text and base64."""
    if "base64" in event:
        return base64.b64decode(event["base64"])
    return event["data"] if "data" in event else event.get("text", "")


class Closed(Exception):
    """The connection is over; the code says whether to come back."""

    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code

    @property
    def come_back(self):
        """Section 11."""
        final = self.code in (1000, 1002, 1003, 1007, 1008, 1009)
        return not final and (not 4400 <= self.code < 4500 or self.code == 4408)


class Client:
    def __init__(self, url, **hello):
        self.socket = connect(
            url, subprotocols=[SUBPROTOCOL], compression=None, open_timeout=PATIENCE_S, max_size=None
        )
        assert self.socket.subprotocol == SUBPROTOCOL
        self.positions = {}
        self.say("hello", **hello)
        self.welcome = self.expect("welcome")

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def next(self):
        """The next message that is somebody's business."""
        while True:
            try:
                text = self.socket.recv(timeout=PATIENCE_S)
            except ConnectionClosed as closed:
                raise Closed(closed.rcvd.code if closed.rcvd else 1006) from None
            message = json.loads(text)
            kind = message["type"]
            if kind == "heartbeat":
                self.say("heartbeat")
                self.positions.update(message["positions"])
                continue
            if kind in ("events", "gap", "subscribed"):
                self.positions[message["sub"]] = message["position"]
            return message

    def expect(self, *kinds):
        """The next message. That the server ends is passed over, unless that is asked for."""
        message = self.next()
        while message["type"] == "bye" and "bye" not in kinds:
            message = self.next()
        assert message["type"] in kinds, message
        return message

    def subscribe(self, sub, filters, **place):
        self.say("subscribe", sub=sub, filters=filters, **place)
        return self.expect("subscribed", "reset", "error")

    def until_live(self, count=0):
        """All events until nothing more was waiting and so many have come. Gaps are in between."""
        events, gaps = [], []
        while True:
            message = self.expect("events", "volatile", "gap")
            if message["type"] == "gap":
                gaps.append(message)
                continue
            for event in message["events"]:
                event["volatile"] = message["type"] == "volatile"
                after = event["offset"] + (not event["volatile"])
                event["position"] = message["stem"] + str(after)
                events.append(event)
            if message["events"] and message["type"] == "events":
                used = {"events": len(message["events"]), "bytes": message["bytes"]}
                self.say("credit", sub=message["sub"], **used)
            if message["live"] and len(events) >= count:
                return events, gaps

    def publish(self, id, topics, **content):
        self.say("publish", id=id, topics=topics, **content)
        answer = self.expect("published", "reply", "error")
        assert answer.get("id") == id, answer
        return answer

    def ack(self, position):
        self.say("ack", position=position)
        return self.expect("ack_ok")

    def cut(self):
        """Without a word to the other side."""
        self.socket.socket.close()
