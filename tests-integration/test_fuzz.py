"""A small attack, as `nox -s fuzz` makes a large one, and what judges it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from endurance import fuzz_bytes, fuzz_frames
from endurance.fuzz import Assault, attack, plan_attacks
from endurance.fuzz_attacks import Plan
from endurance.fuzz_peers import Asker
from endurance.fuzz_verdict import Limits

from zmqruntime.messages import MessageError, OkReply, ShutdownRequest, decode_request, encode

FRAMES = 20_000
# How fast a ping is depends on the machine; one that takes half a minute has failed.
LIMITS = Limits(ping_p99=None, ping_worst=None)

MAKERS: dict[str, Callable[[Plan, int], object]] = {
    "requests": lambda plan, unit: fuzz_frames.mutated_request(plan.dice(unit)),
    "envelopes": lambda plan, unit: fuzz_frames.odd_envelope(plan.dice(unit)),
    "subscriptions": lambda plan, unit: fuzz_frames.subscription(plan.dice(unit)),
    "greetings": lambda plan, unit: fuzz_bytes.greeting(plan.dice(unit), Path("planted")),
    "giants": lambda plan, unit: fuzz_bytes.giant(plan.dice(unit), 2**20),
}


def plan(seed: int, name: str) -> Plan:
    return Plan(seed, name, 100, lambda _: None)


@pytest.mark.parametrize("assault", plan_attacks(FRAMES, together=True), ids=lambda a: a.title)
def test_a_good_client_notices_nothing_of_an_attack(assault: Assault) -> None:
    outcome = attack(assault, 13, LIMITS, hold_seconds=0.5)
    broken = [figure for figure in outcome.figures if not figure.is_kept]
    assert not outcome.faults + broken


@pytest.mark.parametrize("name", MAKERS)
def test_units_depend_on_the_seed_alone(name: str) -> None:
    first, again, other = (
        [MAKERS[name](plan(seed, name), unit) for unit in range(100)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_mutated_requests_end_no_server() -> None:
    valid = 0
    for unit in range(3000):
        try:
            request = decode_request(fuzz_frames.mutated_request(plan(1, "requests").dice(unit)))
        except MessageError:
            continue
        assert not isinstance(request, ShutdownRequest)
        valid += 1
    assert 300 < valid < 2700


# -- the judge of replies -----------------------------------------------------------------------

Answer = Callable[[list[bytes]], list[list[bytes]]]


@pytest.fixture
def ask() -> Iterator[Callable[[Answer], list[str]]]:
    """Ask a server that answers as it is told to; return what is found wrong."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind("inproc://server")

        def ask(answer: Answer) -> list[str]:
            def serve() -> None:
                while (frames := router.recv_multipart())[-1] != b"end":
                    for reply in answer(frames):
                        router.send_multipart(reply)

            serving = threading.Thread(target=serve)
            serving.start()
            with Asker(context, "inproc://server", "test") as asker:
                for unit in range(3):
                    asker.ask(unit, [b"hop %d" % unit, b"", b"%d" % unit])
                asker.finish(1.0)
                asker.ask(-1, [b"end"])
                serving.join()
            return asker.faults

        yield ask


def reply_to(frames: list[bytes]) -> list[bytes]:
    last = b"the last" in frames[-1]
    return [*frames[:-1], encode(OkReply(request_id="the last" if last else None))]


def test_one_reply_to_each_has_no_fault(ask: Callable[[Answer], list[str]]) -> None:
    assert ask(lambda frames: [reply_to(frames)]) == []


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda frames: [], "3 messages have no reply"),
        (lambda frames: [reply_to(frames)] * 2, "was not sent"),
        (lambda frames: [[*frames[:-1], b'{"type":"ok"']], "not well-formed"),
        (lambda frames: [[frames[0], b"", reply_to(frames)[-1]]], "was not sent"),
        (lambda frames: [[frames[0], b"hop 0", b"", reply_to(frames)[-1]]], "was not sent"),
    ],
    ids=["none", "two", "half", "elsewhere", "one twice"],
)
def test_another_reply_is_a_fault(
    ask: Callable[[Answer], list[str]], answer: Answer, fault: str
) -> None:
    assert fault in " / ".join(ask(answer))
