"""A small run of `nox -s fuzz`, and the checks of its attackers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from endurance import fuzz_bytes, fuzz_frames
from endurance.fuzz import AttackRun, attack, plan_attacks
from endurance.fuzz_attacks import Plan
from endurance.fuzz_monitor import Limits
from endurance.fuzz_peers import RequestPeer

from zmqruntime.messages import MessageError, OkReply, ShutdownRequest, decode_request, encode

FRAMES = 20_000
# No limit for the time of a ping, which depends on the machine; the client's timeout is 30 s.
LIMITS = Limits(ping_p99=None, ping_worst=None)

MAKERS: dict[str, Callable[[Plan, int], object]] = {
    "requests": lambda plan, unit: fuzz_frames.mutated_request(plan.rng(unit)),
    "envelopes": lambda plan, unit: fuzz_frames.odd_envelope(plan.rng(unit)),
    "subscriptions": lambda plan, unit: fuzz_frames.subscription(plan.rng(unit)),
    "greetings": lambda plan, unit: fuzz_bytes.greeting(plan.rng(unit), Path("planted")),
    "giants": lambda plan, unit: fuzz_bytes.giant(plan.rng(unit), 2**20),
}


def plan(seed: int, name: str) -> Plan:
    return Plan(seed, name, 100, lambda _: None)


@pytest.mark.parametrize("run", plan_attacks(FRAMES, together=True), ids=lambda a: a.title)
def test_attack_does_not_affect_a_well_behaved_client(run: AttackRun) -> None:
    outcome = attack(run, 13, LIMITS, hold_seconds=0.5)
    broken = [figure for figure in outcome.figures if not figure.is_within_limit]
    assert not outcome.violations + broken


@pytest.mark.parametrize("name", MAKERS)
def test_units_depend_on_the_seed_only(name: str) -> None:
    first, again, other = (
        [MAKERS[name](plan(seed, name), unit) for unit in range(100)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_mutated_requests_contain_no_valid_shutdown() -> None:
    valid = 0
    for unit in range(3000):
        try:
            request = decode_request(fuzz_frames.mutated_request(plan(1, "requests").rng(unit)))
        except MessageError:
            continue
        assert not isinstance(request, ShutdownRequest)
        valid += 1
    assert 300 < valid < 2700


# -- checks of replies ------------------------------------------------------------------------

Responder = Callable[[list[bytes]], list[list[bytes]]]


@pytest.fixture
def find_violations() -> Iterator[Callable[[Responder], list[str]]]:
    """Send requests to a server with this responder; return the violations found."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind("inproc://server")

        def find(responder: Responder) -> list[str]:
            def serve() -> None:
                while (frames := router.recv_multipart())[-1] != b"end":
                    for reply in responder(frames):
                        router.send_multipart(reply)

            serving = threading.Thread(target=serve)
            serving.start()
            with RequestPeer(context, "inproc://server", "test") as peer:
                for unit in range(3):
                    peer.send(unit, [b"hop %d" % unit, b"", b"%d" % unit])
                peer.finish(1.0)
                peer.send(-1, [b"end"])
                serving.join()
            return peer.violations

        yield find


def reply_to(frames: list[bytes]) -> list[bytes]:
    last = b"the last" in frames[-1]
    return [*frames[:-1], encode(OkReply(request_id="the last" if last else None))]


def test_one_reply_to_each_request_is_valid(
    find_violations: Callable[[Responder], list[str]],
) -> None:
    assert find_violations(lambda frames: [reply_to(frames)]) == []


@pytest.mark.parametrize(
    ("responder", "violation"),
    [
        (lambda frames: [], "3 messages have no reply"),
        (lambda frames: [reply_to(frames)] * 2, "was not sent"),
        (lambda frames: [[*frames[:-1], b'{"type":"ok"']], "not well-formed"),
        (lambda frames: [[frames[0], b"", reply_to(frames)[-1]]], "was not sent"),
        (lambda frames: [[frames[0], b"hop 0", b"", reply_to(frames)[-1]]], "was not sent"),
    ],
    ids=["none", "two", "half", "elsewhere", "one twice"],
)
def test_missing_extra_or_wrong_reply_is_a_violation(
    find_violations: Callable[[Responder], list[str]], responder: Responder, violation: str
) -> None:
    assert violation in " / ".join(find_violations(responder))
