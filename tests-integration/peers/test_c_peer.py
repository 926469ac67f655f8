"""The client in one C file, with libzmq and without a JSON library, with a real server."""

from __future__ import annotations

import json

import pytest
from peer_process import Peer
from places import ChildProcess, Place


@pytest.fixture
def server(either_place: Place) -> ChildProcess:
    """A server that is ready."""
    server = either_place.serve("Workshop")
    either_place.attach(server)
    return server


def test_client_pings_submits_waits_and_prints(c_peer: Peer, server: ChildProcess) -> None:
    output = c_peer.run('{"do": "count", "steps": 2}')
    assert (output.code, output.errors) == (0, "")
    assert output.out.splitlines() == [
        'server "Workshop"',
        '1 "queued"',
        '2 "running"',
        "3 50.0",
        "4 100.0",
        '5 "complete"',
        "2",
    ]


def test_fields_are_found_among_others_of_the_same_name(c_peer: Peer, server: ChildProcess) -> None:
    decoy = {"status": '"complete" }{ \\', "execution": [{"status": "failed"}], "result": None}
    output = c_peer.run(json.dumps({"do": "echo", "value": decoy}))
    assert output.code == 0, output.errors
    assert json.loads(output.out.splitlines()[-1]) == decoy

    output = c_peer.run(
        json.dumps({"do": "report", "data": decoy, "message": '"status": "failed"'})
    )
    assert output.code == 0, output.errors
    assert output.out.splitlines()[-3:] == ["3 null", '4 "complete"', "null"]


def test_output_of_a_failed_execution_contains_its_error(
    c_peer: Peer, server: ChildProcess
) -> None:
    output = c_peer.run('{"do": "fail", "message": "no flour"}')
    assert output.code == 1
    error = json.loads(output.out.splitlines()[-1])
    assert (error["kind"], error["message"]) == ("exception", "no flour")


def test_rejected_request_is_reported_in_one_line(c_peer: Peer, server: ChildProcess) -> None:
    output = c_peer.run('{"do": ')
    assert output.code == 1
    assert output.errors.startswith('"malformed": ')


def test_two_clients_receive_only_events_of_their_own_executions(
    c_peer: Peer, server: ChildProcess
) -> None:
    peers = [c_peer.start(json.dumps({"do": "count", "steps": n})) for n in (2, 3)]
    outputs = [peer.output().splitlines() for peer in peers]
    assert [len(lines) for lines in outputs] == [7, 8]
    assert [lines[-1] for lines in outputs] == ["2", "3"]


def test_client_times_out_after_the_end_of_its_server(
    c_peer: Peer, server: ChildProcess, either_place: Place
) -> None:
    either_place.leaves_socket_files = True
    peer = c_peer.start('{"do": "sleep"}')
    peer.read_until("3 null")
    server.kill()
    assert "no reply within" in peer.output()
    assert peer.returncode == 1
