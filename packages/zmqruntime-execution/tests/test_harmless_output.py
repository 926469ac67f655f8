"""Text of a peer, a task or an application has no effect on a terminal that shows it."""

from __future__ import annotations

import io
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("typer")
pytest.importorskip("rich")

from rich.console import Console

from zmqruntime.execution import ExecutionCancelled, ExecutionFailed, WorkerFailed
from zmqruntime.execution.cli import serve as serving
from zmqruntime.execution.cli.app import run
from zmqruntime.execution.cli.render import make_json, make_table
from zmqruntime.execution.cli.startup_errors import explain_error
from zmqruntime.execution.errors import rejection
from zmqruntime.messages import (
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    PongReply,
    ProcessInfo,
    ProgressEvent,
    RunningExecutionInfo,
)
from zmqruntime.transport import ZMQClient, ZMQConfig, ZMQServer

# A title, a cleared screen, C1, a forged line, a reversed name, rich's markup and emoji.
HOSTILE = "\x1b]0;t\x07\x1b[2J\x9b31m\r\nready yes\u2028\u202egnp.[red]x[/red][link=a]b :smile:"
CONTROL = {"\x1b", "\x07", "\x9b", "\r", "\u2028", "\u202e"}

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A private directory with a short path, within the limit of a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="zh") as directory:
        yield Path(directory)


@pytest.fixture
def hostile_server(runtime_dir: Path) -> Iterator[ZMQServer]:
    server_class = type(HOSTILE, (ZMQServer,), {})
    with server_class(config=ZMQConfig(runtime_dir=runtime_dir)) as server:
        yield server


def make_pong(text: str) -> PongReply:
    running = RunningExecutionInfo(
        execution_id="e1",
        client_id="ann",
        submitted_at=1.0,
        started_at=2.0,
        cancel_requested=False,
        progress=ProgressEvent(execution_id="e1", sequence=1, timestamp=3.0, phase=text),
    )
    return PongReply(
        ready=True,
        server=text,
        version=text,
        port=7777,
        control_port=8777,
        process=ProcessInfo(pid=4711, create_time=1.0),
        started_at=0.0,
        uptime_seconds=1.2,
        max_message_bytes=200_000,
        log_file_path=text,
        running_executions=(running,),
        running_count=1,
        queued_count=0,
        details={"note": text},
    )


def show(pong: PongReply) -> str:
    console = Console(file=io.StringIO(), width=1000, force_terminal=True, color_system=None)
    console.print(make_table(pong, pong.server))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(any_text)
def test_table_of_a_server_has_no_control_character(text: str) -> None:
    shown = show(make_pong(text)).replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    # The lines of a long or broken value are indented below its label.
    assert len([line for line in shown.splitlines() if not line.startswith(" ")]) == 9


def test_table_of_a_server_interprets_no_markup() -> None:
    shown = show(make_pong(HOSTILE))
    assert "[red]x[/red][link=a]b :smile:" in shown
    assert r"\x1b[2J\x9b31m\r\nready yes" in shown


@given(any_text)
def test_json_of_a_pong_has_an_equal_value_and_no_control_character(text: str) -> None:
    pong = make_pong(text)
    shown = make_json(pong)
    assert shown.isprintable()
    assert PongReply.model_validate_json(shown) == pong


@pytest.mark.parametrize("words", [["ping"], ["ping", "--json"], ["stop"]])
def test_command_shows_the_name_of_a_hostile_server_escaped(
    hostile_server: ZMQServer,
    runtime_dir: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["zmqruntime", *words, "--port", str(hostile_server.port), f"--runtime-dir={runtime_dir}"],
    )
    # The server runs in the process of the test, which does not exit.
    monkeypatch.setattr(ZMQClient, "wait_for_server_end", lambda *_: True)
    with pytest.raises(SystemExit, match=r"^0$"):
        run()
    output = capsys.readouterr()
    assert not CONTROL & set(output.out + output.err)
    assert r"\x1b]0;t\x07\x1b[2J" in output.out or "--json" in words
    assert not any(line.startswith("ready yes") for line in output.out.splitlines())
    if "--json" in words:
        assert json.loads(output.out)["server"] == HOSTILE


def test_log_on_stderr_has_no_control_character(
    hostile_server: ZMQServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("zmqruntime")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.INFO)
    hostile_server.stop()
    serving.log_to_stderr()
    hostile_server.start()
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert r"\x1b]0;t\x07" in output
    assert not CONTROL & set(output)


@pytest.mark.parametrize("kind", [RuntimeError, WorkerFailed])
def test_explanation_of_an_error_is_one_printable_line(kind: type[Exception]) -> None:
    assert explain_error(kind(f"the \x1b[31mdisk {HOSTILE}")).isprintable()


def test_failure_of_a_worker_cannot_forge_a_log_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(target: str) -> None:
        raise WorkerFailed(f"cannot start {target}\nTraceback:\n2026-01-01 INFO forged\x1b[2J")

    monkeypatch.setattr(serving, "load_target", fail)
    monkeypatch.setattr(logging.getLogger("zmqruntime"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("zmqruntime"), "level", logging.INFO)
    assert serving.main(["module:Class"]) == 1
    assert capsys.readouterr().err == (
        "error: cannot start module:Class\n    Traceback:\n    2026-01-01 INFO forged\\x1b[2J\n"
    )


# -- errors that quote a peer ----------------------------------------------------------------


def make_record(status: ExecutionStatus) -> ExecutionRecord:
    return ExecutionRecord(
        execution_id="e1",
        client_id="ann",
        status=status,
        submitted_at=1.0,
        error=ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message=HOSTILE),
    )


@pytest.mark.parametrize(
    "error",
    [
        rejection(ErrorReply(code=ErrorCode.CONFLICT, message=HOSTILE)),
        rejection(ErrorReply(code=ErrorCode.MALFORMED, message=HOSTILE)),
        ExecutionFailed(make_record(ExecutionStatus.FAILED)),
        ExecutionCancelled(make_record(ExecutionStatus.CANCELLED)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_that_quotes_a_peer_is_escaped(error: Exception) -> None:
    text = str(error)
    assert not CONTROL & set(text)
    assert r"\x1b[2J" in text
    if isinstance(error, ExecutionFailed):
        assert error.record.error is not None
        assert error.record.error.message == HOSTILE  # Unchanged for a program.
