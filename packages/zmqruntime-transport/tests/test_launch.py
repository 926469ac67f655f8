"""Launch: clients start exactly one server, which ends with its owner or persists."""

from __future__ import annotations

import gc
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import psutil
import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, OpenServer, RawPeer, eventually

from zmqruntime.messages import PongReply
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    LaunchedServer,
    LaunchFailed,
    NotConnected,
    ProcessIdentity,
    ServerLauncher,
    ServerLost,
    SubprocessLauncher,
    TransportMode,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.lowlevel import kill_process_tree

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

BareContext = zmq.Context[zmq.Socket[bytes]]
StartProcess = Callable[..., "subprocess.Popen[str]"]
MakeLauncher = Callable[..., SubprocessLauncher]


def identify(pong: PongReply) -> ProcessIdentity:
    return ProcessIdentity(pong.process.pid, pong.process.create_time)


def kill(server: ProcessIdentity) -> None:
    """Stop a launched server, and wait for its end."""
    if (process := server.find()) is not None:
        kill_process_tree(process)
    server.wait()


@pytest.fixture
def end_servers(config: ZMQConfig) -> Iterator[list[ProcessIdentity]]:
    """Persistent servers, which are stopped at the end of the test."""
    servers: list[ProcessIdentity] = []
    yield servers
    for server in servers:
        kill(server)


def read_log(config: ZMQConfig) -> str:
    assert config.log_dir is not None
    (log,) = config.log_dir.glob("*.log")
    return log.read_text()


# -- owned and persistent servers ------------------------------------------------------------


@pytest.mark.parametrize("mode", list(TransportMode))
def test_persistent_server_survives_its_client(
    config: ZMQConfig,
    make_launcher: MakeLauncher,
    end_servers: list[ProcessIdentity],
    mode: TransportMode,
) -> None:
    client = ZMQClient(config=config, transport_mode=mode, launcher=make_launcher())
    with client:
        first = client.ping()
    end_servers.append(identify(first))
    with client:
        assert client.ping().process == first.process
    with ZMQClient(config=config, transport_mode=mode) as another:
        assert another.ping().process == first.process
        another.shutdown_server()
    eventually(lambda: not identify(first).is_running())


def test_owned_server_ends_when_its_client_disconnects(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher(), persistent=False)
    servers = []
    for _ in range(2):
        server = identify(client.connect())
        assert server.is_running()
        client.disconnect()
        assert not server.is_running()
        servers.append(server)
    assert servers[0] != servers[1]
    assert config.runtime_dir is not None
    assert not list(config.runtime_dir.glob("*.sock"))


def test_owned_server_that_does_not_stop_is_killed(
    config: ZMQConfig, make_launcher: MakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.transport.client.connection._STOP_OWNED_SECONDS", 0.2)
    client = ZMQClient(config=config, launcher=make_launcher("stubborn"), persistent=False)
    server = identify(client.connect())
    client.disconnect()
    assert not server.is_running()


def test_disconnect_from_an_owned_server_that_has_ended_succeeds(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher(), persistent=False)
    server = identify(client.connect())
    kill(server)
    client.disconnect()
    assert not server.is_running()


def test_calls_raise_not_connected_while_an_owned_server_is_stopped(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher(), persistent=False)
    client.connect()
    ended: list[Exception] = []
    asking = threading.Event()

    def ask() -> None:
        try:
            while True:
                client.ping()
                asking.set()
        except (NotConnected, ServerLost) as error:
            ended.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert asking.wait(PATIENCE_SECONDS)
    client.disconnect()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [type(error) for error in ended] == [NotConnected] * 4


CLIENT = """\
import sys
from pathlib import Path
from zmqruntime.transport import SubprocessLauncher, ZMQClient, ZMQConfig
runtime_dir, port, offset, script, persistent = sys.argv[1:]
config = ZMQConfig(
    default_port=int(port), control_port_offset=int(offset),
    runtime_dir=Path(runtime_dir), log_dir=Path(runtime_dir, "log"),
)
launcher = SubprocessLauncher([sys.executable, script])
client = ZMQClient(config=config, launcher=launcher, persistent=persistent == "True")
print("ready", flush=True)
input()
process = client.connect().process
print(process.pid, repr(process.create_time), flush=True)
input()
client.disconnect()
"""


@pytest.fixture
def start_client(
    start_process: StartProcess, server_script: Path, config: ZMQConfig, runtime_dir: Path
) -> Callable[..., subprocess.Popen[str]]:
    """Start a client process that connects and disconnects, each after a line on stdin."""

    def start(*, persistent: bool) -> subprocess.Popen[str]:
        process = start_process(
            "-c",
            CLIENT,
            runtime_dir,
            config.default_port,
            config.control_port_offset,
            server_script,
            persistent,
        )
        assert read_line(process) == "ready"
        return process

    return start


StartClient = Callable[..., "subprocess.Popen[str]"]


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate(timeout=PATIENCE_SECONDS)
    return line


def send_line(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def read_identity(process: subprocess.Popen[str]) -> ProcessIdentity:
    pid, create_time = read_line(process).split()
    return ProcessIdentity(int(pid), float(create_time))


@pytest.mark.parametrize("persistent", [False, True])
def test_kill_of_the_client_ends_an_owned_server_only(
    config: ZMQConfig,
    start_client: StartClient,
    end_servers: list[ProcessIdentity],
    persistent: bool,
) -> None:
    owner = start_client(persistent=persistent)
    send_line(owner)
    server = read_identity(owner)
    end_servers.append(server)
    owner.kill()
    owner.wait(PATIENCE_SECONDS)
    if persistent:
        with ZMQClient(config=config) as client:
            assert identify(client.ping()) == server
    else:
        eventually(lambda: not server.is_running())
        assert config.runtime_dir is not None
        assert not list(config.runtime_dir.glob("*.sock"))


@posix
def test_ctrl_c_of_the_client_does_not_reach_its_server(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    with ZMQClient(config=config, launcher=make_launcher(), persistent=False) as client:
        pid = client.ping().process.pid
        assert os.getpgid(pid) == os.getsid(pid) == pid


# -- concurrent launches ---------------------------------------------------------------------


def test_concurrent_client_processes_launch_one_server(
    start_client: StartClient, end_servers: list[ProcessIdentity], config: ZMQConfig
) -> None:
    clients = [start_client(persistent=True) for _ in range(10)]
    for client in clients:
        send_line(client)
    servers = {read_identity(client) for client in clients}
    end_servers.extend(servers)
    assert len(servers) == 1
    assert config.log_dir is not None
    assert read_log(config).count("serves on") == 1


def test_concurrent_client_threads_launch_one_server(
    config: ZMQConfig, make_launcher: MakeLauncher, end_servers: list[ProcessIdentity]
) -> None:
    launched: list[LaunchedServer] = []

    class Counting(ServerLauncher):
        def launch(
            self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool
        ) -> LaunchedServer:
            launched.append(make_launcher().launch(endpoint, config, persistent=persistent))
            return launched[-1]

    start = threading.Barrier(10)
    pongs: list[PongReply] = []
    clients = [ZMQClient(config=config, launcher=Counting()) for _ in range(10)]

    def connect(client: ZMQClient) -> None:
        start.wait(PATIENCE_SECONDS)
        pongs.append(client.connect())

    threads = [threading.Thread(target=connect, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    for client in clients:
        client.disconnect()
    end_servers.extend(map(identify, pongs))
    assert len(launched) == 1
    assert len(pongs) == 10
    assert len({identify(pong) for pong in pongs}) == 1


def test_wait_for_the_launch_of_another_client_times_out(
    config: ZMQConfig, endpoint: Endpoint, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher())
    with (
        filelock.FileLock(endpoint.launch_lock_path),
        pytest.raises(ConnectionFailed, match="another client is still launching one"),
    ):
        client.connect(0.2)


def test_server_that_another_client_launched_meanwhile_is_attached_to(
    config: ZMQConfig, endpoint: Endpoint, make_launcher: MakeLauncher
) -> None:
    lock = filelock.FileLock(endpoint.launch_lock_path, thread_local=False)
    client = ZMQClient(config=config, launcher=make_launcher("exit"))
    pongs: list[PongReply] = []
    with lock:
        connecting = threading.Thread(target=lambda: pongs.append(client.connect()))
        connecting.start()
        server = OpenServer(config=config)
        server.start()
    connecting.join(PATIENCE_SECONDS)
    client.disconnect()
    server.stop()
    assert pongs[0].process.pid == os.getpid()


def test_launcher_is_not_used_while_a_server_is_running(server: OpenServer) -> None:
    class Never(ServerLauncher):
        def launch(
            self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool
        ) -> LaunchedServer:
            raise AssertionError("there is a server")

    with ZMQClient(config=server.config, launcher=Never()) as client:
        assert client.ping().ready


# -- failed launches -------------------------------------------------------------------------


def test_failed_launch_has_the_exit_code_and_the_end_of_the_log(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher("exit"))
    for _ in range(2):
        with pytest.raises(LaunchFailed) as caught:
            client.connect()
        error = caught.value
        assert error.exit_code == 3
        assert f"the server launched for {client.endpoint} ended with exit code 3" in str(error)
        # The output of this launch only, although launches share a log.
        assert str(error).count("no licence for this machine") == 1
        assert error.log_tail.endswith("no licence for this machine")
    assert not client.connected


@posix
def test_failed_launch_names_the_signal(config: ZMQConfig, make_launcher: MakeLauncher) -> None:
    with pytest.raises(LaunchFailed, match="ended with signal SIGABRT") as caught:
        ZMQClient(config=config, launcher=make_launcher("abort")).connect()
    assert caught.value.exit_code == -signal.SIGABRT
    assert "about to abort" in caught.value.log_tail


@pytest.mark.parametrize(("act", "says"), [("hang", "never listens"), ("unready", "serves on")])
def test_launched_server_that_does_not_get_ready_is_killed(
    config: ZMQConfig, make_launcher: MakeLauncher, act: str, says: str
) -> None:
    class UntilItSpeaks(ServerLauncher):
        def launch(
            self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool
        ) -> LaunchedServer:
            server = make_launcher(act).launch(endpoint, config, persistent=persistent)
            eventually(lambda: says in server.log_tail())
            return server

    def children() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    before = children()
    with pytest.raises(LaunchFailed, match="was not ready in time and was killed") as caught:
        ZMQClient(config=config, launcher=UntilItSpeaks()).connect(1)
    assert caught.value.exit_code is None
    assert says in caught.value.log_tail
    assert children() == before


def test_interrupted_launch_leaves_no_server(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    launched: list[LaunchedServer] = []

    class Interrupted(LaunchedServer):
        def __init__(self, server: LaunchedServer) -> None:
            self.server = server
            launched.append(server)

        def exit_code(self) -> int | None:
            raise KeyboardInterrupt

        def wait(self, timeout: float) -> int | None:
            return self.server.wait(timeout)

        def kill(self) -> None:
            self.server.kill()

        def log_tail(self) -> str:
            return self.server.log_tail()

    class Launcher(ServerLauncher):
        def launch(
            self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool
        ) -> LaunchedServer:
            return Interrupted(make_launcher("hang").launch(endpoint, config, persistent=True))

    with pytest.raises(KeyboardInterrupt):
        ZMQClient(config=config, launcher=Launcher()).connect()
    assert launched[0].exit_code() is not None


def test_missing_command_is_named(config: ZMQConfig) -> None:
    launcher = SubprocessLauncher(["no-such-program-anywhere"])
    with pytest.raises(LaunchFailed, match=r"could not be started: .*no-such-program-anywhere"):
        ZMQClient(config=config, launcher=launcher).connect()


@posix
def test_log_directory_that_others_can_enter_is_refused(
    config: ZMQConfig, runtime_dir: Path, make_launcher: MakeLauncher
) -> None:
    (runtime_dir / "log").mkdir()
    (runtime_dir / "log").chmod(0o777)
    with pytest.raises(LaunchFailed, match=r"the log cannot be written: .*: set log_dir \("):
        ZMQClient(config=config, launcher=make_launcher()).connect()


def test_launch_on_a_port_in_use_has_the_server_s_error(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    # Only the data port is in use: the client notices when the server fails.
    launcher = make_launcher()
    client = ZMQClient(config=config, transport_mode=TransportMode.TCP, launcher=launcher)
    other = ZMQServer(
        config.default_port,
        transport_mode=TransportMode.TCP,
        config=ZMQConfig(control_port_offset=config.control_port_offset + 1),
    )
    with other, pytest.raises(LaunchFailed, match=rf"AddressInUse: port {other.port} .tcp. is"):
        client.connect()
    assert not other.running


# -- settings of a launched server -----------------------------------------------------------


def test_launched_server_shares_the_settings_of_its_client(
    runtime_dir: Path, config: ZMQConfig, make_launcher: MakeLauncher, context: BareContext
) -> None:
    shared = ZMQConfig(
        default_port=config.default_port,
        control_port_offset=config.control_port_offset,
        app_name="lab",
        runtime_dir=runtime_dir,
        log_dir=runtime_dir / "log",
        max_message_bytes=234_567,
        registration_timeout=0.01,
    )
    with ZMQClient(config=shared, launcher=make_launcher(), persistent=False) as client:
        pong = client.ping()
        assert pong.max_message_bytes == 234_567
        assert pong.log_file_path == str(runtime_dir / "log" / f"lab-{shared.default_port}.log")
        peer = RawPeer(context, zmq.REQ, client.endpoint.control_address)
        reply = peer.ask({"type": "register_progress", "client_id": "alice"})
        assert "within 0.01 s" in reply["message"]


def test_launched_server_can_import_what_its_client_can(
    config: ZMQConfig,
    make_launcher: MakeLauncher,
    runtime_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(runtime_dir))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with ZMQClient(config=config, launcher=make_launcher(), persistent=False) as client:
        path = client.ping().details["path"]
    assert isinstance(path, list)
    assert str(runtime_dir) in path
    # Once each: the directories of every Python are not passed.
    assert len([entry for entry in path if str(entry).endswith("site-packages")]) == len(
        {entry for entry in sys.path if entry.endswith("site-packages")}
    )


def test_command_that_is_not_this_python_gets_no_import_path(
    config: ZMQConfig, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    program = Path(sys.executable).with_name(f"{Path(sys.executable).name}-of-another-kind")
    started: list[dict[str, str]] = []

    def note(command: list[str], **options: object) -> None:
        environment = options["env"]
        assert isinstance(environment, dict)
        started.append(environment)
        raise FileNotFoundError("only noted")

    monkeypatch.setattr("zmqruntime.transport.process.launcher._Child", note)
    for command in (str(program), sys.executable):
        launcher = SubprocessLauncher([command], environment={"LAB": "7"})
        with pytest.raises(LaunchFailed, match="only noted"):
            ZMQClient(config=config, launcher=launcher).connect()
    other, python = started
    assert (other["LAB"], python["LAB"]) == ("7", "7")
    assert "PYTHONPATH" not in other
    assert "PYTHONPATH" in python


def test_given_import_path_is_kept(
    config: ZMQConfig, server_script: Path, runtime_dir: Path
) -> None:
    launcher = SubprocessLauncher(
        [sys.executable, str(server_script)],
        environment={"PYTHONPATH": os.pathsep.join([str(runtime_dir), *sys.path])},
    )
    with ZMQClient(config=config, launcher=launcher, persistent=False) as client:
        path = client.ping().details["path"]
        assert isinstance(path, list)
        assert path[1] == str(runtime_dir)


@posix
def test_log_is_private_to_its_owner(config: ZMQConfig, make_launcher: MakeLauncher) -> None:
    with ZMQClient(config=config, launcher=make_launcher(), persistent=False):
        assert config.log_dir is not None
        (log,) = config.log_dir.iterdir()
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert stat.S_IMODE(config.log_dir.stat().st_mode) == 0o700
    assert "serves on" in log.read_text()


def test_log_file_path_can_be_chosen(
    config: ZMQConfig, runtime_dir: Path, server_script: Path
) -> None:
    log = runtime_dir / "my.log"
    launcher = SubprocessLauncher([sys.executable, str(server_script)], log_file_path=log)
    with ZMQClient(config=config, launcher=launcher, persistent=False) as client:
        assert client.ping().log_file_path == str(log)
    assert "serves on" in log.read_text()


def test_only_the_end_of_a_long_log_is_in_the_error(config: ZMQConfig, runtime_dir: Path) -> None:
    (runtime_dir / "chatty.py").write_text("for n in range(5000): print('line', n)\nexit(1)")
    launcher = SubprocessLauncher([sys.executable, str(runtime_dir / "chatty.py")])
    with pytest.raises(LaunchFailed) as caught:
        ZMQClient(config=config, launcher=launcher).connect()
    lines = caught.value.log_tail.splitlines()
    assert lines[-1] == "line 4999"
    assert len(lines) <= 31


def test_unreadable_log_is_named(
    config: ZMQConfig, endpoint: Endpoint, runtime_dir: Path, make_launcher: MakeLauncher
) -> None:
    (runtime_dir / "log").mkdir(mode=0o700)
    server = make_launcher("exit").launch(endpoint, config, persistent=True)
    assert server.wait(PATIENCE_SECONDS) == 3
    for log in (runtime_dir / "log").iterdir():
        log.unlink()
    assert "cannot be read" in server.log_tail()


# -- loss of a launched server ---------------------------------------------------------------


def test_loss_of_a_launched_server_has_its_exit_code(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher(), persistent=True)
    with client:
        process = psutil.Process(client.ping().process.pid)
        process.kill()
        for _ in range(3):
            with pytest.raises(ServerLost) as caught:
                client.ping()
            how = "" if os.name == "nt" else " with signal SIGKILL"
            assert str(caught.value).endswith(f"(process {process.pid}) has ended{how}")
            assert caught.value.exit_code == (15 if os.name == "nt" else -9)


def test_server_that_ended_can_be_launched_again(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher(), persistent=False)
    with client:
        first = identify(client.ping())
        kill(first)
        with pytest.raises(ServerLost):
            client.ping()
    with client:
        assert identify(client.ping()) != first


@posix
def test_server_that_outlives_its_client_leaves_no_zombie(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    with ZMQClient(config=config, launcher=make_launcher()) as client:
        first = psutil.Process(client.ping().process.pid)
        client.shutdown_server()
    del client
    gc.collect()
    eventually(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)
    with ZMQClient(config=config, launcher=make_launcher(), persistent=False):
        assert not psutil.pid_exists(first.pid)


# -- custom launchers ------------------------------------------------------------------------


def test_application_can_have_its_own_launcher(config: ZMQConfig) -> None:
    arguments: list[object] = []

    class InThisProcess(LaunchedServer):
        def __init__(self, server: ZMQServer) -> None:
            self.server = server

        def exit_code(self) -> int | None:
            return None if self.server.running else 0

        def wait(self, timeout: float) -> int | None:
            self.server.stop()
            return 0

        def kill(self) -> None:
            self.server.stop()

        def log_tail(self) -> str:
            return ""

    class ThreadLauncher(ServerLauncher):
        def launch(
            self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool
        ) -> LaunchedServer:
            arguments.extend([endpoint, config, persistent])
            server = ZMQServer(endpoint.port, config=config)
            server.start()
            return InThisProcess(server)

    client = ZMQClient(config=config, launcher=ThreadLauncher(), persistent=False)
    with client:
        assert client.ping().process.pid == os.getpid()
    assert arguments == [client.endpoint, config, False]
    with pytest.raises(ConnectionFailed, match="no server listens"):
        ZMQClient(config=config).connect()


# -- another launch after a crash -------------------------------------------------------------


def test_durable_server_that_crashed_is_launched_again(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher("durable"), persistent=False)
    with client:
        first = identify(client.ping())
        kill(first)
        with pytest.raises(ServerLost):
            client.ping()
        assert client.may_return
        second = identify(client.reconnect(PATIENCE_SECONDS))
        assert second != first
        assert identify(client.ping()) == second
    assert not second.is_running()


def test_launched_server_that_was_stopped_is_not_launched_again(
    config: ZMQConfig, make_launcher: MakeLauncher
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher("durable"), persistent=False)
    with client:
        server = identify(client.ping())
        client.shutdown_server()
        server.wait()
        with pytest.raises(ServerLost) as caught:
            client.reconnect(0.5)
        assert caught.value.exit_code == 0
