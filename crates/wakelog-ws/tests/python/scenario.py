"""Live, resume after a cut, twice with one id, fenced, gap, reset, drain: prints what it has seen."""

import sys

from client import Client, Closed, payload_of


def closed_with(client):
    """Reads until the end and says how it came."""
    while True:
        try:
            client.next()
        except Closed as closed:
            return closed


def main(url):
    reader = Client(url, consumer="reader", client="scenario.py/1")
    writer = Client(url, consumer="writer")
    assert reader.welcome["cursor"]["state"] == "new"
    reader.subscribe("s", ["room.*"], start="latest")
    assert reader.until_live() == ([], [])
    first = writer.publish("1", ["room.1"], data={"n": 1, "text": "liv\u00e9"})
    (event,), _ = reader.until_live(1)
    assert payload_of(event) == {"n": 1, "text": "liv\u00e9"} and event["from"] == "writer"
    assert event["position"] == first["position"]
    acked = reader.ack(event["position"])["position"]
    assert acked == event["position"]
    yield "live"

    reader.cut()
    missed = writer.publish("2", ["room.2"], base64="AAEC/w==")
    reader = Client(url, consumer="reader")
    assert reader.welcome["cursor"] == {"state": "resumed", "position": acked}
    # From the cursor, and then once more from the position.
    for place in ({}, {"position": acked}):
        assert reader.subscribe("s", ["room.*"], **place)["end"] > missed["offset"]
        (event,), _ = reader.until_live(1)
        assert event["offset"] == missed["offset"] and payload_of(event) == b"\x00\x01\x02\xff"
        reader.say("unsubscribe", sub="s")
        reader.expect("unsubscribed")
    yield "resume"

    again = writer.publish("2", ["room.2"], base64="AAEC/w==")
    assert again == missed
    reader.subscribe("s", ["room.*"], position=again["position"])
    assert reader.until_live() == ([], [])
    yield "twice"

    newer = Client(url, consumer="reader")
    reader.expect("fenced")
    end = closed_with(reader)
    assert end.code == 4409 and not end.come_back
    yield "fenced"

    first_kept = payload_of(writer.publish("3", ["control.trim"]))["first"]
    newer.subscribe("s", ["room.*"], position=acked)
    events, (gap,) = newer.until_live()
    wanted = int(acked.rpartition(".")[2])
    assert (gap["from"], gap["to"], gap["reason"]) == (wanted, first_kept, "trimmed") and not events
    assert int(gap["position"].rpartition(".")[2]) == first_kept
    yield "gap"

    foreign = "0" * 32 + ".1-00000001.3"
    reset = newer.subscribe("t", ["room.*"], position=foreign)
    assert (reset["type"], reset["reason"]) == ("reset", "log"), reset
    assert newer.subscribe("t", ["room.*"], position=reset["end"])["type"] == "subscribed"
    yield "reset"

    writer.publish("4", ["control.drain"])
    end = closed_with(newer)
    assert end.code == 1012 and end.come_back and newer.bye == [0, 0]
    yield "drain"


if __name__ == "__main__":
    print(*main(sys.argv[1]))
