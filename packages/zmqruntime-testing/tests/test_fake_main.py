"""``python -m zmqruntime.testing.fake``: standard tasks, for clients in any language."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from zmqruntime.testing.endpoint import candidate_ports
from zmqruntime.testing.fake.__main__ import main
from zmqruntime.transport import TransportMode, ZMQConfig

PATIENCE_MS = 60_000


@pytest.fixture
def addresses(zmq_config: ZMQConfig) -> Iterator[tuple[str, str]]:
    """The printed addresses of a fake in a child process, which is stopped with the test."""
    for port in candidate_ports():
        command = [sys.executable, "-m", "zmqruntime.testing.fake", f"--port={port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                words = process.stdout.readline().split()
                if words:
                    assert words[::2] == ["control", "data"]
                    yield words[1], words[3]
                    return
            finally:
                process.terminate()


def test_foreign_peer_can_run_the_standard_tasks(addresses: tuple[str, str]) -> None:
    def request(**request: object) -> dict[str, Any]:
        control.send(json.dumps(request).encode())
        reply: dict[str, Any] = json.loads(control.recv())
        return reply

    def run(name: str, **task: object) -> dict[str, Any]:
        request(type="execute", client_id="peer", execution_id=name, task=task)
        record: dict[str, Any] = request(type="status", execution_id=name, wait_seconds=60)[
            "execution"
        ]
        return record

    context = zmq.Context()
    with context, context.socket(zmq.REQ) as control, context.socket(zmq.SUB) as data:
        control.linger = data.linger = 0
        control.rcvtimeo = data.rcvtimeo = PATIENCE_MS
        control.connect(addresses[0])
        data.connect(addresses[1])
        data.subscribe("peer/")
        assert request(type="register_progress", client_id="peer")["status"] == "ok"
        assert run("e", do="echo", value={"ä": 1})["result"] == {"ä": 1}
        failed = run("f", do="fail", message="no disk")
        assert (failed["status"], failed["error"]["message"]) == ("failed", "no disk")
        assert run("c", do="count", events=3)["result"] == 3
        request(type="execute", client_id="peer", execution_id="s", task={"do": "spin"})
        assert request(type="cancel", execution_id="s")["status"] == "ok"
        events: list[dict[str, Any]] = []
        while not events or (events[-1]["execution_id"], events[-1].get("status")) != (
            "s",
            "cancelled",
        ):
            events.append(json.loads(data.recv_multipart()[1]))
        assert [e["completed"] for e in events if e["type"] == "progress"] == [1, 2, 3]


def test_used_port_is_reported(
    zmq_config: ZMQConfig, fake_execution_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = fake_execution_server(transport_mode=TransportMode.TCP)
    assert main([f"--port={fake.port}"]) == 1
    assert "is held by" in capsys.readouterr().err
