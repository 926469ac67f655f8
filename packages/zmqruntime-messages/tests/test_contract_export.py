"""``python -m zmqruntime.messages export DIR`` writes the contract files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from contract.files import find_differences, make_files

from zmqruntime.messages.__main__ import main


def test_export_writes_all_contract_files(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "here"
    command = [sys.executable, "-I", "-m", "zmqruntime.messages", "export", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"wrote {len(make_files())} files to {directory}\n"
    assert find_differences(directory) == []


def test_export_replaces_older_files_and_keeps_foreign_ones(tmp_path: Path) -> None:
    (tmp_path / "asyncapi.json").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(tmp_path)]) == 0
    assert find_differences(tmp_path) == ["mine.txt is not part of the contract"]


def test_unwritable_directory_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a-file"
    file.write_text("")
    assert main(["export", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"cannot write the contract: {file}: ")
    assert error.endswith("; use a writable directory\n")


@pytest.mark.parametrize("arguments", [[], ["export"], ["import", "x"]])
def test_invalid_command_line_prints_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: python -m zmqruntime.messages" in capsys.readouterr().err
