"""The Python client: python.py URL NAME FILTER...; keeps its own position, tells its facts."""

import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../wakelog-ws/tests/python"))

from client import Client, Closed  # noqa: E402

URL, NAME, *FILTERS = sys.argv[1:]


def tell(fact, **fields):
    print(json.dumps({"fact": fact, "client": NAME, **fields}), flush=True)


def session(position):
    """One connection, to its end; yields each position that was reached."""
    client = Client(URL, consumer=NAME)
    if position is None:
        position = client.welcome["end"].rpartition(".")[0] + ".0"
    answer = client.subscribe("s", FILTERS, position=position)
    if answer["type"] == "reset":
        tell("reset")
        yield None
        return
    yield position
    while True:
        message = client.expect("events", "gap")
        if message["type"] == "gap":
            tell("gap", **{key: message[key] for key in ("from", "to", "reason")})
        for event in message.get("events", []):
            tell("heard", offset=event["offset"], id=event["id"], text=event["text"])
            yield message["stem"] + str(event["offset"] + 1)
            if "end" in event["topics"]:
                tell("stands", offset=event["offset"] + 1)
                sys.exit(0)
        if message.get("events"):
            used = {"events": len(message["events"]), "bytes": message["bytes"]}
            client.say("credit", sub="s", **used)
        yield message["position"]


tell("client", identity=NAME, filters=FILTERS, start=0)
place = None
while True:
    try:
        for reached in session(place):
            place = reached
    except Closed as closed:
        if not closed.come_back:
            print(closed, file=sys.stderr)
            sys.exit(1)
    # What a connection that is cut while it opens can raise is the library's own and many kinds.
    except Exception as error:  # noqa: BLE001
        if isinstance(error, AssertionError):
            print(repr(error), file=sys.stderr)
            sys.exit(1)
    time.sleep(random.random() * 0.2)
