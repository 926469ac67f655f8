"""A journal: what was committed is there again, and no file of somebody else's is touched."""

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
    connection_of,
    fill_disk,
    free_disk,
    keeping,
    note_file,
    opened,
    picture_of,
    quick_engine,
    reboot,
    spoil_notes,
)

from zmqruntime.execution import (
    CommitFailed,
    JournalInUse,
    JournalLifecycleEngine,
    JournalUnusable,
    LifecycleEngine,
    QueuePolicy,
)
from zmqruntime.execution.journal import database as journal_database
from zmqruntime.execution.journal import redo_log
from zmqruntime.execution.journal.redo_log import StartNote
from zmqruntime.execution.journal.redo_reader import read_notes
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


def die(engine: JournalLifecycleEngine) -> None:
    """Let go of the file as a process does that is killed."""
    engine._file.close()


def notes_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.started")


def live(engine: LifecycleEngine) -> list[str]:
    """Give it one execution in every state; return their names."""
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


# -- coming back ------------------------------------------------------------------------------


def test_what_was_committed_is_there_again(path: Path) -> None:
    with opened(path) as engine:
        names = live(engine)
        engine.commit()
        before = picture_of(engine, names)
    with opened(path) as engine:
        assert picture_of(engine, names) == before
        assert not engine.uncommitted


def test_changes_are_there_again_whichever_commit_they_came_with(path: Path) -> None:
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


def test_a_run_that_was_cut_goes_on_with_numbers_that_nobody_had(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        engine.request_cancel("a")
        engine.commit()
    with opened(path) as engine:
        (execution,) = engine.list_running()
        assert execution.cancel_requested
        assert execution.sequence == SEQUENCE_GAP + 2


def test_history_that_is_over_a_smaller_limit_is_dropped_from_its_beginning(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, *"abc")
        for name, when in zip("bca", (9.0, 3.0, 5.0), strict=True):
            engine.finish(name, CANCELLED, when)
    with opened(path, **keeping(2)) as engine:
        assert [name for name in "abc" if engine.get(name)] == ["a", "c"]
    with opened(path) as engine:
        assert [name for name in "abc" if engine.get(name)] == ["a", "c"]


def test_what_ends_after_a_restart_is_dropped_behind_what_had_ended_before(path: Path) -> None:
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


def test_new_ones_are_behind_those_of_before(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "z", "y")
    with opened(path) as engine:
        submit(engine, "a")
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["z", "y", "a"]


def test_turns_begin_anew_with_who_has_waited_longest(path: Path) -> None:
    with opened(path, queue_policy=QueuePolicy.FAIR) as engine:
        submit(engine, "a1", "a2", "a3", client_id="a")
        submit(engine, "b1", client_id="b")
        engine.start("a1", 2.0)
        engine.finish("a1", COMPLETE, 3.0)
    with opened(path, queue_policy=QueuePolicy.FAIR) as engine:
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["a2", "b1", "a3"]


def test_what_a_killed_process_committed_is_there(path: Path) -> None:
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


def test_what_a_killed_process_began_behind_its_last_commit_has_begun(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, *"abcd")
    engine.commit()
    for name in "ab":  # Short ones, which end before the next commit.
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0)
    engine.start("c", 4.0)
    die(engine)
    with opened(path) as engine:
        began = [(e.execution_id, e.started_at) for e in engine.list_running()]
        assert began == [("a", 2.0), ("b", 2.0), ("c", 4.0)]
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["d"]


def test_what_began_before_the_last_commit_is_noted_no_more(path: Path) -> None:
    engine = quick_engine(path, history_limit=0)
    submit(engine, "a", "b")
    engine.commit()
    for name in "ab":
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0)
    engine.commit()
    die(engine)
    engine = quick_engine(path)
    submit(engine, "c")  # With the ticket that was that of "a".
    engine.commit()
    die(engine)
    with opened(path) as engine:
        assert engine.list_running() == []
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["c"]


def test_a_note_of_what_is_long_gone_is_not_taken_for_another(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = quick_engine(path, history_limit=0)
    submit(engine, "a")
    engine.commit()
    engine.start("a", 2.0)
    notes = notes_path(path).read_bytes()
    engine.finish("a", COMPLETE, 3.0)
    engine.commit()
    die(engine)
    engine = quick_engine(path)
    submit(engine, "c")  # With the ticket that was that of "a".
    engine.submit(request("a"), 4.0)
    engine.commit()
    die(engine)
    notes_path(path).write_bytes(notes)  # A power cut came before they were on disk.
    reboot(monkeypatch)
    with opened(path) as engine:
        assert engine.list_running() == []
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["c", "a"]


def test_a_note_that_was_made_beside_another_journal_is_not_taken_for_one(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.start("a", 2.0)
    die(engine)
    path.unlink()  # Moved away.
    with pytest.raises(JournalUnusable, match=r"a part of it, a\.journal\.started, is not"):
        JournalLifecycleEngine(path)
    notes_path(path).rename(path.with_name("moved"))
    quick_engine(path).close()
    path.with_name("moved").rename(notes_path(path))
    with opened(path) as engine:
        assert engine.get("a") is None


def test_what_has_left_history_does_not_come_back_by_its_note(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = quick_engine(path, **keeping(1))
    submit(engine, "old", "new")
    for name in ("new", "old"):
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0)
    notes = notes_path(path).read_bytes()
    engine.commit()
    die(engine)
    notes_path(path).write_bytes(notes)
    reboot(monkeypatch)
    with opened(path, **keeping(1)) as engine:
        assert engine.get("new") is None


def test_a_start_is_not_forgotten_by_a_server_that_cannot_start(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.commit()
    engine.start("a", 2.0)
    die(engine)
    for _ in range(2):
        with opened(path) as engine:  # Its port is in use, say: it ends at once.
            assert [(e.execution_id, e.started_at) for e in engine.list_running()] == [("a", 2.0)]


# -- when it is written -----------------------------------------------------------------------


def test_what_has_happened_waits_for_a_commit(path: Path) -> None:
    with opened(path) as engine:
        assert not engine.uncommitted
        submit(engine, "a")
        assert engine.uncommitted
        engine.commit()
        assert not engine.uncommitted
        engine.start("a", 2.0)
        assert engine.uncommitted


def test_a_commit_waits_for_the_disk_itself(path: Path) -> None:
    engine = JournalLifecycleEngine(path)
    database = connection_of(engine)
    settings = ("synchronous", "fullfsync", "checkpoint_fullfsync")
    found = [database.execute(f"PRAGMA {name}").fetchone() for name in settings]
    engine.close()
    assert found == [(2,), (1,), (1,)]


def test_progress_is_written_when_it_has_lagged_or_along_with_others(path: Path) -> None:
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


def test_the_end_of_a_server_writes_the_last_progress(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        engine.keep_progress("a", [b'{"completed":1}'], 10.0)
        engine.commit()
        engine.keep_progress("a", [b'{"completed":2}'], 10.5)
    with opened(path) as engine:
        assert committed_progress(engine) == 2


def committed_progress(engine: JournalLifecycleEngine) -> object:
    """Return what is in the database."""
    query = "SELECT progress FROM executions WHERE execution_id = 'a'"
    ((progress,),) = connection_of(engine).execute(query)
    return int(progress.split(b":")[1].rstrip(b"}"))


# -- a disk that is full ----------------------------------------------------------------------


def test_what_a_full_disk_does_not_take_can_be_withdrawn(path: Path) -> None:
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
        assert [e.execution_id for e in engine.rollback()] == ["new", "began", "over"]
        assert picture_of(engine, ["old", "ends", "runs", "new", "began", "over"]) == before
        free_disk(engine)
        submit(engine, "new")
        engine.commit()
        assert engine.available


def test_what_happened_to_others_is_written_when_the_disk_has_room(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a", "b")
        engine.start("a", 2.0)
        engine.commit()
        fill_disk(engine)
        engine.finish("a", COMPLETE, 3.0, result=b'"%b"' % (b"x" * 50_000))
        with pytest.raises(CommitFailed):
            engine.commit()
        assert engine.rollback() == []
        assert engine.uncommitted
        free_disk(engine)
        engine.commit()
        before = picture_of(engine, ["a", "b"])
    with opened(path) as engine:
        assert picture_of(engine, ["a", "b"]) == before


def test_an_end_that_cannot_be_written_is_told_and_the_journal_given_back(path: Path) -> None:
    engine = quick_engine(path)
    fill_disk(engine)
    submit(engine, "a", task={"x": "x" * 20_000})
    with pytest.raises(CommitFailed):
        engine.close()
    with opened(path) as engine:
        assert engine.get("a") is None


def test_a_note_that_is_cut_short_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.commit()
    write = redo_log._write_at
    monkeypatch.setattr(redo_log, "_write_at", lambda file, at, note: write(file, at, note[:-10]))
    engine.start("a", 2.0)
    monkeypatch.undo()
    assert not engine.is_committed("a")
    die(engine)
    with opened(path) as engine:
        assert engine.list_running() == []


def test_there_is_room_to_take_back_what_was_noted(path: Path) -> None:
    file = note_file(path)
    for noted in (b"x" * 1000, b""):  # The second ones take what the first ones left.
        while file.add(StartNote(1, 1, 1.0, 2.0, noted)):
            pass
    for ticket in range(100):
        file.take_back(ticket)
    found = read_notes(path)
    file.close(forget=True)
    assert found is not None
    assert found.notes == []


def test_what_cannot_be_taken_back_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        spoil_notes(engine)
        engine.rollback()
    (record,) = caplog.records
    assert "a task that was refused is known to the next server" in record.getMessage()


def test_notes_need_no_system_that_writes_at_a_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pwrite", raising=False)  # As on Windows.
    engine = quick_engine(path)
    submit(engine, "a", "b")
    engine.start("a", 2.0)
    engine.start("b", 3.0)
    die(engine)
    with opened(path) as engine:
        assert [e.execution_id for e in engine.list_running()] == ["a", "b"]
        assert engine.get("b").started_at == 3.0


@given(
    st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b" ")), max_size=8),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
)
def test_damage_of_notes_is_named_unless_they_are_read_as_they_were_made(
    requests: list[bytes], at: int, rubbish: bytes, synced: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "notes")
        file = note_file(path)
        made = [StartNote(n, 1, 1.5, 2.25, request) for n, request in enumerate(requests)]
        assert all(file.add(note) for note in made)
        if synced:
            assert file.sync()
        end = file._end
        file.close(forget=False)
        content = bytearray(path.read_bytes())
        content[at : at + len(rubbish)] = rubbish
        path.write_bytes(content)
        try:
            found = read_notes(path)
        except ValueError:  # Damaged at its beginning.
            return
        assert found is not None
        if found.notes != made:
            assert found.notes == made[: len(found.notes)]
            assert (found.damage if synced else found.damage or found.torn) is not None
        elif at > end + 20:
            assert (found.damage, found.torn) == (None, None)


# -- whose it is ------------------------------------------------------------------------------


def test_a_second_server_is_told_who_has_it(path: Path) -> None:
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
        with pytest.raises(JournalInUse, match=rf"in use by process {holder.pid}: end that"):
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


def test_of_servers_that_start_together_on_a_new_journal_one_has_it(path: Path) -> None:
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
        send_line(servers[words.index("open")])  # The others have ended.
    with opened(path):
        pass
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_of_threads_that_open_a_new_journal_together_one_has_it(path: Path) -> None:
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
        patch.setattr(journal_database.Latest, "read", fail)
        with pytest.raises(JournalInUse):
            JournalLifecycleEngine(path)
    with opened(path):
        pass


def test_nor_may_two_servers_of_one_process_have_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with opened(path), pytest.raises(JournalInUse):
        JournalLifecycleEngine(tmp_path / "directory" / ".." / path.name)


@pytest.mark.parametrize(
    "content",
    [b"my thesis", b"SQLite format 3\0 but not really, and then some more bytes" * 3],
    ids=["text", "almost"],
)
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalUnusable, match=r"is no journal of zmqruntime: name another file"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == content


def test_what_is_no_file_at_all_is_left_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(JournalUnusable, match="is a directory: name a file for the journal"):
        JournalLifecycleEngine(tmp_path)
    if hasattr(os, "mkfifo"):  # It stands for a device, too.
        os.mkfifo(pipe := tmp_path / "pipe")
        with pytest.raises(JournalUnusable, match="is no ordinary file: name a file"):
            JournalLifecycleEngine(pipe)
        assert pipe.is_fifo()
        pipe.unlink()
    assert list(tmp_path.parent.glob(f"{tmp_path.name}*")) == [tmp_path]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_put_beside_the_file_of_somebody_else(path: Path) -> None:
    path.write_text("root:x:0:0\n")
    with pytest.raises(JournalUnusable):
        JournalLifecycleEngine(path)
    assert list(path.parent.iterdir()) == [path]


def test_the_database_of_another_application_is_refused_and_left_as_it_is(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE executions (theirs)")
    database.commit()
    database.close()
    content = path.read_bytes()
    with pytest.raises(JournalUnusable, match=r"is no journal of zmqruntime"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == content


def test_a_damaged_journal_is_refused_and_left_as_it_is(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, *(f"x{n}" for n in range(500)))
    content = bytearray(path.read_bytes())
    for at in range(3 * 4096, len(content), 4096):
        content[at : at + 200] = b"\xff" * 200
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(JournalUnusable, match=r"damaged|cannot be used"):
            JournalLifecycleEngine(path)
        assert path.read_bytes() == content


def test_a_part_of_a_journal_that_is_gone_is_not_thrown_away(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    with opened(path) as engine:
        submit(engine, "a")
        engine.commit()
        content = log.read_bytes()
    log.write_bytes(content)
    path.unlink()
    with pytest.raises(JournalUnusable, match=r"is gone, and a part of it, a.journal-wal, is not"):
        JournalLifecycleEngine(path)
    assert log.read_bytes() == content
    assert not path.exists()
    log.unlink()
    with opened(path) as engine:
        assert engine.queued_count == 0


def test_an_empty_file_is_not_taken_for_a_new_journal(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalUnusable, match="is empty: if it was a journal, restore it"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == b""


def test_a_journal_with_nonsense_in_it_is_refused(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
    database = sqlite3.connect(path)
    database.execute("UPDATE executions SET status = 'lost'")
    database.commit()
    database.close()
    with pytest.raises(JournalUnusable, match="1 of 1 executions are not as written: 'a'"):
        JournalLifecycleEngine(path)
    database = sqlite3.connect(path)
    database.execute("UPDATE executions SET status = 'queued'")
    database.commit()
    database.close()
    with opened(path) as engine:  # It was given back.
        assert engine.queued_count == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DROP TABLE contents", "no such table: contents"),
        ("DELETE FROM contents", "1 of 1 executions are not as written: 'a'"),
        ("DELETE FROM executions", "0 executions have 1 requests and results"),
        ("ALTER TABLE executions DROP COLUMN labels", "no such column"),
        ("DROP TABLE latest", "no such table: latest"),
        ("DELETE FROM latest", "its mark is gone or changed"),
        ("UPDATE latest SET base = 77", "its mark is gone or changed"),
    ],
)
def test_a_journal_in_which_something_is_missing_is_refused(
    path: Path, damage: str, reason: str
) -> None:
    with opened(path) as engine:
        submit(engine, "a")
    database = sqlite3.connect(path)
    database.execute(damage)
    database.commit()
    database.close()
    content = path.read_bytes()
    with pytest.raises(JournalUnusable, match=rf"is damaged .*{reason}.*: restore it from a copy"):
        JournalLifecycleEngine(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "noted",
    [b"", b"{", b'{"type":"execute"}', b'{"type":"ping"}', request().model_dump_json().encode()],
)
def test_a_journal_beside_which_nonsense_is_noted_is_refused(path: Path, noted: bytes) -> None:
    engine = quick_engine(path)
    assert engine._file.notes.add(StartNote(0, 1, 1.0, 2.0, noted))
    die(engine)
    content = notes_path(path).read_bytes()
    with pytest.raises(JournalUnusable, match=r"is damaged"):
        JournalLifecycleEngine(path)
    assert notes_path(path).read_bytes() == content


def test_a_journal_that_cannot_be_opened_is_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases: list[sqlite3.Connection] = []

    class Observed(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            databases.append(self)

    quick_engine(path).close()
    notes_path(path).mkdir()
    with monkeypatch.context() as observed:
        connect = functools.partial(sqlite3.connect, factory=Observed)
        observed.setattr(sqlite3, "connect", connect)
        with pytest.raises(JournalUnusable, match="cannot be used"):
            JournalLifecycleEngine(path)
    assert databases
    for database in databases:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            database.execute("SELECT 1")
    notes_path(path).rmdir()
    with opened(path):
        pass


def test_a_journal_of_a_newer_version_is_left_to_that(path: Path) -> None:
    with opened(path):
        pass
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalUnusable, match=r"is of version 99, and this server reads up to 2"):
        JournalLifecycleEngine(path)


def test_a_journal_of_an_older_version_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as engine:
        submit(engine, "a")
    migrations = (*journal_database._MIGRATIONS, "CREATE TABLE novelties (name TEXT)")
    monkeypatch.setattr(journal_database, "_MIGRATIONS", migrations)
    for _ in range(2):
        with opened(path) as engine:
            assert engine.get("a") is not None
            assert connection_of(engine).execute("SELECT * FROM novelties").fetchall() == []
            assert connection_of(engine).execute("PRAGMA user_version").fetchone() == (3,)


def test_a_first_start_that_is_killed_at_any_time_leaves_what_the_next_can_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    copies: list[Path] = []

    class Observed(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            copies.append(tmp_path / str(len(copies)))
            shutil.copytree(home, copies[-1])  # What a kill would leave.
            return super().execute(*args)

    connect = functools.partial(sqlite3.connect, factory=Observed)
    with monkeypatch.context() as observed:
        observed.setattr(sqlite3, "connect", connect)
        JournalLifecycleEngine(home / "a.journal").close()
    assert len(copies) > 10
    for copy in copies:
        with opened(copy / "a.journal") as engine:
            submit(engine, "a")


def test_a_directory_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalUnusable, match=r"there is no directory .*nowhere"):
        JournalLifecycleEngine(tmp_path / "nowhere" / "journal")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_nobody_else_may_read_it(path: Path) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.commit()
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith(".owner"):
                assert file.stat().st_mode & 0o077 == 0, file


# -- how large it gets ------------------------------------------------------------------------


def test_its_size_is_bounded_with_its_history(path: Path) -> None:
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
        assert journal_database.checkpoint(connection_of(engine))
        assert path.stat().st_size < large / 4
        assert record_of(engine.get("x1499")).result == "r" * 2000
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.journal"]


def test_a_long_request_is_known_again_after_a_restart(path: Path) -> None:
    frame = b'{"type":"execute","execution_id":"a","client_id":"c","task":{"x":"%b"}}'
    frame %= b"y" * MAX_REQUEST_BYTES
    asked = split_request(frame)
    assert isinstance(asked, UnparsedExecute)
    unnamed = asked.model_copy(update={"execution_id": "b"})
    with opened(path) as engine:
        engine.submit(asked, 1.0, frame)
        engine.submit(unnamed, 1.0)
        engine.commit()
    with opened(path) as engine:
        assert engine.get("a").request == frame
        assert engine.get("a").is_same_work(asked)
        assert decode_request(engine.get("b").request) == decode_request(
            frame.replace(b'"a"', b'"b"', 1)
        )
        assert engine.queued_bytes == len(frame) + len(engine.get("b").request)
        engine.finish("a", ExecutionStatus.CANCELLED, 2.0)
        engine.commit()
    with opened(path) as engine:
        assert engine.get("a").request == b""
        assert engine.get("a").is_same_work(asked)
