"""The demo shows right results, and can be interrupted at any time."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).parents[1] / "examples" / "digest" / "demo.py"
SECONDS = 60


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory to digest, large enough for a run that is cancelled half-way."""
    directory = tmp_path / "files"
    (directory / "below").mkdir(parents=True)
    (directory / "__pycache__").mkdir()
    (directory / "__pycache__" / "skipped.pyc").write_bytes(b"not the same tomorrow")
    for n in range(50):
        (directory / f"{n}.bin").write_bytes(bytes([n]) * 10_000)
        (directory / "below" / f"ä{n}.txt").write_text("x" * n, encoding="utf-8")
    return directory


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The demo's temporary directory; its path is short because of socket files."""
    path = Path(tempfile.mkdtemp(prefix="t-"))
    yield path
    shutil.rmtree(path)


def start(files: Path, temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DEMO), str(files), "--seconds", "2"],
        env=os.environ | {"TMPDIR": str(temporary), "TEMP": str(temporary), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def processes_with_argument(directory: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in part for part in process.info["cmdline"] or ())
    ]


def test_demo_shows_the_right_digest(files: Path, temporary: Path) -> None:
    expected = hashlib.sha256()
    paths = [path for path in files.rglob("*") if path.suffix in {".bin", ".txt"}]
    for name, path in sorted((path.relative_to(files).as_posix(), path) for path in paths):
        expected.update(os.fsencode(name) + b"\0" + hashlib.sha256(path.read_bytes()).digest())

    with start(files, temporary) as demo:
        shown, _ = demo.communicate(timeout=SECONDS)

    assert demo.returncode == 0, shown
    assert "100 files, 501.2 kB" in shown
    assert expected.hexdigest() in shown
    assert "the long run is cancelled" in shown
    assert "the run behind it is complete" in shown
    assert not list(temporary.iterdir())
    assert not processes_with_argument(temporary)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize(
    ("moment", "presses"),
    [("Launch a server", 1), ("Submit, watch", 1), ("Cancel a long run", 1), ("Cancel", 3)],
)
def test_ctrl_c_leaves_no_process_or_file(
    moment: str, presses: int, files: Path, temporary: Path
) -> None:
    with start(files, temporary) as demo:
        assert demo.stdout is not None
        shown = ""
        while moment not in shown:
            line = demo.stdout.readline()
            assert line, shown
            shown += line
        for _ in range(presses):
            demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=SECONDS)

    assert demo.returncode == 130, shown + rest
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    assert not list(temporary.iterdir())
    assert not processes_with_argument(temporary)


@pytest.mark.parametrize(("name", "message"), [("missing", "is not a directory"), ("", "no files")])
def test_missing_or_empty_directory_is_reported_without_a_traceback(
    name: str, message: str, tmp_path: Path, temporary: Path
) -> None:
    with start(tmp_path / name, temporary) as demo:
        shown, _ = demo.communicate(timeout=SECONDS)

    assert demo.returncode != 0
    assert message in shown
    assert "Traceback" not in shown
