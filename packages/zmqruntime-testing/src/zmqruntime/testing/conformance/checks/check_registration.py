"""Registration of subscribers, which guarantees that no later event is lost."""

from __future__ import annotations

import time

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.transcript import Event, Violation

checks = pytest.mark.checks

EARLY_SECONDS = 0.3
"""Enough for a server that replies without waiting; less than the 2 s of the protocol."""

MANY = 1000
"""Enough events for a server to send arrays."""

LATE_SECONDS = 4.0
"""More than the 2 s of the protocol, also on a busy machine."""


@checks("C-078")
def check_reply_to_registration_is_ok_with_subscribers(peer: Peer) -> None:
    reply = peer.register()
    assert reply["client_id"] == peer.name
    assert peer.name in reply["progress_subscribers"]


@checks("C-079")
def check_registration_requires_a_client_id(peer: Peer) -> None:
    peer.expect_error("invalid_request", "register_progress")
    peer.expect_error("invalid_request", "register_progress", client_id=None)


@checks("C-080")
def check_unknown_scope_is_rejected(peer: Peer) -> None:
    peer.register("all")
    peer.expect_error("invalid_request", "register_progress", client_id=peer.name, scope="some")


@checks("C-206")
def check_subscriber_of_arrays_is_registered_once(peer: Peer) -> None:
    reply = peer.register("all", arrays=True)
    assert reply["progress_subscribers"].count(peer.name) == 1


@checks("C-207")
def check_subscriber_of_arrays_receives_each_event_once_in_order(peer: Peer) -> None:
    peer.register(arrays=True)
    _check_complete(peer.events_to_end(peer.submit("count", events=MANY)))


@checks("C-208")
def check_subscriber_without_arrays_receives_none(peer: Peer, make_peer: MakePeer) -> None:
    observer = make_peer()
    peer.register(arrays=True)
    observer.register("all")  # `Connection` raises a violation for an array.
    execution_id = peer.submit("count", events=MANY)
    for each in (observer, peer):
        _check_complete(each.events_to_end(execution_id))


def _check_complete(trace: list[Event]) -> None:
    numbers = [event.body["sequence"] for event in trace]
    assert numbers == list(range(1, MANY + 4)), f"the sequences are {numbers}"


@checks("C-081")
def check_reply_to_unregistration_is_always_ok(peer: Peer) -> None:
    peer.register()
    for _ in range(2):
        reply = peer.expect_reply("ok", "unregister_progress", client_id=peer.name)
        assert reply["client_id"] == peer.name
        assert peer.name not in reply["progress_subscribers"]


@checks("C-082")
def check_unregistration_requires_a_client_id(peer: Peer) -> None:
    peer.expect_error("invalid_request", "unregister_progress")


@checks("C-154")
def check_registration_waits_for_the_subscription(peer: Peer) -> None:
    registration = peer.send_request("register_progress", client_id=peer.name)
    early = peer.receive_reply(time.monotonic() + EARLY_SECONDS)
    assert not early, "the reply was sent before the subscription"
    peer.subscribe()
    assert peer.await_reply(registration)["type"] == "ok"


@checks("C-154")
def check_registration_for_all_waits_for_both_subscriptions(peer: Peer) -> None:
    peer.subscribe()
    registration = peer.send_request("register_progress", client_id=peer.name, scope="all")
    early = peer.receive_reply(time.monotonic() + EARLY_SECONDS)
    assert not early, "the reply was sent before the subscription to the empty prefix"
    peer.subscribe("")
    assert peer.await_reply(registration)["type"] == "ok"


@checks("C-103", "C-155")
def check_registration_without_a_subscription_fails(peer: Peer) -> None:
    registration = peer.send_request("register_progress", client_id=peer.name)
    assert peer.await_reply(registration).get("code") == "not_subscribed"
    registration.check_seconds(EARLY_SECONDS, LATE_SECONDS)
    assert peer.name not in peer.expect_reply("pong", "ping")["progress_subscribers"]


@checks("C-156")
def check_no_event_is_lost_after_registration(make_peer: MakePeer) -> None:
    for _ in range(5):
        peer = make_peer()
        peer.register()
        events = peer.events_to_end(peer.submit("count", events=100))
        numbers = [event.body["sequence"] for event in events]
        assert numbers == list(range(1, 104)), f"the sequences are {numbers}"


@checks("C-157")
def check_reconnected_client_registers_again(peer: Peer) -> None:
    peer.register()
    peer.data.disconnect(peer.target.data)
    peer.data.connect(peer.target.data)
    reply = peer.expect_reply("ok", "register_progress", client_id=peer.name)
    assert peer.name in reply["progress_subscribers"]
    assert peer.events_to_end(peer.submit("echo", value=1))


@checks("C-158", "C-159")
def check_two_clients_with_one_name_both_receive_events(peer: Peer, make_peer: MakePeer) -> None:
    twin = make_peer()
    twin.name = peer.name
    peer.register()
    registration = twin.send_request("register_progress", client_id=twin.name)
    early = twin.receive_reply(time.monotonic() + EARLY_SECONDS)
    assert not early, "the subscription of one client satisfied the registration of the other"
    twin.subscribe()
    assert twin.await_reply(registration)["type"] == "ok"
    execution_id = peer.submit("echo", value=1)
    assert len(peer.events_to_end(execution_id)) == len(twin.events_to_end(execution_id)) == 3


@checks("C-158")
def check_registration_after_unregistration_needs_a_new_subscription(
    peer: Peer, make_peer: MakePeer
) -> None:
    peer.register()
    peer.expect_reply("ok", "unregister_progress", client_id=peer.name)
    again = make_peer()
    again.name = peer.name
    registration = again.send_request("register_progress", client_id=again.name)
    early = again.receive_reply(time.monotonic() + EARLY_SECONDS)
    assert not early, "the old subscription satisfied the new registration"
    again.subscribe()
    assert again.await_reply(registration)["type"] == "ok"
    assert len(again.events_to_end(again.submit("echo", value=1))) == 3


@checks("C-160")
def check_second_registration_is_acknowledged(peer: Peer) -> None:
    peer.register()
    again = peer.send_request("register_progress", client_id=peer.name)
    reply = peer.await_reply(again)
    assert reply["type"] == "ok"
    assert peer.name in reply["progress_subscribers"]
    again.check_seconds(EARLY_SECONDS, LATE_SECONDS)


@checks("C-161")
def check_closed_subscriber_is_not_listed(peer: Peer, make_peer: MakePeer) -> None:
    leaving = make_peer()
    leaving.register()
    leaving.data.close()
    deadline = time.monotonic() + peer.patience
    while leaving.name in peer.expect_reply("pong", "ping")["progress_subscribers"]:
        if time.monotonic() > deadline:
            raise Violation(
                f"{leaving.name} is still listed as a subscriber after its socket was closed"
            )
