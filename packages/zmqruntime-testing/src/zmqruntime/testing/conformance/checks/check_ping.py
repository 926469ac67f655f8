"""The fields of a pong."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import BusyServer
from zmqruntime.testing.conformance.target import Settings

checks = pytest.mark.checks


@checks("C-026")
def check_reply_to_ping_is_pong(peer: Peer) -> None:
    peer.expect_reply("pong", "ping")


@checks("C-027")
@pytest.mark.parametrize("limit", [-1, 1001, "1", 1.5], ids=repr)
def check_limit_of_a_ping_out_of_range_is_rejected(peer: Peer, limit: Any) -> None:
    peer.expect_error("invalid_request", "ping", limit=limit)


@checks("C-027", "C-035", "C-036", "C-037")
def check_limit_applies_to_lists_not_to_counts(peer: Peer, settings: Settings) -> None:
    peer.fill_slots()
    queued = [peer.submit("echo", value=n) for n in range(3)]
    none, two, most = (peer.expect_reply("pong", "ping", limit=limit) for limit in (0, 2, 1000))
    assert none["running_executions"] == none["queued_executions"] == []
    assert [entry["execution_id"] for entry in two["queued_executions"]] == queued[:2]
    assert [entry["execution_id"] for entry in most["queued_executions"]] == queued
    for pong in (none, two, most):
        assert (pong["running_count"], pong["queued_count"]) == (settings.slots, 3)


@checks("C-028")
@pytest.mark.parametrize("seconds", [-1, 61, "1", None], ids=repr)
def check_wait_of_a_ping_out_of_range_is_rejected(peer: Peer, seconds: Any) -> None:
    peer.expect_error("invalid_request", "ping", wait_seconds=seconds)


@checks("C-028", "C-029")
def check_ready_server_replies_to_ping_immediately(peer: Peer) -> None:
    assert peer.await_held(peer.send_request("ping", wait_seconds=60))["ready"] is True


@checks("C-032")
def check_ports_are_those_of_the_addresses(peer: Peer, settings: Settings) -> None:
    pong = peer.expect_reply("pong", "ping")
    data, control = settings.target.ports
    assert pong["port"] == data or data is None
    assert pong["control_port"] == control or control is None


@checks("C-033")
def check_process_is_constant(peer: Peer) -> None:
    assert len({str(peer.expect_reply("pong", "ping")["process"]) for _ in range(3)}) == 1


@checks("C-034")
def check_uptime_increases_and_start_is_constant(peer: Peer) -> None:
    pongs = [peer.expect_reply("pong", "ping") for _ in range(3)]
    uptimes = [pong["uptime_seconds"] for pong in pongs]
    assert uptimes == sorted(uptimes)
    assert len({pong["started_at"] for pong in pongs}) == 1


@checks("C-036")
def check_queue_is_listed_in_order(busy: BusyServer) -> None:
    listed = busy.pong["queued_executions"]
    assert [entry["execution_id"] for entry in listed] == busy.queued
    assert [entry["queue_position"] for entry in listed] == [1, 2]


@checks("C-035")
def check_running_executions_are_listed(busy: BusyServer) -> None:
    assert busy.running in [e["execution_id"] for e in busy.pong["running_executions"]]


@checks("C-039")
def check_pong_lists_registered_clients(peer: Peer) -> None:
    assert peer.name not in peer.expect_reply("pong", "ping")["progress_subscribers"]
    peer.register()
    assert peer.name in peer.expect_reply("pong", "ping")["progress_subscribers"]


@checks("C-243")
def check_application_is_constant(peer: Peer, make_peer: MakePeer) -> None:
    first = peer.expect_reply("pong", "ping").get("application")
    assert peer.expect_reply("pong", "ping").get("application") == first
    assert make_peer().expect_reply("pong", "ping").get("application") == first
