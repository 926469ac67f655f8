"""The handshake by which a subscriber misses nothing."""

from __future__ import annotations

import time

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.transcript import Event, Violation

checks = pytest.mark.checks

A_MOMENT = 0.3
"""In which a server that does not wait has answered; less than the 2 s of the page."""

MANY = 1000
"""Events that come faster than one by one."""

LONG_ENOUGH = 4.0
"""After which the 2 s of the page are over, on a busy machine too."""


@checks("C-078")
def check_registering_is_answered_by_ok_with_the_subscribers(peer: Peer) -> None:
    reply = peer.register()
    assert reply["client_id"] == peer.name
    assert peer.name in reply["progress_subscribers"]


@checks("C-079")
def check_a_registration_names_the_client(peer: Peer) -> None:
    peer.expect_error("invalid_request", "register_progress")
    peer.expect_error("invalid_request", "register_progress", client_id=None)


@checks("C-080")
def check_there_are_two_scopes(peer: Peer) -> None:
    peer.register("all")
    peer.expect_error("invalid_request", "register_progress", client_id=peer.name, scope="some")


@checks("C-206")
def check_who_takes_arrays_registers_as_anybody(peer: Peer) -> None:
    reply = peer.register("all", arrays=True)
    assert reply["progress_subscribers"].count(peer.name) == 1


@checks("C-207")
def check_who_takes_arrays_gets_each_event_once_and_in_order(peer: Peer) -> None:
    peer.register(arrays=True)
    _check_complete(peer.events_to_end(peer.submit("count", events=MANY)))


@checks("C-208")
def check_one_who_takes_no_arrays_gets_none(peer: Peer, make_peer: MakePeer) -> None:
    observer = make_peer()
    peer.register(arrays=True)
    observer.register("all")  # An array for it is a violation, wherever it comes.
    execution_id = peer.submit("count", events=MANY)
    for each in (observer, peer):
        _check_complete(each.events_to_end(execution_id))


def _check_complete(trace: list[Event]) -> None:
    numbers = [event.body["sequence"] for event in trace]
    assert numbers == list(range(1, MANY + 4)), f"the sequences are {numbers}"


@checks("C-081")
def check_unregistering_is_answered_by_ok_registered_or_not(peer: Peer) -> None:
    peer.register()
    for _ in range(2):
        reply = peer.expect_reply("ok", "unregister_progress", client_id=peer.name)
        assert reply["client_id"] == peer.name
        assert peer.name not in reply["progress_subscribers"]


@checks("C-082")
def check_unregistering_names_the_client(peer: Peer) -> None:
    peer.expect_error("invalid_request", "unregister_progress")


@checks("C-154")
def check_the_ok_waits_for_the_subscription(peer: Peer) -> None:
    asked = peer.send_request("register_progress", client_id=peer.name)
    early = peer.receive_reply(time.monotonic() + A_MOMENT)
    assert not early, "the reply came before there was a subscription"
    peer.subscribe()
    assert peer.await_reply(asked)["type"] == "ok"


@checks("C-154")
def check_for_all_it_waits_for_both_subscriptions(peer: Peer) -> None:
    peer.subscribe()
    asked = peer.send_request("register_progress", client_id=peer.name, scope="all")
    early = peer.receive_reply(time.monotonic() + A_MOMENT)
    assert not early, "the reply came before there was a subscription to the empty prefix"
    peer.subscribe("")
    assert peer.await_reply(asked)["type"] == "ok"


@checks("C-103", "C-155")
def check_without_a_subscription_there_is_no_registration(peer: Peer) -> None:
    asked = peer.send_request("register_progress", client_id=peer.name)
    assert peer.await_reply(asked).get("code") == "not_subscribed"
    asked.check_seconds(A_MOMENT, LONG_ENOUGH)
    assert peer.name not in peer.expect_reply("pong", "ping")["progress_subscribers"]


@checks("C-156")
def check_after_the_ok_no_event_is_missed(make_peer: MakePeer) -> None:
    for _ in range(5):
        peer = make_peer()
        peer.register()
        events = peer.events_to_end(peer.submit("count", events=100))
        numbers = [event.body["sequence"] for event in events]
        assert numbers == list(range(1, 104)), f"the sequences are {numbers}"


@checks("C-157")
def check_a_client_that_comes_back_registers_again(peer: Peer) -> None:
    peer.register()
    peer.data.disconnect(peer.target.data)
    peer.data.connect(peer.target.data)
    reply = peer.expect_reply("ok", "register_progress", client_id=peer.name)
    assert peer.name in reply["progress_subscribers"]
    assert peer.events_to_end(peer.submit("echo", value=1))


@checks("C-158", "C-159")
def check_two_clients_of_one_name_are_both_told(peer: Peer, make_peer: MakePeer) -> None:
    twin = make_peer()
    twin.name = peer.name
    peer.register()
    asked = twin.send_request("register_progress", client_id=twin.name)
    early = twin.receive_reply(time.monotonic() + A_MOMENT)
    assert not early, "the subscription of the one let the other's registration pass"
    twin.subscribe()
    assert twin.await_reply(asked)["type"] == "ok"
    execution_id = peer.submit("echo", value=1)
    assert len(peer.events_to_end(execution_id)) == len(twin.events_to_end(execution_id)) == 3


@checks("C-158")
def check_who_unregisters_and_comes_back_subscribes_anew(peer: Peer, make_peer: MakePeer) -> None:
    peer.register()
    peer.expect_reply("ok", "unregister_progress", client_id=peer.name)
    again = make_peer()
    again.name = peer.name
    asked = again.send_request("register_progress", client_id=again.name)
    early = again.receive_reply(time.monotonic() + A_MOMENT)
    assert not early, "the subscription that was left let another registration pass"
    again.subscribe()
    assert again.await_reply(asked)["type"] == "ok"
    assert len(again.events_to_end(again.submit("echo", value=1))) == 3


@checks("C-160")
def check_who_asks_twice_gets_an_ok_twice(peer: Peer) -> None:
    peer.register()
    again = peer.send_request("register_progress", client_id=peer.name)
    reply = peer.await_reply(again)
    assert reply["type"] == "ok"
    assert peer.name in reply["progress_subscribers"]
    again.check_seconds(A_MOMENT, LONG_ENOUGH)


@checks("C-161")
def check_who_is_gone_is_no_subscriber(peer: Peer, make_peer: MakePeer) -> None:
    leaving = make_peer()
    leaving.register()
    leaving.data.close()
    deadline = time.monotonic() + peer.patience
    while leaving.name in peer.expect_reply("pong", "ping")["progress_subscribers"]:
        if time.monotonic() > deadline:
            raise Violation("its subscription has ended, and it is told as a subscriber still")
