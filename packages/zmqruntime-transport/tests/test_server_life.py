"""Start and stop of servers: addresses, files, logs, and cleanup."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import re
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import psutil
import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, OpenServer, RawPeer, eventually

from zmqruntime.messages import JsonObject, ShutdownMode
from zmqruntime.transport import (
    AddressInUse,
    Endpoint,
    EndpointError,
    ServerSession,
    TransportMode,
    UnsafePath,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.socket_poller import SocketPoller

IPC, TCP = TransportMode.IPC, TransportMode.TCP

ipc = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no socket files there")

BareContext = zmq.Context[zmq.Socket[bytes]]


def pings(context: BareContext, endpoint: Endpoint) -> bool:
    peer = RawPeer(context, zmq.REQ, endpoint.control_address)
    answered: bool = peer.ask({"type": "ping"})["type"] == "pong"
    peer.socket.close()
    return answered


@pytest.fixture
def foreign_listener(endpoint: Endpoint) -> Iterator[socket.socket]:
    """A foreign program that listens at the path of the control socket."""
    endpoint.directory.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(endpoint.control_path))
        listener.listen()
        yield listener


# -- from start to stop ----------------------------------------------------------------------


def test_server_opens_nothing_before_its_start(config: ZMQConfig, runtime_dir: Path) -> None:
    threads = threading.active_count()
    server = ZMQServer(config=config, log_file_path=runtime_dir / "log")
    assert not server.running
    assert not list(runtime_dir.iterdir())
    assert threading.active_count() == threads
    server.stop()


def test_server_serves_between_start_and_stop(config: ZMQConfig, context: BareContext) -> None:
    server = ZMQServer(config=config)
    server.start()
    assert server.running
    assert pings(context, server.endpoint)
    server.stop()
    assert not server.running


def test_server_is_a_context_manager(config: ZMQConfig, context: BareContext) -> None:
    with ZMQServer(config=config) as server:
        assert pings(context, server.endpoint)
    assert not server.running


def test_running_server_is_not_started_again_as_context_manager(
    config: ZMQConfig,
) -> None:
    server = ZMQServer(config=config)
    server.start()
    with server:
        assert server.running
    assert not server.running


def test_server_is_started_once_and_stopped_any_number_of_times(config: ZMQConfig) -> None:
    server = ZMQServer(config=config)
    server.start()
    with pytest.raises(RuntimeError, match="was started already"):
        server.start()
    assert server.running
    server.stop()
    server.stop()


def test_server_that_was_stopped_can_be_started_again(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)
    for _ in range(3):
        with server:
            assert pings(context, server.endpoint)


def test_two_threads_may_stop_a_server(config: ZMQConfig) -> None:
    server = ZMQServer(config=config, log_file_path=os.devnull)
    server.start()
    stoppers = [threading.Thread(target=server.stop) for _ in range(4)]
    for stopper in stoppers:
        stopper.start()
    for stopper in stoppers:
        stopper.join(PATIENCE_SECONDS)
    assert not server.running


def test_server_may_stop_itself(config: ZMQConfig, context: BareContext) -> None:
    class Quitter(ZMQServer):
        def describe(self) -> JsonObject:
            self.stop()
            return {"last": "words"}

    with Quitter(config=config) as server:
        peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
        assert peer.ask({"type": "ping"})["details"] == {"last": "words"}
        eventually(lambda: not server.running)


def test_stop_leaves_no_thread_no_handle_and_no_socket_file(
    config: ZMQConfig, runtime_dir: Path, context: BareContext
) -> None:
    me = psutil.Process()
    with ZMQServer(config=config) as server:
        pings(context, server.endpoint)
    threads, handles = me.num_threads(), me.num_fds() if hasattr(me, "num_fds") else 0
    for _ in range(5):
        with ZMQServer(config=config):
            pass
    eventually(lambda: me.num_threads() <= threads)
    assert (me.num_fds() if hasattr(me, "num_fds") else 0) <= handles
    assert not list(runtime_dir.glob("*.sock"))


def test_shutdown_request_is_acknowledged_and_ends_the_server(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)
    server.start()
    peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
    reply = peer.ask({"type": "shutdown", "mode": "now", "request_id": "bye"})
    assert (reply["type"], reply["mode"], reply["request_id"]) == ("shutdown_ack", "now", "bye")
    server.serve_forever()
    assert not server.running


def test_server_that_exceeds_the_stop_timeout_is_aborted(config: ZMQConfig) -> None:
    class Stubborn(OpenServer):
        def make_session(self) -> ServerSession:
            session = super().make_session()
            setattr(session, "shut_down", lambda mode: None)  # noqa: B010 - for one object
            return session

    server = Stubborn(config=config)
    server.start()
    server.stop(timeout=0.05)
    assert not server.running
    assert not list(server.endpoint.directory.glob("*.sock"))


def test_serve_forever_starts_a_server_and_returns_when_it_was_stopped(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    eventually(lambda: server.running)
    assert pings(context, server.endpoint)
    server.stop()
    serving.join(PATIENCE_SECONDS)
    assert not serving.is_alive()


def test_serve_forever_raises_the_error_that_ended_the_server(
    config: ZMQConfig, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ArithmeticError("a callback failed")

    with OpenServer(config=config) as server:
        server.session.loop.post(fail)
        with pytest.raises(ArithmeticError, match="a callback failed"):
            server.serve_forever()
    assert f"the server on {server.endpoint} failed" in caplog.text
    assert not list(server.endpoint.directory.glob("*.sock"))


@pytest.mark.parametrize("step", ["on_start", "on_close"])
def test_failing_seam_of_a_derived_session_ends_the_server(
    config: ZMQConfig, runtime_dir: Path, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    def fail() -> None:
        raise ArithmeticError(step)

    class BrokenServer(OpenServer):
        def make_session(self) -> ServerSession:
            session = super().make_session()
            setattr(session, step, fail)
            return session

    server = BrokenServer(config=config)
    server.start()
    server.session.loop.post(lambda: server.session.shut_down(ShutdownMode.NOW))
    with pytest.raises(ArithmeticError, match=step):
        server.serve_forever()
    assert not server.running
    assert "failed" in caplog.text
    assert not list(runtime_dir.glob("*.sock"))


def test_pickled_server_was_never_started(server: OpenServer) -> None:
    plain = ZMQServer(config=server.config, log_file_path=os.devnull)
    with pytest.raises(AddressInUse):
        plain.start()
    server.stop()
    with plain:
        copy = pickle.loads(pickle.dumps(plain))
        assert copy.endpoint == plain.endpoint
        assert not copy.running
        copy.stop()
        assert plain.running


# -- the log file ----------------------------------------------------------------------------


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The project's logger without a level, restored after the test."""
    logger = logging.getLogger("zmqruntime")
    level = logger.level
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(level)


def test_log_records_of_a_server_are_appended_to_its_log_file(
    config: ZMQConfig, runtime_dir: Path, context: BareContext
) -> None:
    log = runtime_dir / "server.log"
    log.write_text("from before\n")
    logger = logging.getLogger("zmqruntime")
    level, handlers = logger.level, list(logger.handlers)
    with ZMQServer(config=config, log_file_path=log) as server:
        peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
        assert peer.ask({"type": "ping"})["log_file_path"] == str(log)
    lines = log.read_text().splitlines()
    assert lines[0] == "from before"
    assert lines[1].endswith(f"INFO zmqruntime.server: ZMQServer serves on {server.endpoint}")
    assert (logger.level, logger.handlers) == (level, handlers)


def test_logger_is_restored_after_the_last_log_file_is_closed(
    config: ZMQConfig, runtime_dir: Path, logger: logging.Logger
) -> None:
    first = ZMQServer(config=config, log_file_path=runtime_dir / "first.log")
    second = ZMQServer(config.default_port - 1, config=config, log_file_path=runtime_dir / "2.log")
    first.start()
    second.start()
    first.stop()
    assert logger.isEnabledFor(logging.INFO)
    second.stop()
    assert logger.level == logging.NOTSET
    assert not logger.handlers


def test_log_level_of_the_application_stays(
    config: ZMQConfig, runtime_dir: Path, logger: logging.Logger
) -> None:
    logger.setLevel(logging.ERROR)
    with ZMQServer(config=config, log_file_path=runtime_dir / "server.log"):
        assert logger.level == logging.ERROR
    assert logger.level == logging.ERROR
    assert (runtime_dir / "server.log").read_text() == ""


@pytest.mark.parametrize("place", ["nowhere/server.log", "."])
def test_unwritable_log_file_is_an_error_before_anything_is_bound(
    config: ZMQConfig, runtime_dir: Path, place: str
) -> None:
    log = runtime_dir / place
    server = ZMQServer(config=config, log_file_path=log)
    with pytest.raises(EndpointError, match=re.escape(f"the log file {log} cannot be written: ")):
        server.start()
    assert not list(runtime_dir.iterdir())


# -- the directory of the socket files -------------------------------------------------------


@ipc
def test_socket_files_live_in_a_directory_that_only_its_owner_can_enter(
    runtime_dir: Path,
) -> None:
    directory = runtime_dir / "deep" / "down"
    with ZMQServer(config=ZMQConfig(runtime_dir=directory), transport_mode=IPC) as server:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert server.endpoint.data_path.is_socket()
        assert server.endpoint.control_path.is_socket()


@ipc
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o710, 0o701, 0o777])
def test_directory_that_others_can_enter_is_refused_with_the_remedy(
    config: ZMQConfig, runtime_dir: Path, mode: int
) -> None:
    runtime_dir.chmod(mode)
    with pytest.raises(EndpointError, match=r": set runtime_dir \(--runtime-dir\) to .* own, or"):
        ZMQServer(config=config, transport_mode=IPC).start()
    assert not list(runtime_dir.iterdir())


@ipc
@pytest.mark.skipif(sys.platform != "linux", reason="XDG directories are Linux's")
def test_chmod_is_recommended_for_default_directories_only(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A chmod of /tmp or a shared directory would lock others out.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir))
    for name, command in (("lab", True), ("tmp/lab", False)):
        directory = runtime_dir / name
        directory.mkdir(parents=True)
        directory.chmod(0o1777)
        config = ZMQConfig(app_name="lab", runtime_dir=directory)
        with pytest.raises(EndpointError, match="others can enter") as caught:
            ZMQServer(config=config, transport_mode=IPC).start()
        assert (f"run 'chmod 700 {directory}'" in str(caught.value)) is command


@ipc
def test_directory_of_another_user_is_refused(
    config: ZMQConfig, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(EndpointError, match=f"belongs to user {os.getuid()}: set runtime_dir"):
        ZMQServer(config=config, transport_mode=IPC).start()


@ipc
def test_link_to_a_directory_is_refused(runtime_dir: Path) -> None:
    (runtime_dir / "real").mkdir(mode=0o700)
    link = runtime_dir / "link"
    link.symlink_to("real")
    with pytest.raises(EndpointError, match=f"{link} is not a directory, but a symbolic link"):
        ZMQServer(config=ZMQConfig(runtime_dir=link), transport_mode=IPC).start()


@ipc
def test_file_in_place_of_the_directory_is_refused(runtime_dir: Path) -> None:
    in_the_way = runtime_dir / "file"
    in_the_way.write_text("mine")
    with pytest.raises(EndpointError, match=f"{in_the_way} is not a directory"):
        ZMQServer(config=ZMQConfig(runtime_dir=in_the_way), transport_mode=IPC).start()
    with pytest.raises(EndpointError, match="cannot be made"):
        ZMQServer(config=ZMQConfig(runtime_dir=in_the_way / "x"), transport_mode=IPC).start()
    assert in_the_way.read_text() == "mine"


# -- files at the path of a socket file -----------------------------------------------------


@ipc
@pytest.mark.parametrize("which", ["data_path", "control_path"])
@pytest.mark.parametrize("kind", ["file", "link to a file", "dangling link", "directory"])
def test_file_that_is_no_socket_is_not_removed(
    config: ZMQConfig, endpoint: Endpoint, runtime_dir: Path, which: str, kind: str
) -> None:
    path: Path = getattr(endpoint, which)
    target = runtime_dir / "target"
    match kind:
        case "file":
            path.write_text("mine")
        case "link to a file":
            target.write_text("mine")
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
        case "directory":
            path.mkdir()
    before = path.lstat()
    with pytest.raises(EndpointError, match=f"{path} exists and is no socket: move it"):
        ZMQServer(config=config).start()
    assert path.lstat() == before


@ipc
def test_socket_files_of_a_server_that_was_killed_are_replaced(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext
) -> None:
    for path in (endpoint.data_path, endpoint.control_path):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with ZMQServer(config=config) as server:
        assert pings(context, server.endpoint)


@ipc
def test_live_listener_is_never_touched(
    config: ZMQConfig, endpoint: Endpoint, foreign_listener: socket.socket
) -> None:
    before = endpoint.control_path.lstat()
    with pytest.raises(AddressInUse, match=f"port {endpoint.control_port} .ipc. is held by"):
        ZMQServer(config=config).start()
    assert endpoint.control_path.lstat() == before
    assert not endpoint.data_path.exists()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(endpoint.control_path))


@ipc
def test_listener_with_a_full_backlog_is_a_listener(config: ZMQConfig, endpoint: Endpoint) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(endpoint.data_path))
        listener.listen(0)
        waiting = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            waiting.append(client)
            try:
                client.connect(str(endpoint.data_path))
            except BlockingIOError:
                break
        with pytest.raises(AddressInUse):
            ZMQServer(config=config).start()
        for client in waiting:
            client.close()


@ipc
@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="no /proc/net/unix")
def test_process_that_holds_a_socket_file_is_named(
    config: ZMQConfig, foreign_listener: socket.socket
) -> None:
    with pytest.raises(AddressInUse, match=rf"is held by process {os.getpid()} \(.+\): stop it"):
        ZMQServer(config=config).start()


@ipc
def test_unknown_holder_is_named_another_process(
    config: ZMQConfig, foreign_listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", deny)
    with pytest.raises(AddressInUse, match="is held by another process: stop it"):
        ZMQServer(config=config).start()


@ipc
def test_socket_file_that_cannot_be_probed_is_not_removed(
    config: ZMQConfig, foreign_listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(self: socket.socket, address: str) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(socket.socket, "connect", deny)
    with pytest.raises(EndpointError, match="cannot be probed for a server: not yours"):
        ZMQServer(config=config).start()


def test_second_server_on_a_port_is_refused_and_the_first_continues(
    server: OpenServer, context: BareContext
) -> None:
    for _ in range(2):
        with pytest.raises(AddressInUse, match="choose another port"):
            ZMQServer(config=server.config).start()
    assert pings(context, server.endpoint)


def test_data_port_that_is_the_control_port_of_another_server_is_refused(
    server: OpenServer, context: BareContext
) -> None:
    for port in (
        server.port + server.config.control_port_offset,
        server.port - server.config.control_port_offset,
    ):
        if port > 0:
            with pytest.raises(AddressInUse):
                ZMQServer(port, config=server.config).start()
    assert pings(context, server.endpoint)


@ipc
def test_path_locked_by_a_starting_server_is_refused(config: ZMQConfig, endpoint: Endpoint) -> None:
    for path in endpoint.serve_lock_paths:
        with filelock.FileLock(path), pytest.raises(AddressInUse):
            ZMQServer(config=config).start()
    with ZMQServer(config=config):
        pass


def test_refused_server_can_be_started_when_the_port_is_free(server: OpenServer) -> None:
    second = ZMQServer(config=server.config)
    with pytest.raises(AddressInUse):
        second.start()
    server.stop()
    with second:
        assert second.running


# -- tcp --------------------------------------------------------------------------------------


def listening_addresses(ports: tuple[int, int]) -> set[str]:
    return {
        connection.laddr.ip
        for connection in psutil.Process().net_connections("tcp")
        if connection.laddr.port in ports and connection.status == psutil.CONN_LISTEN
    }


def test_tcp_server_binds_to_loopback_by_default(
    config: ZMQConfig, tcp_ports: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    with ZMQServer(config=config, transport_mode=TCP):
        assert listening_addresses(tcp_ports) == {"127.0.0.1"}
    assert not caplog.records


@pytest.mark.parametrize("host", ["0.0.0.0", "*"])
def test_server_on_the_network_warns_once_of_missing_authentication(
    config: ZMQConfig, tcp_ports: tuple[int, int], caplog: pytest.LogCaptureFixture, host: str
) -> None:
    with ZMQServer(config=config, host=host):
        assert listening_addresses(tcp_ports) == {"0.0.0.0"}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "neither encrypted nor authenticated" in record.getMessage()


@pytest.mark.parametrize("held", [0, 1])
def test_error_names_a_tcp_port_in_use_and_its_holder(
    config: ZMQConfig, tcp_ports: tuple[int, int], held: int, context: BareContext
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", tcp_ports[held]))
        listener.listen()
        with pytest.raises(AddressInUse) as caught:
            ZMQServer(config=config, transport_mode=TCP).start()
        assert f"port {tcp_ports[held]} (tcp) is held by" in str(caught.value)
        if Path("/proc/net/tcp").exists():
            assert f"process {os.getpid()} (" in str(caught.value)
    with ZMQServer(config=config, transport_mode=TCP) as server:
        assert pings(context, server.endpoint)


def test_foreign_address_is_an_endpoint_error(config: ZMQConfig) -> None:
    with pytest.raises(EndpointError, match=r"tcp://192\.0\.2\.1:\d+ cannot be bound"):
        ZMQServer(config=config, host="192.0.2.1").start()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_server_may_listen_on_ipv6(config: ZMQConfig, context: BareContext) -> None:
    with ZMQServer(config=config, host="::1") as server:
        context.ipv6 = True
        assert pings(context, server.endpoint)


def test_idle_server_does_not_wake_up(
    config: ZMQConfig, context: BareContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[float] = []

    class CountingPoller(SocketPoller):
        def poll(self, seconds: float) -> dict[Any, int]:
            polls.append(seconds)
            return super().poll(seconds)

    monkeypatch.setattr("zmqruntime.transport.loop.SocketPoller", CountingPoller)
    alarm = threading.Event()
    with OpenServer(config=config) as server:
        assert pings(context, server.endpoint)
        loop = server.session.loop
        server.in_loop(lambda: loop.call_at(time.monotonic() + 0.5, alarm.set))
        polls.clear()
        assert alarm.wait(PATIENCE_SECONDS)
        # One more poll, then the loop waits for its alarm.
        assert len(polls) <= 10, polls


def test_start_during_the_import_of_the_main_script_is_refused(
    config: ZMQConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(RuntimeError, match='under `if __name__ == "__main__":`'):
        ZMQServer(config=config).start()


def test_failure_is_set_before_log_handlers_run(config: ZMQConfig) -> None:
    noted: list[BaseException | None] = []

    class NotingHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            noted.append(server.session.failure)

    def fail() -> None:
        raise RuntimeError("a fault in the loop")

    handler = NotingHandler(logging.CRITICAL)
    with OpenServer(config=config) as server:
        logging.getLogger("zmqruntime.server").addHandler(handler)
        try:
            server.session.loop.post(fail)
            assert server.session.finished.wait(PATIENCE_SECONDS)
        finally:
            logging.getLogger("zmqruntime.server").removeHandler(handler)
    assert [str(error) for error in noted] == ["a fault in the loop"]


@ipc
def test_server_with_a_link_in_place_of_its_log_does_not_start(
    config: ZMQConfig, tmp_path: Path
) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "other")
    with pytest.raises(UnsafePath, match="log is a symbolic link"):
        ZMQServer(config=config, log_file_path=str(tmp_path / "log")).start()
    assert not (tmp_path / "other").exists()
