"""The client in TypeScript, generated from the schemas, with a real server.

It validates every reply and event against the schemas with ajv, and fails if one is invalid.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from peer_process import Peer
from places import ChildProcess, Place
from waiting import PATIENCE

from zmqruntime.messages import ExecutionStatus, JsonValue
from zmqruntime.testing import FaultProxy, Lane

SLEEP = '{"do": "sleep"}'


@pytest.fixture
def server(either_place: Place) -> ChildProcess:
    """A server that is ready."""
    server = either_place.serve("Workshop")
    either_place.attach(server)
    return server


def test_ping_prints_the_pong(node_peer: Peer, server: ChildProcess, either_place: Place) -> None:
    output = node_peer.run("ping")
    assert (output.code, output.errors) == (0, "")
    pong = json.loads(output.out)
    assert (pong["type"], pong["server"]) == ("pong", "Workshop")
    assert pong["port"] == either_place.config.default_port


def test_submit_shows_progress_and_result(node_peer: Peer, server: ChildProcess) -> None:
    output = node_peer.run("submit", '{"do": "count", "steps": 4}')
    assert (output.code, output.out) == (0, "4\n")
    states = [line for line in output.errors.splitlines() if not line.startswith("[")]
    assert states == ["queued", "running", "complete"]
    steps = re.findall(r"\[#+-*\] +(\d+) %  count  (step \d)", output.errors)
    assert steps == [("25", "step 1"), ("50", "step 2"), ("75", "step 3"), ("100", "step 4")]


def test_progress_bar_on_a_terminal_is_one_line_that_grows(
    node_peer: Peer, server: ChildProcess
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*node_peer.program, *node_peer.options, "submit", '{"do": "count", "steps": 2}'],
        env=os.environ | node_peer.place.environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        assert process.wait(PATIENCE) == 0
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # On Linux, the end of a terminal.
        pass
    os.close(ours)
    lines = shown.decode().split("\r\x1b[2K")
    assert lines[0] == ""
    assert [line[:5] for line in lines[1:]] == ["queue", "runni", "[####", "[####", "compl"]
    assert shown.count(b"\n") == 1


def test_json_value_is_returned_unchanged(node_peer: Peer, server: ChildProcess) -> None:
    value: dict[str, JsonValue] = {"ä": [1, 2.5, None, True, "\u2028", {"deep": [[]]}]}
    output = node_peer.run("submit", json.dumps({"do": "echo", "value": value}))
    assert output.code == 0, output.errors
    assert json.loads(output.out) == value


def test_cancel_of_another_clients_execution(node_peer: Peer, server: ChildProcess) -> None:
    submitter = node_peer.start("submit", SLEEP, "--execution-id=long")
    submitter.read_until("begun")

    status = json.loads(node_peer.run("status", "long").out)
    assert (status["status"], status["progress"]["phase"]) == ("running", "begun")
    snapshot = json.loads(node_peer.run("status").out)
    assert [entry["execution_id"] for entry in snapshot["running_executions"]] == ["long"]

    output = node_peer.run("cancel", "long")
    assert (output.code, output.out) == (0, '"running"\n')
    assert "execution long is cancelled" in submitter.output()
    assert submitter.returncode == 1


def test_ctrl_c_cancels_the_submitted_execution(
    node_peer: Peer, server: ChildProcess, either_place: Place
) -> None:
    submitter = node_peer.start("submit", SLEEP, "--execution-id=long")
    submitter.read_until("begun")
    submitter.send_signal(signal.SIGINT)
    assert "execution long is cancelled" in submitter.output()
    assert submitter.returncode == 1
    record = either_place.client().get_record("long")
    assert record.status is ExecutionStatus.CANCELLED


def test_output_of_a_failed_execution_contains_its_error(
    node_peer: Peer, server: ChildProcess
) -> None:
    output = node_peer.run(
        "submit", '{"do": "fail", "message": "no flour"}', "--execution-id=bread"
    )
    assert (output.code, output.out) == (1, "")
    assert output.errors.endswith("failed: no flour\nexecution bread is failed: no flour\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status", "unknown"], "unknown_execution"),
        (["cancel", "unknown"], "unknown_execution"),
        (["cancel", "no name"], "invalid_request"),
        (["submit", SLEEP, "--client-id=no/name"], "invalid_request"),
    ],
)
def test_rejected_request_is_reported_in_one_line(
    arguments: list[str], code: str, node_peer: Peer, server: ChildProcess
) -> None:
    output = node_peer.run(*arguments)
    assert (output.code, output.out) == (1, "")
    assert re.fullmatch(rf"\w.+ \({code}\)\n", output.errors)


def test_execution_id_identifies_one_task(node_peer: Peer, server: ChildProcess) -> None:
    again = ["--execution-id=one", "--client-id=me"]
    assert node_peer.run("submit", '{"do": "echo", "value": 1}', *again).out == "1\n"
    assert node_peer.run("submit", '{"do": "echo", "value": 1}', *again).out == "1\n"
    output = node_peer.run("submit", '{"do": "echo", "value": 2}', *again)
    assert (output.code, output.out) == (1, "")
    assert "(conflict)" in output.errors


def test_lost_replies_are_requested_again_on_fresh_sockets_and_the_task_runs_once(
    node_peer: Peer, server: ChildProcess, either_place: Place
) -> None:
    with FaultProxy(either_place) as proxy:
        proxy.drop(Lane.REPLIES, type="accepted")
        proxy.drop(Lane.REPLIES, nth=2, type="ok")  # To the registration and to its end.
        endpoint = proxy.endpoint
        addresses = [f"--control={endpoint.control_address}", f"--data={endpoint.data_address}"]
        output = node_peer.run("submit", '{"do": "describe"}', *addresses, "--timeout=4")
    assert output.code == 0, output.errors
    assert json.loads(output.out)["calls"] == 1
    counts = either_place.client().poll_status().counts
    assert counts[ExecutionStatus.COMPLETE] == 1


def test_shutdown_request_ends_the_server(node_peer: Peer, server: ChildProcess) -> None:
    output = node_peer.run("shutdown")
    assert (output.code, output.out, output.errors) == (0, "", "")
    log = server.output()
    assert server.returncode == 0, log


def test_ping_without_a_server_times_out(node_peer: Peer) -> None:
    output = node_peer.run("ping", "--timeout=0.2", "--tries=2")
    assert (output.code, output.out) == (1, "")
    assert re.fullmatch(r"no reply from .+ after 2 attempts: .+\n", output.errors)


def test_end_of_the_server_is_detected_before_a_held_reply_is_due(
    node_peer: Peer, server: ChildProcess, either_place: Place
) -> None:
    either_place.leaves_socket_files = True
    submitter = node_peer.start("submit", SLEEP, "--timeout=4")
    submitter.read_until("begun")
    server.kill()
    assert "no reply from" in submitter.output()
    assert submitter.returncode == 1


def test_messages_that_violate_the_schema_are_rejected(
    node_peer: Peer, server: ChildProcess, schemas: Path, tmp_path: Path
) -> None:
    wrong = shutil.copytree(schemas, tmp_path / "wrong")
    reply = json.loads((wrong / "reply.json").read_text(encoding="utf-8"))
    reply["$defs"]["PongReply"]["properties"]["ready"]["type"] = "string"
    (wrong / "reply.json").write_text(json.dumps(reply), encoding="utf-8")
    event = json.loads((wrong / "event.json").read_text(encoding="utf-8"))
    event["$defs"]["StateEvent"]["required"].append("colour")
    (wrong / "event.json").write_text(json.dumps(event), encoding="utf-8")

    strict = Peer(node_peer.program, [*node_peer.options, f"--schemas={wrong}"], node_peer.place)
    assert "reply/ready must be string" in strict.run("ping").errors
    assert "must have required property 'colour'" in strict.run("submit", '{"do": "echo"}').errors


def test_quickstart_program_of_the_docs_works(
    node: str, node_project: Path, server: ChildProcess, either_place: Place
) -> None:
    endpoint = either_place.endpoint
    program = [node, str(node_project / "dist" / "src" / "quickstart.js")]
    peer = Peer(program, [endpoint.control_address, endpoint.data_address], either_place)
    output = peer.run('{"do": "count", "steps": 2}')
    assert (output.code, output.errors) == (0, "")
    lines = output.out.splitlines()
    assert [lines[n] for n in (0, 1, 4, 5)] == ["queued", "running", "complete", "2"]
    assert lines[2:4] == [
        "[############------------]  50 %  count  step 1",
        "[########################] 100 %  count  step 2",
    ]


def test_generated_types_match_the_schemas(node: str, node_project: Path, schemas: Path) -> None:
    checked = subprocess.run(
        [node, "scripts/make-types.mjs", "--check", str(schemas)],
        cwd=node_project,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_lock_file_contains_no_registry(node_project: Path) -> None:
    lock = json.loads((node_project / "package-lock.json").read_text(encoding="utf-8"))
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all(package["integrity"] for package in packages)
    assert not [package for package in packages if "resolved" in package]
