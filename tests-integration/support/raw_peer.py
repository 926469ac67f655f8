"""The main flow of the protocol, in a client with pyzmq and without this project.

Run as ``python raw_peer.py CONTROL_ADDRESS DATA_ADDRESS`` with a server of ``Workshop`` there.
"""

import json
import sys
from typing import Any

import zmq

PATIENCE_MS = 60_000
CLIENT = "raw-peer"

Message = dict[str, Any]


class Peer:
    def __init__(self, control_address: str, data_address: str) -> None:
        self.context = zmq.Context()
        self.control = self.context.socket(zmq.REQ)
        self.data = self.context.socket(zmq.SUB)
        for sock in (self.control, self.data):
            sock.linger = 0
            sock.rcvtimeo = PATIENCE_MS
        self.control.connect(control_address)
        self.data.connect(data_address)

    def request(self, **request: object) -> Message:
        """Send a request of one frame; return the reply, of one frame."""
        self.control.send(json.dumps(request).encode())
        reply: Message = json.loads(self.control.recv())
        assert reply["protocol"] == 1, reply
        assert reply["request_id"] == request.get("request_id"), reply
        return reply

    def receive_events(self, execution_id: str) -> list[Message]:
        """Return all events of an execution, to the terminal one."""
        events: list[Message] = []
        while not events or events[-1].get("status") not in ("complete", "failed", "cancelled"):
            topic, frame = self.data.recv_multipart()
            if topic == f"{CLIENT}/{execution_id}".encode():
                events.append(json.loads(frame))
        assert [e["sequence"] for e in events] == list(range(1, len(events) + 1)), events
        assert {e["execution_id"] for e in events} == {execution_id}, events
        return events

    def await_running(self, execution_id: str) -> None:
        while True:
            topic, frame = self.data.recv_multipart()
            event = json.loads(frame)
            if topic.endswith(execution_id.encode()) and event["type"] == "progress":
                return

    def close(self) -> None:
        self.context.destroy(linger=0)


def run(peer: Peer) -> None:
    # ping
    pong = peer.request(type="ping", wait_seconds=60, request_id="first request")
    assert (pong["type"], pong["status"], pong["ready"]) == ("pong", "ok", True), pong
    assert pong["server"] == "Workshop", pong
    assert pong["progress_subscribers"] == [], pong

    # register: subscribe first
    peer.data.subscribe(f"{CLIENT}/")
    reply = peer.request(type="register_progress", client_id=CLIENT)
    assert (reply["type"], reply["progress_subscribers"]) == ("ok", [CLIENT]), reply

    # execute; a repetition is a duplicate, another task under the same id a conflict
    request = {
        "type": "execute",
        "task": {"do": "count", "steps": 3},
        "client_id": CLIENT,
        "execution_id": "first",
        "labels": {"tile": "7"},
    }
    reply = peer.request(**request)
    assert (reply["type"], reply["status"]) == ("accepted", "accepted"), reply
    assert (reply["execution_id"], reply["duplicate"]) == ("first", False), reply
    reply = peer.request(**request)
    assert (reply["type"], reply["duplicate"]) == ("accepted", True), reply
    reply = peer.request(**{**request, "task": {"do": "count", "steps": 4}})
    assert (reply["type"], reply["code"]) == ("error", "conflict"), reply

    # progress
    events = peer.receive_events("first")
    kinds = [event.get("status") or event["completed"] for event in events]
    assert kinds == ["queued", "running", 1, 2, 3, "complete"], kinds
    assert [e["percent"] for e in events if e["type"] == "progress"][-1] == 100, events

    # status with a wait, of an ended execution and of a running one
    record = peer.request(type="status", execution_id="first", wait_seconds=60)["execution"]
    assert (record["status"], record["result"]) == ("complete", 3), record
    assert record["labels"] == {"tile": "7"}, record
    peer.request(**{**request, "task": {"do": "sleep"}, "execution_id": "second"})
    peer.request(**{**request, "task": {"do": "echo", "value": "ä"}, "execution_id": "third"})
    peer.await_running("second")
    record = peer.request(type="status", execution_id="second", wait_seconds=0.05)["execution"]
    assert record["status"] == "running", record
    snapshot = peer.request(type="status")
    assert [e["execution_id"] for e in snapshot["running_executions"]] == ["second"], snapshot
    assert [e["execution_id"] for e in snapshot["queued_executions"]] == ["third"], snapshot

    # cancel: the queue goes on
    reply = peer.request(type="cancel", execution_id="second")
    assert (reply["type"], reply["execution_id"]) == ("ok", "second"), reply
    record = peer.request(type="status", execution_id="second", wait_seconds=60)["execution"]
    assert record["status"] == "cancelled", record
    record = peer.request(type="status", execution_id="third", wait_seconds=60)["execution"]
    assert (record["status"], record["result"]) == ("complete", "ä"), record
    reply = peer.request(type="cancel", execution_id="third")
    assert (reply["type"], reply["code"]) == ("error", "conflict"), reply
    reply = peer.request(type="status", execution_id="fourth")
    assert (reply["type"], reply["code"]) == ("error", "unknown_execution"), reply

    # unregister
    reply = peer.request(type="unregister_progress", client_id=CLIENT)
    assert (reply["type"], reply["progress_subscribers"]) == ("ok", []), reply

    # shutdown
    reply = peer.request(type="shutdown", mode="drain")
    assert (reply["type"], reply["status"], reply["mode"]) == ("shutdown_ack", "ok", "drain"), reply


def main() -> None:
    peer = Peer(*sys.argv[1:])
    try:
        run(peer)
    finally:
        peer.close()
    ours = [name for name in sys.modules if name.startswith("zmqruntime")]
    assert not ours, ours
    print("complete")


if __name__ == "__main__":
    main()
