"""The cost of a long message, valid or not, is about the cost of reading it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from places import Connect, Place
from wire import Wire

from zmqruntime.messages import MAX_REQUEST_BYTES

LONG = 8 * 2**20
HEAD = b'{"type":"execute","client_id":"c","request_id":"r",'
OBJECTS = b",".join([b"{}"] * (LONG // 3))
WORDS = b",".join([b'""'] * (LONG // 3))
NAMES = b",".join(b'"%d":""' % n for n in range(LONG // 11))
TEXT = b"x" * LONG

BAD = {
    "words": (HEAD + b'"task":{},"retry_on":[%b]}' % WORDS, "too_large"),
    "labels": (HEAD + b'"task":{},"labels":{%b}}' % NAMES, "too_large"),
    "a label": (HEAD + b'"task":{},"labels":{"a":"%b"}}' % TEXT, "too_large"),
    "unknown fields": (HEAD + b'"task":{},%b}' % NAMES, "too_large"),
    "an unknown field": (HEAD + b'"u":1,"task":{"a":[%b]}}' % OBJECTS, "invalid_request"),
    "a long name": (HEAD + b'"task":{},"%b":1}' % TEXT, "too_large"),
    "a request id": (HEAD + b'"task":{},"request_id":"%b"}' % TEXT, "too_large"),
    "an integer": (HEAD + b'"task":{},"priority":%b}' % (b"1" * LONG), "too_large"),
    "an array as task": (HEAD + b'"task":[%b]}' % OBJECTS, "invalid_request"),
    "a deep task": (HEAD + b'"task":%b' % (b'{"a":' * (LONG // 5)), "malformed"),
    "no end": (HEAD + b'"task":{"a":[%b' % OBJECTS, "malformed"),
    "no Unicode": (HEAD + b'"task":{"a":"%b\xff"}}' % TEXT, "malformed"),
    "an array": (b"[%b]" % OBJECTS, "malformed"),
    "a long ping": (b'{"type":"ping","limit":[%b]}' % OBJECTS, "too_large"),
    "a long cursor": (b'{"type":"status","cursor":"%b"}' % TEXT, "too_large"),
    "an unknown type": (b'{"type":"no","a":[%b]}' % OBJECTS, "unknown_type"),
}


def long_task(execution_id: str, inside: bytes = OBJECTS, **fields: Any) -> bytes:
    given = json.dumps({"execution_id": execution_id, **fields}).encode()[1:-1]
    task = b'{"do":"echo","value":7}'
    return HEAD + b'%b,"task":%b,"config":{"unused":[%b]}}' % (given, task, inside)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Place]:
    """A server that returns large blocks of memory to the system when they are freed.

    By default glibc keeps some of them in the arenas of several threads (mallopt(3)).
    """
    place = Place()
    place.variables["MALLOC_MMAP_THRESHOLD_"] = str(2**20)
    place.client("Workshop")
    yield place
    place.close()


@pytest.fixture
def wire(workshop: Place, connect: Connect) -> Iterator[Wire]:
    connect()
    with Wire(workshop.endpoint) as wire:
        yield wire


def await_end(wire: Wire, execution_id: str) -> dict[str, Any]:
    reply = wire.request("status", execution_id=execution_id, wait_seconds=60)
    record: dict[str, Any] = reply["execution"]
    return record


@pytest.fixture
def server(connect: Connect) -> psutil.Process:
    return psutil.Process(connect().ping().process.pid)


def seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@pytest.mark.parametrize("name", BAD)
def test_long_invalid_request_costs_less_than_its_parsing(
    wire: Wire, workshop: Place, server: psutil.Process, name: str
) -> None:
    frame, code = BAD[name]
    assert len(frame) > LONG // 2
    wire.request("ping")
    before = seconds_of(server)
    with Wire(workshop.endpoint) as beside:
        wire.send(frame)
        assert beside.request("ping")["type"] == "pong"
    reply = wire.receive()
    spent = seconds_of(server) - before
    assert (reply["type"], reply["code"]) == ("error", code)
    assert len(json.dumps(reply)) < 2000
    # The time to create as many objects as the longest of these frames contains; measured here, so
    # that a slow machine slows down both.
    started = time.process_time()
    for frame in (OBJECTS, WORDS):
        json.loads(b"[%b]" % frame)
    assert spent < time.process_time() - started


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_for_long_requests_is_at_most_three_times_their_size(
    wire: Wire, server: psutil.Process
) -> None:
    def growth(frame: bytes) -> int:
        """Return the peak of memory during a request, above what was in use before."""
        wire.request("ping")  # The server has released the last request when it replies.
        Path(f"/proc/{server.pid}/clear_refs").write_text("5", "ascii")  # Resets the peak.
        before = server.memory_info().rss
        wire.exchange(frame)
        status = Path(f"/proc/{server.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 - before

    wire.exchange(long_task("first"))  # Modules that it imports do not count.
    await_end(wire, "first")
    for n, (frame, _) in enumerate(BAD.values()):
        assert growth(frame) < 3 * LONG
        assert growth(long_task(f"valid-{n}", b'"%b"' % TEXT)) < 3 * LONG
        await_end(wire, f"valid-{n}")


def test_long_task_is_compared_byte_by_byte(wire: Wire) -> None:
    frame = long_task("same")
    assert wire.exchange(frame)["duplicate"] is False
    assert await_end(wire, "same")["result"] == 7
    assert wire.exchange(frame)["duplicate"] is True
    assert wire.exchange(long_task("same", timeout_seconds=9))["code"] == "conflict"
    assert wire.exchange(long_task("same", OBJECTS + b" "))["code"] == "conflict"


def test_long_task_without_an_execution_id_gets_one(wire: Wire) -> None:
    frame = HEAD + b'"task":{"do":"echo","value":"%b"}}' % (b"x" * 10**5)
    execution_id = wire.exchange(frame)["execution_id"]
    assert await_end(wire, execution_id)["result"] == "x" * 10**5


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"[" * 300 + b"]" * 300, "config: cannot be parsed: recursion limit"),
        (b"1" * 5000, "config: cannot be parsed: number out of range"),
        (b"1e999", "config.unused[1]: is inf, which JSON cannot carry"),
    ],
)
def test_long_config_that_only_a_worker_can_reject_fails_the_execution(
    wire: Wire, value: bytes, words: str
) -> None:
    name = f"rejected-{len(value)}"
    wire.exchange(long_task(name, b'"%b",%b' % (b"x" * MAX_REQUEST_BYTES, value)))
    record = await_end(wire, name)
    assert record["status"] == "failed"
    assert (record["error"]["kind"], record["error"]["type"]) == ("exception", "DecodeError")
    assert record["error"]["message"].startswith(f"invalid execute request: {words}")


def test_message_of_a_thousand_frames_is_rejected(wire: Wire) -> None:
    for frames in ([b"hop"] * 1000 + [b"", b'{"type":"ping"}'], [b""] + [b"x"] * 1000):
        wire.control.send_multipart(frames)
        assert wire.receive()["code"] == "malformed"
