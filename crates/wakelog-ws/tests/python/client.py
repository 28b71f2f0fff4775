"""A small client of wakelog.v1, written from PROTOCOL.md alone.

One thread, no reconnecting by itself: whoever uses it reads message by message and decides. It
answers heartbeats, pays credit back, and keeps the position of each subscription.
"""

import base64
import json
import struct

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

JSON = Subprotocol("wakelog.v1.json")
BIN = Subprotocol("wakelog.v1.bin")
PATIENCE_S = 20


def payload_of(event):
    """Section 6: one of data, text and base64."""
    if "base64" in event:
        return base64.b64decode(event["base64"])
    return event["data"] if "data" in event else event.get("text", "")


def payload_field(mark, payload):
    """Section 17: the field in which the JSON form would have it."""
    if mark == 1:
        try:
            return {"data": json.loads(payload)}
        except ValueError:
            pass
    try:
        if mark != 3 or not payload:
            return {"text": payload.decode()}
    except UnicodeDecodeError:
        pass
    return {"base64": base64.b64encode(payload).decode()}


def page_of(message):
    """Section 17: a binary page as the JSON form says it; None for kinds that are not known."""
    kind, flags, sub, position = message[:4]
    if kind != 1:
        return None
    at = 4 + sub + position
    sub, position = message[4 : 4 + sub].decode(), message[4 + sub : at].decode()
    page = {"type": "events", "sub": sub, "position": position, "live": bool(flags & 1)}
    page |= {"stem": position[: position.rindex(".") + 1], "bytes": len(message) - at, "events": []}
    while at < len(message):
        offset, time, mark, names, payload = struct.unpack_from("<QQBII", message, at)
        event = {"offset": offset, "time": time, "topics": []}
        at += 25
        payload_at = at + names
        while at < payload_at:
            tag, length = struct.unpack_from("<BI", message, at)
            name = message[at + 5 : at + 5 + length].decode()
            at += 5 + length
            if tag in (1, 2):
                event.setdefault(("topics", "not_to")[tag - 1], []).append(name)
            elif tag in (3, 4, 5):
                event[("name", "id", "from")[tag - 3]] = name
        at += payload
        page["events"].append(event | payload_field(mark, message[payload_at:at]))
    assert at == len(message)
    return page


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
    def __init__(self, url, subprotocol=JSON, **hello):
        self.socket = connect(
            url, subprotocols=[subprotocol], compression=None, open_timeout=PATIENCE_S, max_size=None
        )
        assert self.socket.subprotocol == subprotocol
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
            message = page_of(text) if isinstance(text, bytes) else json.loads(text)
            if message is None:
                continue
            kind = message["type"]
            # Pages that hold events are text in the one form, and bytes in the other.
            if kind == "events" and message["events"]:
                assert isinstance(text, bytes) == (self.socket.subprotocol == BIN)
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
