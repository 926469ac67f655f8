"""The ``zmqruntime`` command: its output, its options and its errors."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from rich.console import Console

from zmqruntime.execution import __version__, cli
from zmqruntime.execution.cli import serve as serving
from zmqruntime.execution.cli.app import run
from zmqruntime.execution.cli.render import make_lines, make_table
from zmqruntime.execution.cli.startup_errors import explain_error
from zmqruntime.execution.target import TargetError
from zmqruntime.messages import (
    PongReply,
    ProcessInfo,
    ProgressEvent,
    RunningExecutionInfo,
    WorkerInfo,
)
from zmqruntime.transport import (
    ProcessIdentity,
    ServerArguments,
    TransportMode,
    ZMQConfig,
    ZMQServer,
)

_WITHOUT_SERVER = ("--help", "--version")


class Outcome(NamedTuple):
    exit_code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A private directory with a short path, within the limit of a Unix socket."""
    directory = Path(tempfile.mkdtemp(prefix="zc"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def command(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs the command with a runtime directory of its own."""

    logger = logging.getLogger("zmqruntime")
    level = logger.level
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def zmqruntime(*words: str) -> Outcome:
        where = [f"--runtime-dir={runtime_dir}"] if words[-1] not in _WITHOUT_SERVER else []
        monkeypatch.setattr(sys, "argv", ["zmqruntime", *words, *where])
        capfd.readouterr()
        try:
            exit_code = run()
        except SystemExit as end:
            exit_code = end.code if isinstance(end.code, int) else 1
        return Outcome(exit_code, *capfd.readouterr())

    yield zmqruntime
    logger.setLevel(level)


@pytest.fixture
def server(runtime_dir: Path) -> Iterator[ZMQServer]:
    with ZMQServer(config=ZMQConfig(runtime_dir=runtime_dir)) as server:
        yield server


def unstyled(text: str) -> str:
    """Return text without the colours of help, which CI environments enable."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def assert_one_line(outcome: Outcome, *words: str) -> None:
    assert outcome.exit_code == 1
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith("\n")
    for word in words:
        assert word in outcome.err


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


# -- imports --------------------------------------------------------------------------------


def test_import_of_the_command_loads_neither_typer_nor_rich() -> None:
    finished = run_python(
        "import sys; from zmqruntime.execution.cli import main; "
        "sys.exit(bool({'typer', 'rich'} & set(sys.modules)))"
    )
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("part", ["typer", "rich"])
def test_command_without_its_extra_names_what_to_install(part: str) -> None:
    finished = run_python(
        f"import sys; sys.modules[{part!r}] = None; "
        "from zmqruntime.execution.cli import main; sys.exit(main())"
    )
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    assert 'pip install "zmqruntime-execution[cli]"' in finished.stderr


def test_other_missing_module_is_not_mistaken_for_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zmqruntime.execution.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"cli\.app"):
        cli.main()


def test_ctrl_c_during_the_imports_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "zmqruntime.execution.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "zmqruntime.execution.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert cli.main() == 130


# -- serve ----------------------------------------------------------------------------------


def test_serve_accepts_every_option_of_a_launcher(
    command: Command, monkeypatch: pytest.MonkeyPatch, runtime_dir: Path
) -> None:
    given = ServerArguments(
        port=4711,
        host="127.0.0.2",
        transport_mode=TransportMode.TCP,
        config=ZMQConfig(
            control_port_offset=7,
            app_name="stitcher",
            runtime_dir=runtime_dir,
            max_message_bytes=234_567,
            registration_timeout=0.5,
            data_high_water_mark=99,
        ),
        owner=ProcessIdentity.current(),
        log_file_path=runtime_dir / "log",
    )
    taken: list[ServerArguments] = []
    monkeypatch.setattr(serving, "load_target", lambda target: target)
    monkeypatch.setattr(serving, "serve", lambda target, arguments, **_: taken.append(arguments))

    outcome = command("serve", "module:Class", "--no-journal", *given.to_command_line())

    assert outcome.exit_code == 0
    assert taken == [given]


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ([], None),
        (["--no-journal"], False),
        (["--durable"], True),
        (["--journal", "here"], Path("here")),
        (["--journal", "here", "--durable"], Path("here")),
    ],
)
def test_journal_options_of_serve_override_the_class(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    choice: Path | bool | None,
) -> None:
    taken: list[object] = []
    monkeypatch.setattr(serving, "load_target", lambda target: target)
    monkeypatch.setattr(serving, "serve", lambda *_, journal: taken.append(journal))
    assert command("serve", "a.b:Class", *words).exit_code == 0
    assert taken == [choice]


def test_unused_journal_of_an_earlier_server_is_logged(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name, appauthor: tmp_path / name)
    monkeypatch.setattr(serving, "serve", lambda *_, **__: None)
    journal = tmp_path / "zmqruntime" / "journals" / "echoing.Echo-4711.journal"
    warned = []
    for words in ([], ["--durable"], []):
        warned.append(str(journal) in command("serve", "echoing:Echo", "--port=4711", *words).err)
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.touch()
    assert warned == [False, False, True]


@pytest.mark.parametrize("words", [["--journal", "here"], ["--durable"]])
def test_contradicting_journal_options_are_an_invalid_command_line(
    command: Command, words: list[str]
) -> None:
    outcome = command("serve", "a:B", *words, "--no-journal")
    assert outcome.exit_code == 2
    assert "exclude each other" in outcome.err


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:Server", "No module named 'no_such_module'"),
        ("zmqruntime.execution:Nobody", "has no attribute 'Nobody'"),
        ("zmqruntime.execution", "write it as 'module:Class'"),
        ("os:getcwd", "is not an ExecutionServer subclass"),
        ("zmqruntime.execution:ExecutionServer", "is abstract"),
    ],
)
def test_invalid_target_of_serve_is_explained(command: Command, target: str, reason: str) -> None:
    assert_one_line(command("serve", target), target, reason)


def test_error_of_an_application_is_located(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_application.py").write_text("\nraise RuntimeError('no licence')\n")
    monkeypatch.chdir(tmp_path)

    outcome = command("serve", "failing_application:Server")

    assert_one_line(outcome, "RuntimeError: no licence", "failing_application.py, line 2")


# -- ping and stop --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ping", "stop"])
@pytest.mark.parametrize("transport", [t for t in TransportMode if t != "ipc" or os.name != "nt"])
def test_command_without_a_server_fails_immediately(
    command: Command, name: str, transport: TransportMode
) -> None:
    with socket.socket() as placeholder:  # Bound and not listening: reserved for this test.
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        options = (f"--port={port - 1}", "--control-port-offset=1", f"--transport={transport}")

        outcome = command(name, *options)

    assert_one_line(outcome, "no server listens on", str(port))


def test_foreign_listener_is_distinguished_from_a_server(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]

        def answer() -> None:
            # libzmq reconnects a few times.
            for _ in range(4):
                with stranger.accept()[0] as connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        outcome = command(
            "ping", f"--port={port - 1}", "--control-port-offset=1", "--host=127.0.0.1"
        )
        thread.join()
    assert_one_line(outcome, "the peer", str(port))


def test_ping_of_a_silent_listener_ends_at_its_timeout(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        where = (f"--port={port - 1}", "--control-port-offset=1", "--host=127.0.0.1")
        outcome = command("ping", "--timeout=0.2", *where)
    assert_one_line(outcome, "no ZeroMQ handshake in time", str(port))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("serve", "a:B", "--data-high-water-mark", "-3"), "data_high_water_mark is -3"),
        (("ping", "--app-name", "a/b"), "app_name 'a/b'"),
    ],
    ids=str,
)
def test_invalid_setting_is_an_invalid_command_line(
    command: Command, words: tuple[str, ...], complaint: str
) -> None:
    outcome = command(*words)
    assert outcome.exit_code == 2
    assert complaint in outcome.err


@pytest.mark.parametrize("name", ["ping", "stop"])
def test_port_out_of_range_is_reported_with_its_limits(command: Command, name: str) -> None:
    assert_one_line(command(name, "--port=65000"), "66000", "65535")


def test_unknown_option_is_reported_with_the_help_command(command: Command) -> None:
    outcome = command("ping", "--no-such-option")
    assert outcome.exit_code == 2
    assert "zmqruntime ping --help" in unstyled(outcome.err)


@pytest.mark.parametrize("name", ["serve", "ping", "stop"])
def test_every_command_has_help(command: Command, name: str) -> None:
    outcome = command(name, "--help")
    assert outcome.exit_code == 0
    assert "--port" in unstyled(outcome.out)


def test_version_is_shown(command: Command) -> None:
    assert command("--version") == Outcome(0, f"zmqruntime-execution {__version__}\n", "")


def test_ping_json_prints_the_pong(command: Command, server: ZMQServer) -> None:
    outcome = command("ping", "--json")
    pong = PongReply.model_validate_json(outcome.out)
    assert outcome.exit_code == 0
    assert pong.server == "ZMQServer"
    assert pong.process.pid == os.getpid()
    assert json.loads(outcome.out)["type"] == "pong"


def test_ping_shows_the_state_of_a_server(command: Command, server: ZMQServer) -> None:
    outcome = command("ping")
    assert outcome.exit_code == 0
    lines = [line.split()[:2] for line in outcome.out.splitlines()]
    assert ["ready", "yes"] in lines
    assert ["server", "ZMQServer"] in lines
    assert ["pid", str(os.getpid())] in lines


def test_ping_wraps_long_lines_in_a_terminal_and_not_in_a_pipe(
    command: Command, server: ZMQServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    piped = command("ping").out.splitlines()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    wrapped = unstyled(command("ping").out).splitlines()
    assert max(map(len, piped)) > 40
    assert max(map(len, wrapped)) <= 40
    assert len(wrapped) > len(piped)


def test_stop_of_a_server_that_does_not_exit_fails_at_its_timeout(
    command: Command, server: ZMQServer
) -> None:
    outcome = command("stop", "--timeout=0.2")  # Its process is this one.
    assert_one_line(outcome, f"process {os.getpid()}", "0.2 s", "stop --now")
    server.stop()


class Undescribable(ZMQServer):
    def describe(self) -> Any:
        raise RuntimeError("no description today")


def test_refused_ping_is_reported_with_the_log_of_the_server(
    command: Command, runtime_dir: Path
) -> None:
    with Undescribable(config=ZMQConfig(runtime_dir=runtime_dir)):
        assert_one_line(
            command("ping"), "has replied to a ping with an error", "its log has more, at "
        )


# -- rendering ------------------------------------------------------------------------------


def show(pong: PongReply) -> list[str]:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(make_table(pong, "port 7777"))
    return [line.rstrip() for line in capture.get().splitlines()]


def make_pong(**fields: Any) -> PongReply:
    usual: dict[str, Any] = {
        "ready": True,
        "server": "Stitcher",
        "version": "1.2",
        "port": 7777,
        "control_port": 8777,
        "process": ProcessInfo(pid=4711, create_time=1.0),
        "started_at": 1.0,
        "uptime_seconds": 1.25,
        "max_message_bytes": 1,
    }
    return PongReply(**(usual | fields))


def test_table_of_an_idle_server() -> None:
    assert show(make_pong()) == [
        "ready        yes",
        "server       Stitcher 1.2 on port 7777",
        "pid          4711",
        "uptime       1.2 s",
        "running      0",
        "queued       0",
        "workers      0",
        "subscribers  0",
        "log          none",
    ]


def test_lines_of_a_pong_are_those_of_its_table_without_wraps() -> None:
    pong = make_pong(log_file_path=f"/var/{'x' * 200}", progress_subscribers=("ann", "bob"))
    lines = make_lines(pong, "port 7777")
    assert lines[:2] == ["ready        yes", "server       Stitcher 1.2 on port 7777"]
    assert lines[-4:] == [
        "subscribers  2",
        "             ann",
        "             bob",
        f"log          /var/{'x' * 200}",
    ]


def test_table_of_a_busy_server() -> None:
    running = RunningExecutionInfo(
        execution_id="e1",
        client_id="ann",
        submitted_at=1.0,
        started_at=2.0,
        cancel_requested=True,
        progress=ProgressEvent(
            execution_id="e1", sequence=1, timestamp=3.0, phase="[stitch]", percent=41.7
        ),
    )
    worker = WorkerInfo(pid=4712, memory_bytes=50 * 2**20, cpu_percent=99.6, execution_id="e1")
    pong = make_pong(
        ready=False,
        uptime_seconds=90061.0,
        running_executions=(running,),
        running_count=2,
        queued_count=10_000,
        workers=(worker,),
        progress_subscribers=("ann", "bob"),
        progress_subscriber_count=2,
        log_file_path="/var/log/[stitcher].log",
    )
    assert show(pong) == [
        "ready        no",
        "server       Stitcher 1.2 on port 7777",
        "pid          4711",
        "uptime       1 d 1 h 1 min 1 s",
        "running      2",
        "             e1 of ann [stitch] 42 % (is being cancelled)",
        "             and 1 more",
        "queued       10000",
        "workers      1",
        "             pid 4712, 50 MiB, 100 % of a core",
        "subscribers  2",
        "             ann",
        "             bob",
        "log          /var/log/[stitcher].log",
    ]


def test_reason_of_a_failed_start_is_shown_with_the_workers() -> None:
    lines = show(make_pong(worker_error="the worker did not get ready\nOSError: no room"))
    first = next(n for n, line in enumerate(lines) if line.startswith("workers"))
    assert lines[first : first + 3] == [
        "workers      0",
        "             the worker did not get ready",
        "             OSError: no room",
    ]


def test_traceback_is_explained_by_its_last_line() -> None:
    error = TargetError("it failed\nTraceback ...:\n  File ...\nValueError: no model\n")
    assert explain_error(error) == "it failed: ValueError: no model"


def test_error_without_a_text_is_explained_by_its_type() -> None:
    assert explain_error(RuntimeError()) == "RuntimeError"
    assert explain_error(TargetError()) == "TargetError"
