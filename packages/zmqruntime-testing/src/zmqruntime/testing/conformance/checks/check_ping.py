"""What a pong tells."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import BusyServer
from zmqruntime.testing.conformance.settings import Settings

checks = pytest.mark.checks


@checks("C-026")
def check_ping_is_answered_by_pong(peer: Peer) -> None:
    peer.expect_reply("pong", "ping")


@checks("C-027")
@pytest.mark.parametrize("limit", [-1, 1001, "1", 1.5], ids=repr)
def check_a_limit_out_of_range_is_refused(peer: Peer, limit: Any) -> None:
    peer.expect_error("invalid_request", "ping", limit=limit)


@checks("C-027", "C-035", "C-036", "C-037")
def check_the_limit_is_for_the_lists_and_not_for_the_counts(peer: Peer, settings: Settings) -> None:
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
def check_a_wait_out_of_range_is_refused(peer: Peer, seconds: Any) -> None:
    peer.expect_error("invalid_request", "ping", wait_seconds=seconds)


@checks("C-028", "C-029")
def check_a_server_that_is_ready_says_so_and_holds_no_ping(peer: Peer) -> None:
    assert peer.await_held(peer.send_request("ping", wait_seconds=60))["ready"] is True


@checks("C-032")
def check_the_ports_are_those_of_the_addresses(peer: Peer, settings: Settings) -> None:
    pong = peer.expect_reply("pong", "ping")
    data, control = settings.target.ports
    assert pong["port"] == data or data is None
    assert pong["control_port"] == control or control is None


@checks("C-033")
def check_the_process_is_the_same_in_every_pong(peer: Peer) -> None:
    assert len({str(peer.expect_reply("pong", "ping")["process"]) for _ in range(3)}) == 1


@checks("C-034")
def check_the_uptime_grows_and_the_start_stays(peer: Peer) -> None:
    pongs = [peer.expect_reply("pong", "ping") for _ in range(3)]
    uptimes = [pong["uptime_seconds"] for pong in pongs]
    assert uptimes == sorted(uptimes)
    assert len({pong["started_at"] for pong in pongs}) == 1


@checks("C-036")
def check_the_next_one_is_listed_first(busy: BusyServer) -> None:
    listed = busy.pong["queued_executions"]
    assert [entry["execution_id"] for entry in listed] == busy.queued
    assert [entry["queue_position"] for entry in listed] == [1, 2]


@checks("C-035")
def check_what_runs_is_listed(busy: BusyServer) -> None:
    assert busy.running in [e["execution_id"] for e in busy.pong["running_executions"]]


@checks("C-039")
def check_a_pong_tells_who_is_registered(peer: Peer) -> None:
    assert peer.name not in peer.expect_reply("pong", "ping")["progress_subscribers"]
    peer.register()
    assert peer.name in peer.expect_reply("pong", "ping")["progress_subscribers"]


@checks("C-243")
def check_the_application_of_a_server_stays_the_same(peer: Peer, make_peer: MakePeer) -> None:
    first = peer.expect_reply("pong", "ping").get("application")
    assert peer.expect_reply("pong", "ping").get("application") == first
    assert make_peer().expect_reply("pong", "ping").get("application") == first
