"""Choice of the journal: the same rule for class, launcher and command line."""

from __future__ import annotations

import gc
import stat
from pathlib import Path

import platformdirs
import pytest
from echoing import Echo, Keeping

from zmqruntime.execution import ExecutionServer, ExecutionServerLauncher, JournalUnusable
from zmqruntime.execution.cli.serve import main
from zmqruntime.execution.journal.location import JournalChoice, choose_journal, make_journal_dir
from zmqruntime.transport import ZMQConfig

DEFAULT = Path("default")


@pytest.mark.parametrize(
    ("choices", "journal"),
    [
        ((), None),
        ((None, None), None),
        ((None, "the class's"), Path("the class's")),
        ((None, True), DEFAULT),
        (("here", "the class's"), Path("here")),
        ((Path("here"), None), Path("here")),
        ((True, "the class's"), DEFAULT),
        ((False, "the class's"), None),
        ((False, True), None),
    ],
)
def test_first_choice_that_is_not_none_decides(
    choices: tuple[JournalChoice, ...], journal: Path | None
) -> None:
    assert choose_journal(*choices, default=lambda: DEFAULT) == journal


CONFIG = ZMQConfig(app_name="stitcher", default_port=4711)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The data directory of the user."""
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name, appauthor: tmp_path / name)
    return tmp_path / "stitcher"


def start_by_class(choice: JournalChoice, _: pytest.MonkeyPatch) -> Path | None:
    return Echo(config=CONFIG, journal=choice).journal


def start_by_command(choice: JournalChoice, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    served: list[ExecutionServer] = []
    monkeypatch.setattr(Echo, "serve_forever", lambda self, owner: served.append(self))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    launcher = ExecutionServerLauncher(Echo, journal=choice)
    words = [word for word in launcher._command[3:] if word != "--launched"]
    assert main([*words, "--port=4711", "--app-name=stitcher"]) == 0
    return served[0].journal


@pytest.mark.parametrize("start", [start_by_class, start_by_command])
@pytest.mark.parametrize(
    ("choice", "journal"),
    [
        (None, None),
        (False, None),
        (True, "stitcher/journals/echoing.Echo-4711.journal"),
        ("/somewhere/here", "/somewhere/here"),
    ],
)
def test_server_has_the_same_journal_by_class_and_by_launcher(
    start: object,
    choice: JournalChoice,
    journal: str | None,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert callable(start)
    expected = None if journal is None else data.parent / journal
    found = start(choice, monkeypatch)
    assert found == (expected if expected is None else expected.resolve())


def test_choice_of_false_overrides_the_class() -> None:
    server = Keeping()
    assert server.journal == Path("the class's")
    server.choose_journal(None)
    assert server.journal == Path("the class's")
    server.choose_journal(False)
    assert server.journal is None


def test_default_directory_is_private(data: Path) -> None:
    server = Echo(config=CONFIG, journal=True)
    assert server.journal is not None
    assert not data.exists()
    server.make_engine().close()
    assert server.journal.is_file()
    if hasattr(stat, "S_IMODE"):
        assert stat.S_IMODE(server.journal.parent.stat().st_mode) & 0o077 == 0


def test_error_of_a_data_directory_that_cannot_be_created_names_the_argument(data: Path) -> None:
    data.write_bytes(b"a file where the directory would be")
    server = Echo(config=CONFIG, journal=True)
    assert server.journal is not None
    with pytest.raises(JournalUnusable) as caught:
        server.make_engine()
    assert f"cannot create the directory {server.journal.parent} for the journal" in str(
        caught.value
    )
    assert "journal=" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_directory_other_than_the_default_is_not_created(data: Path) -> None:
    make_journal_dir(data / "elsewhere" / "x.journal", "stitcher")
    assert not data.exists()
