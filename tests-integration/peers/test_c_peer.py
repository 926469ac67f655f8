"""A client in one C file, with libzmq and no JSON library, works with a real server."""

from __future__ import annotations

import json

import pytest
from peering import Peer
from places import ChildProcess, Place


@pytest.fixture
def server(either_place: Place) -> ChildProcess:
    """A server that is ready."""
    server = either_place.serve("Workshop")
    either_place.attach(server)
    return server


def test_it_pings_submits_waits_and_prints(c_peer: Peer, server: ChildProcess) -> None:
    said = c_peer.run('{"do": "count", "steps": 2}')
    assert (said.code, said.errors) == (0, "")
    assert said.out.splitlines() == [
        'server "Workshop"',
        '1 "queued"',
        '2 "running"',
        "3 50.0",
        "4 100.0",
        '5 "complete"',
        "2",
    ]


def test_it_finds_its_fields_among_others_of_the_same_name(
    c_peer: Peer, server: ChildProcess
) -> None:
    decoy = {"status": '"complete" }{ \\', "execution": [{"status": "failed"}], "result": None}
    said = c_peer.run(json.dumps({"do": "echo", "value": decoy}))
    assert said.code == 0, said.errors
    assert json.loads(said.out.splitlines()[-1]) == decoy

    said = c_peer.run(json.dumps({"do": "report", "data": decoy, "message": '"status": "failed"'}))
    assert said.code == 0, said.errors
    assert said.out.splitlines()[-3:] == ["3 null", '4 "complete"', "null"]


def test_a_failure_has_its_reason(c_peer: Peer, server: ChildProcess) -> None:
    said = c_peer.run('{"do": "fail", "message": "no flour"}')
    assert said.code == 1
    error = json.loads(said.out.splitlines()[-1])
    assert (error["kind"], error["message"]) == ("exception", "no flour")


def test_a_refusal_is_told_in_a_sentence(c_peer: Peer, server: ChildProcess) -> None:
    said = c_peer.run('{"do": ')
    assert said.code == 1
    assert said.errors.startswith('"malformed": ')


def test_two_at_a_time_hear_only_of_their_own(c_peer: Peer, server: ChildProcess) -> None:
    peers = [c_peer.start(json.dumps({"do": "count", "steps": n})) for n in (2, 3)]
    said = [peer.output().splitlines() for peer in peers]
    assert [len(lines) for lines in said] == [7, 8]
    assert [lines[-1] for lines in said] == ["2", "3"]


def test_a_server_that_dies_is_missed(
    c_peer: Peer, server: ChildProcess, either_place: Place
) -> None:
    either_place.leaves_socket_files = True
    peer = c_peer.start('{"do": "sleep"}')
    peer.read_until("3 null")
    server.kill()
    assert "no reply within" in peer.output()
    assert peer.returncode == 1
