"""Ctrl-C and SIGTERM, once and repeated; the owner process; signal handlers."""

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
    """Start a server process with a given behaviour, and wait until it serves."""

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
def test_single_signal_stops_a_server(
    start_server: StartServer, config: ZMQConfig, signum: signal.Signals
) -> None:
    process = start_server()
    process.send_signal(signum)
    assert_ended_cleanly(process, config)


@posix
@pytest.mark.parametrize("first", [INT, TERM])
@pytest.mark.parametrize("second", [INT, TERM])
def test_second_signal_aborts_a_slow_server(
    start_server: StartServer, config: ZMQConfig, first: signal.Signals, second: signal.Signals
) -> None:
    process = start_server("stubborn")
    process.send_signal(first)
    assert process.stdout is not None
    assert process.stdout.readline() == "stop requested\n"
    process.send_signal(second)
    assert_ended_cleanly(process, config)


@posix
def test_two_simultaneous_signals_stop_a_server_cleanly(
    start_server: StartServer, config: ZMQConfig
) -> None:
    process = start_server()
    process.send_signal(signal.SIGSTOP)
    process.send_signal(INT)
    process.send_signal(TERM)
    process.send_signal(signal.SIGCONT)
    assert_ended_cleanly(process, config)


@posix
def test_signal_does_not_drop_pending_replies(
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


def test_server_stops_when_its_owner_is_killed(
    start_server: StartServer, start_process: StartProcess, config: ZMQConfig
) -> None:
    owner = start_process("-c", "input()")
    process = start_server(owner=ProcessIdentity.of(owner.pid))
    owner.kill()
    assert_ended_cleanly(process, config)


def test_server_with_an_ended_owner_stops_immediately(
    start_process: StartProcess, config: ZMQConfig
) -> None:
    owner = start_process("-c", "input()")
    identity = ProcessIdentity.of(owner.pid)
    owner.kill()
    owner.wait(PATIENCE_SECONDS)
    successor = ProcessIdentity(os.getpid(), ProcessIdentity.current().create_time - 60)
    for ended in (identity, successor):
        server = ZMQServer(config=config)
        server.serve_forever(owner=ended)
        assert not server.running


def test_server_runs_while_its_owner_runs(
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
    """A SIGINT handler of the program, which appends to the list."""
    noted: list[int] = []
    handlers = {s: signal.signal(s, lambda signum, _: noted.append(signum)) for s in (INT, TERM)}
    yield noted
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def test_signal_handlers_are_restored_afterwards(before: list[int]) -> None:
    ended: list[str] = []
    with call_on_stop_signals(lambda: ended.append("end")):
        pass
    signal.raise_signal(INT)
    assert (before, ended) == ([INT], [])


def test_repeated_signal_after_the_end_is_ignored_for_a_moment_only(
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


def test_signal_before_the_server_runs_is_not_lost(config: ZMQConfig) -> None:
    class Interrupted(ZMQServer):
        def start(self) -> None:
            signal.raise_signal(INT)
            super().start()

    server = Interrupted(config=config)
    server.serve_forever()
    assert not server.running
    signal.signal(INT, signal.default_int_handler)


def test_server_in_another_thread_installs_no_signal_handlers(config: ZMQConfig) -> None:
    handler = signal.getsignal(INT)
    with OpenServer(config=config) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        assert signal.getsignal(INT) is handler
        server.stop()
        serving.join(PATIENCE_SECONDS)
    eventually(lambda: not serving.is_alive())


def test_handler_in_c_is_replaced_by_the_default(
    before: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_handler = signal.signal
    monkeypatch.setattr(signal, "signal", lambda signum, to: set_handler(signum, to) and None)
    with call_on_stop_signals(lambda: None):
        pass
    assert signal.getsignal(INT) is signal.SIG_DFL
