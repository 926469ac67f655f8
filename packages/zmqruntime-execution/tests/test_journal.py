"""Journal engine: commits survive restarts and kills, and a full disk loses no result."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from driving import error, record_of, request
from journals import (
    abandon,
    connection_of,
    fill_disk,
    free_disk,
    keeping,
    opened,
    picture_of,
    quick_engine,
    reboot,
    redo_path,
    submit,
)

from zmqruntime.execution import (
    CommitFailed,
    JournalLifecycleEngine,
    JournalUnusable,
    LifecycleEngine,
    QueuePolicy,
)
from zmqruntime.execution.journal import disk_space
from zmqruntime.messages import (
    MAX_REQUEST_BYTES,
    SEQUENCE_GAP,
    AttemptInfo,
    ExecutionStatus,
    UnparsedExecute,
    decode_request,
)
from zmqruntime.messages.lowlevel import split_request

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


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
        assert [e.execution_id for e in engine.rollback()] == ["new", "began", "over"]
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
        assert engine.rollback() == []
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
