"""The limit: pyzmq and JSON alone, in as many processes, with no rules at all.

A ROUTER hands each request to a worker process behind a DEALER and its answer back; events
go out through an XPUB. ``python bare.py ROLE DIRECTORY`` runs one of the processes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import zmq

HIGH_WATER_MARK = 100_000
# Tells a subscriber that its subscription has arrived: no event before that would reach it.
WELCOME = b"welcome"


def addresses(directory: str) -> dict[str, str]:
    """Return where the parts meet."""
    return {name: f"ipc://{directory}/bare.{name}" for name in ("control", "data", "worker")}


def serve(directory: str) -> None:
    """Pass requests on to the worker, its answers back, and its events out."""
    where = addresses(directory)
    context: zmq.Context[Any] = zmq.Context()
    control, worker, data = (context.socket(t) for t in (zmq.ROUTER, zmq.DEALER, zmq.XPUB))
    control.set_hwm(0)
    data.sndhwm = HIGH_WATER_MARK
    data.setsockopt(zmq.XPUB_WELCOME_MSG, WELCOME)
    control.bind(where["control"])
    worker.bind(where["worker"])
    data.bind(where["data"])
    poller = zmq.Poller()
    for sock in (control, worker, data):
        poller.register(sock, zmq.POLLIN)
    while True:
        for sock, _ in poller.poll():
            frames = sock.recv_multipart()
            if sock is control:
                (control if json.loads(frames[-1])["do"] == "ping" else worker).send_multipart(
                    frames
                )
            elif sock is worker:
                (data if frames[0] == b"event" else control).send_multipart(frames)


def work(directory: str) -> None:
    """Do what each request says."""
    link: zmq.Socket[Any] = zmq.Context().socket(zmq.DEALER)
    link.connect(addresses(directory)["worker"])
    while True:
        *envelope, body = link.recv_multipart()
        task = json.loads(body)
        for n in range(1, task.get("events", 0) + 1):
            event = {"completed": n, "total": task["events"], "phase": "report"}
            link.send_multipart([b"event", json.dumps(event).encode()])
        link.send_multipart([*envelope, json.dumps({"result": None}).encode()])


if __name__ == "__main__":
    {"serve": serve, "work": work}[sys.argv[1]](sys.argv[2])
