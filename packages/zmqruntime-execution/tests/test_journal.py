"""Journal engine: commits survive restarts and kills, and a full disk loses no result."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from driving import error, record_of, request
from hypothesis import given
from hypothesis import strategies as st
from journals import (
    abandon,
    connection_of,
    fill_disk,
    fill_redo_log,
    free_disk,
    keeping,
    open_redo_log,
    opened,
    picture_of,
    quick_engine,
    reboot,
)

from zmqruntime.execution import (
    CommitFailed,
    JournalInUse,
    JournalLifecycleEngine,
    JournalUnusable,
    LifecycleEngine,
    QueuePolicy,
)
from zmqruntime.execution.journal import disk_space, redo_log, schema
from zmqruntime.execution.journal.latest_commit import LatestCommit
from zmqruntime.execution.journal.redo_format import StartEntry
from zmqruntime.execution.journal.redo_log import read_redo_log
from zmqruntime.messages import (
    MAX_REQUEST_BYTES,
    SEQUENCE_GAP,
    AttemptInfo,
    ExecutionStatus,
    UnparsedExecute,
    decode_request,
    split_request,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


def submit(engine: LifecycleEngine, *execution_ids: str, **fields: Any) -> None:
    for execution_id in execution_ids:
        engine.submit(request(execution_id, **fields), 1.0)


def redo_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.started")


def live(engine: LifecycleEngine) -> list[str]:
    """Create an execution in each state; return their ids."""
    failed = AttemptInfo(attempt=1, started_at=2.0, finished_at=3.0, error=error("again"))
    submit(engine, "complete", "failed", "again", "later", "cancelled", task={"x": "größe"})
    engine.start("complete", 2.0)
    engine.keep_progress("complete", [b'{"completed":1, "a":"b c"}'], 2.0)
    engine.finish("complete", COMPLETE, 3.5, result=b'{"n":[1,2]}')
    engine.start("failed", 2.0)
    engine.finish("failed", FAILED, 3.25, error=error())
    for name, retry_at in (("again", None), ("later", 99.5)):
        engine.start(name, 2.0)
        engine.requeue(name, failed=failed, retry_at=retry_at)
    engine.finish("cancelled", CANCELLED, 3.0)
    submit(engine, "b", "a", labels={"l": "ö"}, timeout_seconds=2.5, client_id="other")
    submit(engine, "high", priority=7, max_attempts=3, retry_on=(), backoff_seconds=0.5)
    return ["complete", "failed", "again", "later", "cancelled", "b", "a", "high"]


# -- restart --------------------------------------------------------------------------------


def test_committed_executions_are_restored(path: Path) -> None:
    with opened(path) as engine:
        names = live(engine)
        engine.commit()
        before = picture_of(engine, names)
    with opened(path) as engine:
        assert picture_of(engine, names) == before
        assert not engine.uncommitted


def test_changes_of_several_commits_are_restored(path: Path) -> None:
    with opened(path, **keeping(2)) as engine:
        submit(engine, "a", "b", "c")
        engine.commit()
        engine.start("a", 2.0)
        engine.commit()
        engine.keep_progress("a", [b"{}"], 2.0)
        engine.finish("a", COMPLETE, 3.0, result=b"1")
        engine.commit()
        engine.finish("b", CANCELLED, 4.0)
        submit(engine, "d")
        engine.finish("d", CANCELLED, 4.0)
        engine.commit()
        before = picture_of(engine, [*"abcd"])
    with opened(path, **keeping(2)) as engine:
        assert picture_of(engine, [*"abcd"]) == before
        assert engine.get("a") is None


def test_sequence_of_an_interrupted_run_continues_with_a_gap(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        engine.request_cancel("a")
        engine.commit()
    with opened(path) as engine:
        (execution,) = engine.list_running()
        assert execution.cancel_requested
        assert execution.sequence == SEQUENCE_GAP + 2


def test_smaller_history_limit_evicts_the_first_ended_records(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, *"abc")
        for name, when in zip("bca", (9.0, 3.0, 5.0), strict=True):
            engine.finish(name, CANCELLED, when)
    with opened(path, **keeping(2)) as engine:
        assert [name for name in "abc" if engine.get(name)] == ["a", "c"]
    with opened(path) as engine:
        assert [name for name in "abc" if engine.get(name)] == ["a", "c"]


def test_order_of_eviction_continues_after_a_restart(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, *"abcd")
        for name in "da":
            engine.finish(name, CANCELLED, 9.0)
            engine.commit()
    with opened(path) as engine:
        for name in "cb":
            engine.finish(name, CANCELLED, 9.0)
            engine.commit()
    for limit, kept in ((3, "abc"), (2, "bc"), (1, "b")):
        with opened(path, **keeping(limit)) as engine:
            assert [name for name in "abcd" if engine.get(name)] == [*kept]


def test_new_executions_are_queued_behind_restored_ones(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "z", "y")
    with opened(path) as engine:
        submit(engine, "a")
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["z", "y", "a"]


def test_fair_queue_starts_anew_with_the_execution_that_has_waited_longest(path: Path) -> None:
    with opened(path, queue_policy=QueuePolicy.FAIR) as engine:
        submit(engine, "a1", "a2", "a3", client_id="a")
        submit(engine, "b1", client_id="b")
        engine.start("a1", 2.0)
        engine.finish("a1", COMPLETE, 3.0)
    with opened(path, queue_policy=QueuePolicy.FAIR) as engine:
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["a2", "b1", "a3"]


def test_commit_survives_a_kill_of_the_process(path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from zmqruntime.execution import JournalLifecycleEngine\n"
        "from zmqruntime.messages import ExecuteRequest\n"
        "engine = JournalLifecycleEngine(sys.argv[1])\n"
        "for name in ('kept', 'lost'):\n"
        "    request = ExecuteRequest(execution_id=name, client_id='lab', task={})\n"
        "    engine.submit(request, 1.0)\n"
        "    if name == 'kept': engine.commit()\n"
        "os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, 'SIGKILL') else signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False)
    with opened(path) as engine:
        assert engine.get("kept") is not None
        assert engine.get("lost") is None


def test_start_after_the_last_commit_survives_a_kill(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, *"abcd")
    engine.commit()
    for name in "ab":  # They end before the next commit.
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0)
    engine.start("c", 4.0)
    abandon(engine)
    with opened(path) as engine:
        began = [(e.execution_id, e.started_at) for e in engine.list_running()]
        assert began == [("a", 2.0), ("b", 2.0), ("c", 4.0)]
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["d"]


def test_start_before_the_last_commit_is_not_replayed(path: Path) -> None:
    engine = quick_engine(path, history_limit=0)
    submit(engine, "a", "b")
    engine.commit()
    for name in "ab":
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0)
    engine.commit()
    abandon(engine)
    engine = quick_engine(path)
    submit(engine, "c")  # It reuses the ticket of "a".
    engine.commit()
    abandon(engine)
    with opened(path) as engine:
        assert engine.list_running() == []
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["c"]


def test_redo_entry_of_an_older_commit_is_not_replayed_for_a_reused_ticket(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = quick_engine(path, history_limit=0)
    submit(engine, "a")
    engine.commit()
    engine.start("a", 2.0)
    redo_log = redo_path(path).read_bytes()
    engine.finish("a", COMPLETE, 3.0)
    engine.commit()
    abandon(engine)
    engine = quick_engine(path)
    submit(engine, "c")  # It reuses the ticket of "a".
    engine.submit(request("a"), 4.0)
    engine.commit()
    abandon(engine)
    redo_path(path).write_bytes(redo_log)  # As after a power cut before the sync.
    reboot(monkeypatch)
    with opened(path) as engine:
        assert engine.list_running() == []
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["c", "a"]


def test_redo_log_of_another_journal_is_not_replayed(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.start("a", 2.0)
    abandon(engine)
    path.unlink()  # Moved away.
    with pytest.raises(JournalUnusable, match=r"a part of it, a\.journal\.started, exists"):
        JournalLifecycleEngine(path)
    redo_path(path).rename(path.with_name("moved"))
    quick_engine(path).close()
    path.with_name("moved").rename(redo_path(path))
    with opened(path) as engine:
        assert engine.get("a") is None


def test_evicted_execution_is_not_restored_from_the_redo_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = quick_engine(path, **keeping(1))
    submit(engine, "old", "new")
    for name in ("new", "old"):
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0)
    redo_log = redo_path(path).read_bytes()
    engine.commit()
    abandon(engine)
    redo_path(path).write_bytes(redo_log)
    reboot(monkeypatch)
    with opened(path, **keeping(1)) as engine:
        assert engine.get("new") is None


def test_running_executions_survive_a_server_that_stops_during_its_start(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.commit()
    engine.start("a", 2.0)
    abandon(engine)
    for _ in range(2):
        with opened(path) as engine:  # Such as a server whose port is in use.
            assert [(e.execution_id, e.started_at) for e in engine.list_running()] == [("a", 2.0)]


# -- commits --------------------------------------------------------------------------------


def test_submit_and_start_are_uncommitted_until_a_commit(path: Path) -> None:
    with opened(path) as engine:
        assert not engine.uncommitted
        submit(engine, "a")
        assert engine.uncommitted
        engine.commit()
        assert not engine.uncommitted
        engine.start("a", 2.0)
        assert engine.uncommitted


def test_transactions_are_synced_to_the_disk(path: Path) -> None:
    engine = JournalLifecycleEngine(path)
    database = connection_of(engine)
    settings = ("synchronous", "fullfsync", "checkpoint_fullfsync")
    found = [database.execute(f"PRAGMA {name}").fetchone() for name in settings]
    engine.close()
    assert found == [(2,), (1,), (1,)]


def test_progress_is_written_by_catch_up_or_with_another_change(path: Path) -> None:
    def report(n: int) -> None:
        engine.keep_progress("a", [b'{"completed":%d}' % n], 10.0)

    with opened(path) as engine:
        submit(engine, "a", "b")
        engine.start("a", 2.0)
        engine.commit()
        report(1)
        report(2)
        assert engine.lags
        assert not engine.uncommitted
        engine.catch_up()
        assert engine.uncommitted
        engine.commit()
        assert committed_progress(engine) == 2
        assert not engine.lags
        report(3)
        assert not engine.uncommitted
        engine.finish("b", CANCELLED, 10.0)
        engine.commit()
        assert committed_progress(engine) == 3
        engine.catch_up()
        assert not engine.uncommitted


def test_close_writes_the_last_progress(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        engine.keep_progress("a", [b'{"completed":1}'], 10.0)
        engine.commit()
        engine.keep_progress("a", [b'{"completed":2}'], 10.5)
    with opened(path) as engine:
        assert committed_progress(engine) == 2


def committed_progress(engine: JournalLifecycleEngine) -> object:
    """Return the progress in the database."""
    query = "SELECT progress FROM executions WHERE execution_id = 'a'"
    ((progress,),) = connection_of(engine).execute(query)
    return int(progress.split(b":")[1].rstrip(b"}"))


# -- full disk ------------------------------------------------------------------------------


def test_submissions_that_a_full_disk_refuses_can_be_rolled_back(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "old", "ends", "runs")
        engine.commit()
        before = picture_of(engine, ["old", "ends", "runs", "new", "began", "over"])
        fill_disk(engine)
        submit(engine, "new", "began", "over", task={"x": "x" * 20_000})
        engine.start("began", 2.0)
        engine.keep_progress("began", [b"{}"], 2.0)
        engine.finish("over", CANCELLED, 3.0)
        with pytest.raises(CommitFailed, match=re.escape(str(path)) + ".*full"):
            engine.commit()
        assert not engine.available
        assert [e.execution_id for e in engine.withdraw()] == ["new", "began", "over"]
        assert picture_of(engine, ["old", "ends", "runs", "new", "began", "over"]) == before
        free_disk(engine)
        submit(engine, "new")
        engine.commit()
        assert engine.available


def test_result_is_written_when_a_full_disk_has_room_again(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a", "b")
        engine.start("a", 2.0)
        engine.commit()
        fill_disk(engine)
        engine.finish("a", COMPLETE, 3.0, result=b'"%b"' % (b"x" * 50_000))
        with pytest.raises(CommitFailed):
            engine.commit()
        assert engine.withdraw() == []
        assert engine.uncommitted
        free_disk(engine)
        engine.commit()
        before = picture_of(engine, ["a", "b"])
    with opened(path) as engine:
        assert picture_of(engine, ["a", "b"]) == before


def test_close_on_a_full_disk_raises_and_releases_the_journal(path: Path) -> None:
    engine = quick_engine(path)
    fill_disk(engine)
    submit(engine, "a", task={"x": "x" * 20_000})
    with pytest.raises(CommitFailed):
        engine.close()
    with opened(path) as engine:
        assert engine.get("a") is None


def test_truncated_redo_entry_is_ignored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.commit()
    write = redo_log._write_at
    monkeypatch.setattr(redo_log, "_write_at", lambda file, at, note: write(file, at, note[:-10]))
    engine.start("a", 2.0)
    monkeypatch.undo()
    assert not engine.is_committed("a")
    abandon(engine)
    with opened(path) as engine:
        assert engine.list_running() == []


def test_full_redo_log_has_room_for_reverts(path: Path) -> None:
    file = open_redo_log(path)
    for content in (b"x" * 1000, b""):  # Short entries fill the rest.
        while file.append(StartEntry(1, 1, 1.0, 2.0, content)):
            pass
    for ticket in range(100):
        file.append_revert(ticket)
    found = read_redo_log(path)
    file.close(delete=True)
    assert found is not None
    assert found.entries == []


def test_failed_revert_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        fill_redo_log(engine)
        engine.withdraw()
    (record,) = caplog.records
    assert "recovers an execution that was refused (ticket 0)" in record.getMessage()


def test_redo_log_works_without_pwrite(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pwrite", raising=False)  # As on Windows.
    engine = quick_engine(path)
    submit(engine, "a", "b")
    engine.start("a", 2.0)
    engine.start("b", 3.0)
    abandon(engine)
    with opened(path) as engine:
        assert [e.execution_id for e in engine.list_running()] == ["a", "b"]
        assert engine.get("b").started_at == 3.0


@given(
    st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b" ")), max_size=8),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
)
def test_damage_of_a_redo_log_is_reported_unless_all_entries_are_intact(
    requests: list[bytes], at: int, rubbish: bytes, synced: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "notes")
        file = open_redo_log(path)
        made = [StartEntry(n, 1, 1.5, 2.25, request) for n, request in enumerate(requests)]
        assert all(file.append(note) for note in made)
        if synced:
            assert file.sync()
        end = file._end
        file.close(delete=False)
        content = bytearray(path.read_bytes())
        content[at : at + len(rubbish)] = rubbish
        path.write_bytes(content)
        try:
            found = read_redo_log(path)
        except ValueError:  # Damaged at its beginning.
            return
        assert found is not None
        if found.entries != made:
            assert found.entries == made[: len(found.entries)]
            assert (found.damage if synced else found.damage or found.torn) is not None
        elif at > end + 20:
            assert (found.damage, found.torn) == (None, None)


# -- exclusive use --------------------------------------------------------------------------


def test_error_of_a_second_server_names_the_process_of_the_first(path: Path) -> None:
    script = (
        "import sys\n"
        "from zmqruntime.execution import JournalLifecycleEngine\n"
        "engine = JournalLifecycleEngine(sys.argv[1])\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
        "engine.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(JournalInUse, match=rf"in use by process {holder.pid}: stop that"):
            JournalLifecycleEngine(path)
        holder.communicate(timeout=60)
    with opened(path):
        pass


def read_word(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def send_line(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_new_journal_is_opened_by_one_of_several_servers(path: Path) -> None:
    script = (
        "import sys\n"
        "from zmqruntime.execution import JournalInUse, JournalLifecycleEngine\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    engine = JournalLifecycleEngine(sys.argv[1])\n"
        "except JournalInUse:\n"
        "    print('in use', flush=True)\n"
        "else:\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    engine.close()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with contextlib.ExitStack() as ends:
        servers = [
            ends.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(4)
        ]
        assert [read_word(server) for server in servers] == ["ready"] * len(servers)
        for server in servers:
            send_line(server)
        words = [read_word(server) for server in servers]
        assert sorted(words) == ["in use"] * 3 + ["open"]
        send_line(servers[words.index("open")])  # The others have exited.
    with opened(path):
        pass
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_new_journal_is_opened_by_one_of_several_threads(path: Path) -> None:
    barrier = threading.Barrier(8)

    def start() -> JournalLifecycleEngine | None:
        barrier.wait()
        try:
            return JournalLifecycleEngine(path)
        except JournalInUse:
            return None

    with ThreadPoolExecutor(8) as threads:
        engines = [future.result() for future in [threads.submit(start) for _ in range(8)]]
    (engine,) = [engine for engine in engines if engine is not None]
    engine.close()
    with opened(path):
        pass


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_LOCKED]
)
def test_journal_that_is_locked_while_it_is_opened_is_in_use_and_not_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(_: sqlite3.Connection) -> None:
        failure = sqlite3.OperationalError("database is locked")
        failure.sqlite_errorcode = code
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(LatestCommit, "read", fail)
        with pytest.raises(JournalInUse):
            JournalLifecycleEngine(path)
    with opened(path):
        pass


def test_second_server_of_the_same_process_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with opened(path), pytest.raises(JournalInUse):
        JournalLifecycleEngine(tmp_path / "directory" / ".." / path.name)


@pytest.mark.parametrize(
    "content",
    [b"my thesis", b"SQLite format 3\0 but not really, and then some more bytes" * 3],
    ids=["text", "almost"],
)
def test_foreign_file_is_refused_and_unchanged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalUnusable, match=r"is not a zmqruntime journal: use another path"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == content


def test_directory_and_pipe_are_refused_and_unchanged(tmp_path: Path) -> None:
    with pytest.raises(JournalUnusable, match="is a directory: use the path of a file"):
        JournalLifecycleEngine(tmp_path)
    if hasattr(os, "mkfifo"):  # Devices take the same branch.
        os.mkfifo(pipe := tmp_path / "pipe")
        with pytest.raises(JournalUnusable, match="is not a regular file: use the path"):
            JournalLifecycleEngine(pipe)
        assert pipe.is_fifo()
        pipe.unlink()
    assert list(tmp_path.parent.glob(f"{tmp_path.name}*")) == [tmp_path]
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_created_beside_a_foreign_file(path: Path) -> None:
    path.write_text("root:x:0:0\n")
    with pytest.raises(JournalUnusable):
        JournalLifecycleEngine(path)
    assert list(path.parent.iterdir()) == [path]


def test_database_of_another_application_is_refused_and_unchanged(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE executions (theirs)")
    database.commit()
    database.close()
    content = path.read_bytes()
    with pytest.raises(JournalUnusable, match=r"is not a zmqruntime journal"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == content


def test_damaged_journal_is_refused_and_unchanged(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, *(f"x{n}" for n in range(500)))
    content = bytearray(path.read_bytes())
    for at in range(3 * 4096, len(content), 4096):
        content[at : at + 200] = b"\xff" * 200
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(JournalUnusable, match=r"is damaged: |cannot open"):
            JournalLifecycleEngine(path)
        assert path.read_bytes() == content


def test_write_ahead_log_of_a_missing_database_is_not_deleted(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    with opened(path) as engine:
        submit(engine, "a")
        engine.commit()
        content = log.read_bytes()
    log.write_bytes(content)
    path.unlink()
    with pytest.raises(JournalUnusable, match=r"a part of it, a\.journal-wal, exists"):
        JournalLifecycleEngine(path)
    assert log.read_bytes() == content
    assert not path.exists()
    log.unlink()
    with opened(path) as engine:
        assert engine.queued_count == 0


def test_empty_file_is_refused(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalUnusable, match="is an empty file: restore it from a backup"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == b""


def test_row_with_an_invalid_value_is_refused(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
    database = sqlite3.connect(path)
    database.execute("UPDATE executions SET status = 'lost'")
    database.commit()
    database.close()
    with pytest.raises(JournalUnusable, match="1 of 1 executions have a wrong checksum: 'a'"):
        JournalLifecycleEngine(path)
    database = sqlite3.connect(path)
    database.execute("UPDATE executions SET status = 'queued'")
    database.commit()
    database.close()
    with opened(path) as engine:  # The refused open has released it.
        assert engine.queued_count == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DROP TABLE contents", "no such table: contents"),
        ("DELETE FROM contents", "1 of 1 executions have a wrong checksum: 'a'"),
        ("DELETE FROM executions", "0 executions have 1 rows of requests and results"),
        ("ALTER TABLE executions DROP COLUMN labels", "no such column"),
        ("DROP TABLE latest", "no such table: latest"),
        ("DELETE FROM latest", "the row of its latest commit is missing or was changed"),
        ("UPDATE latest SET base = 77", "the row of its latest commit is missing or was changed"),
    ],
)
def test_journal_with_a_missing_row_or_table_is_refused(
    path: Path, damage: str, reason: str
) -> None:
    with opened(path) as engine:
        submit(engine, "a")
    database = sqlite3.connect(path)
    database.execute(damage)
    database.commit()
    database.close()
    content = path.read_bytes()
    with pytest.raises(JournalUnusable, match=rf"is damaged: .*{reason}.*\. Restore its"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "request_frame",
    [b"", b"{", b'{"type":"execute"}', b'{"type":"ping"}', request().model_dump_json().encode()],
)
def test_redo_entry_without_an_execute_request_is_refused(path: Path, request_frame: bytes) -> None:
    engine = quick_engine(path)
    assert engine._file.redo_log.append(StartEntry(0, 1, 1.0, 2.0, request_frame))
    abandon(engine)
    content = redo_path(path).read_bytes()
    with pytest.raises(JournalUnusable, match=r"is damaged"):
        JournalLifecycleEngine(path)
    assert redo_path(path).read_bytes() == content


def test_failed_open_releases_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    databases: list[sqlite3.Connection] = []

    class Observed(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            databases.append(self)

    quick_engine(path).close()
    redo_path(path).mkdir()
    with monkeypatch.context() as observed:
        connect = functools.partial(sqlite3.connect, factory=Observed)
        observed.setattr(sqlite3, "connect", connect)
        with pytest.raises(JournalUnusable, match="cannot use the journal"):
            JournalLifecycleEngine(path)
    assert databases
    for database in databases:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            database.execute("SELECT 1")
    redo_path(path).rmdir()
    with opened(path):
        pass


def test_journal_of_a_newer_version_is_refused(path: Path) -> None:
    with opened(path):
        pass
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalUnusable, match=r"has schema version 99, .* up to version 2"):
        JournalLifecycleEngine(path)


def test_journal_of_an_older_version_is_migrated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as engine:
        submit(engine, "a")
    migrations = (*schema._MIGRATIONS, "CREATE TABLE novelties (name TEXT)")
    monkeypatch.setattr(schema, "_MIGRATIONS", migrations)
    for _ in range(2):
        with opened(path) as engine:
            assert engine.get("a") is not None
            assert connection_of(engine).execute("SELECT * FROM novelties").fetchall() == []
            assert connection_of(engine).execute("PRAGMA user_version").fetchone() == (3,)


def test_kill_during_the_creation_of_a_journal_leaves_an_openable_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    copies: list[Path] = []

    class Observed(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            copies.append(tmp_path / str(len(copies)))
            shutil.copytree(home, copies[-1])  # As a kill would leave them.
            return super().execute(*args)

    connect = functools.partial(sqlite3.connect, factory=Observed)
    with monkeypatch.context() as observed:
        observed.setattr(sqlite3, "connect", connect)
        JournalLifecycleEngine(home / "a.journal").close()
    assert len(copies) > 10
    for copy in copies:
        with opened(copy / "a.journal") as engine:
            submit(engine, "a")


def test_error_of_a_missing_directory_names_the_directory(tmp_path: Path) -> None:
    with pytest.raises(JournalUnusable, match=r"directory .*nowhere of the journal does not"):
        JournalLifecycleEngine(tmp_path / "nowhere" / "journal")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_files_of_a_journal_are_private(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.commit()
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith(".owner"):
                assert file.stat().st_mode & 0o077 == 0, file


# -- size -----------------------------------------------------------------------------------


def test_size_of_a_journal_is_bounded_with_its_history(path: Path) -> None:
    result = b'"%b"' % (b"r" * 2000)

    def run(engine: JournalLifecycleEngine, count: int, result: bytes) -> None:
        for n in range(count):
            submit(engine, f"x{n}", task={"t": "t" * 500})
            engine.start(f"x{n}", 2.0)
            engine.commit()
            engine.finish(f"x{n}", COMPLETE, 3.0, result=result)
            engine.commit()

    with opened(path, **keeping(50)) as engine:
        run(engine, 200, b'"%b"' % (b"r" * 50_000))
        large = path.stat().st_size
        run(engine, 1500, result)
        assert disk_space.checkpoint(connection_of(engine))
        assert path.stat().st_size < large / 4
        assert record_of(engine.get("x1499")).result == "r" * 2000
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.journal"]


def test_fingerprint_of_a_long_request_survives_a_restart(path: Path) -> None:
    frame = b'{"type":"execute","execution_id":"a","client_id":"c","task":{"x":"%b"}}'
    frame %= b"y" * MAX_REQUEST_BYTES
    submitted = split_request(frame)
    assert isinstance(submitted, UnparsedExecute)
    unnamed = submitted.model_copy(update={"execution_id": "b"})
    with opened(path) as engine:
        engine.submit(submitted, 1.0, frame)
        engine.submit(unnamed, 1.0)
        engine.commit()
    with opened(path) as engine:
        assert engine.get("a").request == frame
        assert engine.get("a").is_same_work(submitted)
        assert decode_request(engine.get("b").request) == decode_request(
            frame.replace(b'"a"', b'"b"', 1)
        )
        assert engine.queued_bytes == len(frame) + len(engine.get("b").request)
        engine.finish("a", ExecutionStatus.CANCELLED, 2.0)
        engine.commit()
    with opened(path) as engine:
        assert engine.get("a").request == b""
        assert engine.get("a").is_same_work(submitted)
