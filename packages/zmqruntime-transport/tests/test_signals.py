"""Ctrl-C and SIGTERM end a server process cleanly, however often they are sent."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, OpenServer, RawPeer, eventually

from zmqruntime.transport import Endpoint, ProcessIdentity, ServerArguments, ZMQConfig, ZMQServer
from zmqruntime.transport.process.signals import call_on_stop_signals

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

StartProcess = Callable[..., "subprocess.Popen[str]"]
StartServer = Callable[..., "subprocess.Popen[str]"]
BareContext = zmq.Context[zmq.Socket[bytes]]

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.fixture
def start_server(
    start_process: StartProcess, server_script: Path, endpoint: Endpoint, config: ZMQConfig
) -> StartServer:
    """Start a server process that acts as it is told, and wait until it serves."""

    def start(act: str = "serve", owner: ProcessIdentity | None = None) -> subprocess.Popen[str]:
        arguments = ServerArguments.for_endpoint(endpoint, config, owner=owner, log_file_path=None)
        process = start_process(server_script, f"--act={act}", *arguments.to_command_line())
        assert process.stdout is not None
        assert process.stdout.readline() == "serves\n"
        return process

    return start


def assert_ended_cleanly(process: subprocess.Popen[str], config: ZMQConfig) -> None:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("ended\n")
    assert config.runtime_dir is not None
    assert not list(config.runtime_dir.glob("*.sock"))


@posix
@pytest.mark.parametrize("signum", [INT, TERM])
def test_one_signal_ends_a_server(
    start_server: StartServer, config: ZMQConfig, signum: signal.Signals
) -> None:
    process = start_server()
    process.send_signal(signum)
    assert_ended_cleanly(process, config)


@posix
@pytest.mark.parametrize("first", [INT, TERM])
@pytest.mark.parametrize("second", [INT, TERM])
def test_a_second_signal_ends_a_server_that_takes_its_time(
    start_server: StartServer, config: ZMQConfig, first: signal.Signals, second: signal.Signals
) -> None:
    process = start_server("stubborn")
    process.send_signal(first)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked to end\n"
    process.send_signal(second)
    assert_ended_cleanly(process, config)


@posix
def test_two_signals_at_one_moment_end_a_server_as_cleanly(
    start_server: StartServer, config: ZMQConfig
) -> None:
    process = start_server()
    process.send_signal(signal.SIGSTOP)
    process.send_signal(INT)
    process.send_signal(TERM)
    process.send_signal(signal.SIGCONT)
    assert_ended_cleanly(process, config)


@posix
def test_a_signal_does_not_cut_off_the_replies_that_are_owed(
    start_server: StartServer, config: ZMQConfig, endpoint: Endpoint, context: BareContext
) -> None:
    process = start_server("unready")
    peer = RawPeer(context, zmq.DEALER, endpoint.control_address)
    peer.send({"type": "ping", "wait_seconds": 60, "request_id": "held"})
    peer.send({"type": "register_progress", "client_id": "alice", "request_id": "waits"})
    assert peer.ask({"type": "ping", "request_id": "now"})["request_id"] == "now"
    process.send_signal(TERM)
    assert {peer.receive()["request_id"] for _ in range(2)} == {"held", "waits"}
    assert_ended_cleanly(process, config)


# -- the owner ---------------------------------------------------------------------------------


def test_a_server_ends_when_its_owner_is_killed(
    start_server: StartServer, start_process: StartProcess, config: ZMQConfig
) -> None:
    owner = start_process("-c", "input()")
    process = start_server(owner=ProcessIdentity.of(owner.pid))
    owner.kill()
    assert_ended_cleanly(process, config)


def test_a_server_whose_owner_is_gone_already_ends_at_once(
    start_process: StartProcess, config: ZMQConfig
) -> None:
    owner = start_process("-c", "input()")
    identity = ProcessIdentity.of(owner.pid)
    owner.kill()
    owner.wait(PATIENCE_SECONDS)
    successor = ProcessIdentity(os.getpid(), ProcessIdentity.current().create_time - 60)
    for gone in (identity, successor):
        server = ZMQServer(config=config)
        server.serve_forever(owner=gone)
        assert not server.running


def test_a_server_serves_on_while_its_owner_lives(
    start_server: StartServer, start_process: StartProcess, endpoint: Endpoint, context: BareContext
) -> None:
    bystander = start_process("-c", "input()")
    process = start_server(owner=ProcessIdentity.current())
    bystander.kill()
    bystander.wait(PATIENCE_SECONDS)
    peer = RawPeer(context, zmq.REQ, endpoint.control_address)
    assert peer.ask({"type": "ping"})["type"] == "pong"
    assert process.poll() is None


# -- handlers in this process ----------------------------------------------------------------


@pytest.fixture
def before() -> Iterator[list[int]]:
    """What SIGINT does outside of a server; the list takes a note of each."""
    noted: list[int] = []
    handlers = {s: signal.signal(s, lambda signum, _: noted.append(signum)) for s in (INT, TERM)}
    yield noted
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def test_the_handlers_are_the_program_s_own_again_afterwards(before: list[int]) -> None:
    ended: list[str] = []
    with call_on_stop_signals(lambda: ended.append("end")):
        pass
    signal.raise_signal(INT)
    assert (before, ended) == ([INT], [])


def test_an_impatient_signal_after_the_end_is_swallowed_and_a_later_one_is_not(
    before: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("zmqruntime.transport.process.signals.time.monotonic", lambda: now)
    ended: list[str] = []
    with call_on_stop_signals(lambda: ended.append("end")):
        signal.raise_signal(INT)
    assert ended == ["end"]
    now = 101.0
    signal.raise_signal(INT)
    signal.raise_signal(TERM)
    assert before == []
    now = 103.0
    signal.raise_signal(INT)
    signal.raise_signal(TERM)
    assert before == [INT, TERM]
    assert ended == ["end"]


def test_a_signal_that_comes_before_the_server_serves_is_not_lost(config: ZMQConfig) -> None:
    class Interrupted(ZMQServer):
        def start(self) -> None:
            signal.raise_signal(INT)
            super().start()

    server = Interrupted(config=config)
    server.serve_forever()
    assert not server.running
    signal.signal(INT, signal.default_int_handler)


def test_a_server_in_another_thread_leaves_the_signals_alone(config: ZMQConfig) -> None:
    handler = signal.getsignal(INT)
    with OpenServer(config=config) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        assert signal.getsignal(INT) is handler
        server.stop()
        serving.join(PATIENCE_SECONDS)
    eventually(lambda: not serving.is_alive())


def test_a_handler_that_is_not_python_s_becomes_the_system_s(
    before: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_handler = signal.signal
    monkeypatch.setattr(signal, "signal", lambda signum, to: set_handler(signum, to) and None)
    with call_on_stop_signals(lambda: None):
        pass
    assert signal.getsignal(INT) is signal.SIG_DFL
