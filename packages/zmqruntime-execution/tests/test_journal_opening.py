"""Opening a journal: exclusive use, refusal of foreign and damaged files, migrations."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from driving import request
from journals import (
    abandon,
    connection_of,
    opened,
    quick_engine,
    redo_path,
    submit,
)

from zmqruntime.execution import (
    JournalInUse,
    JournalLifecycleEngine,
    JournalUnusable,
)
from zmqruntime.execution.journal import journal_file, schema
from zmqruntime.execution.journal.latest_commit import LatestCommit
from zmqruntime.execution.journal.lock import opening_lock
from zmqruntime.execution.journal.redo_format import StartEntry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


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


def test_journal_that_another_thread_opens_first_is_not_opened_a_second_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[JournalLifecycleEngine] = []

    @contextlib.contextmanager
    def lose_the_race(path: Path) -> Iterator[None]:
        with monkeypatch.context() as other:
            other.setattr(journal_file, "opening_lock", opening_lock)
            engines.append(quick_engine(path))
        opened_paths.clear()
        with opening_lock(path):
            yield

    opened_paths: list[object] = []
    connect = sqlite3.connect

    def observe(path: object, *args: Any, **options: Any) -> sqlite3.Connection:
        opened_paths.append(path)
        return connect(path, *args, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", observe)
    monkeypatch.setattr(journal_file, "opening_lock", lose_the_race)
    with pytest.raises(JournalInUse):
        JournalLifecycleEngine(path)
    engines.pop().close()

    assert opened_paths == []


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
