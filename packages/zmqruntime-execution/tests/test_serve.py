"""Serving a class named on a command line, without typer."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

import pytest
from echoing import Echo, Keeping

from zmqruntime.execution import ExecutionServer, ExecutionServerLauncher
from zmqruntime.execution.cli.serve import load_target, main
from zmqruntime.execution.target import TargetError
from zmqruntime.messages import ZMQRuntimeError


def test_class_is_named_by_module_and_name() -> None:
    assert load_target("echoing:Echo") is Echo


def test_nested_class_is_named_by_its_qualified_name() -> None:
    assert load_target("echoing:Outer.Inner") is not Echo
    assert issubclass(load_target("echoing:Outer.Inner"), ExecutionServer)


@pytest.mark.parametrize("target", ["", "Echo", "echoing", "echoing:", ":Echo", "..:X", ".x:Y"])
def test_incomplete_target_is_refused(target: str) -> None:
    with pytest.raises(TargetError, match="write it as 'module:Class'"):
        load_target(target)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("no_such_module:Echo", "No module named 'no_such_module'; searched "),
        ("echoing.deeper:Echo", "No module named 'echoing.deeper'"),
        ("echoing:NoSuchClass", "module 'echoing' has no attribute 'NoSuchClass'"),
        ("echoing:Outer.No", "has no attribute 'No'"),
        ("echoing:Client", "is not an ExecutionServer subclass, but <class"),
        ("echoing:a_function", "is not an ExecutionServer subclass, but <function"),
        ("echoing:Unfinished", "is abstract: name a subclass that defines execute_task"),
        ("zmqruntime.execution:ExecutionServer", "is abstract"),
    ],
)
def test_target_that_is_not_a_server_is_refused_with_the_reason(target: str, sentence: str) -> None:
    with pytest.raises(TargetError, match="^" + target) as caught:
        load_target(target)
    assert sentence in str(caught.value)
    assert isinstance(caught.value, ZMQRuntimeError)


def test_exception_of_a_module_is_raised_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        load_target("broken_application:Echo")


def test_invalid_target_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["echoing:NoSuchClass", "--port", "7777"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: echoing:NoSuchClass: ")
    assert captured.err.count("\n") == 1


def test_unpicklable_server_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="ze") as runtime_dir:
        assert main(["echoing:Locked", "--runtime-dir", runtime_dir]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: Locked cannot be sent to its worker process: ")
    assert captured.err.count("\n") == 1


def test_unusable_runtime_dir_is_an_error_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "a-file"
    in_the_way.touch()
    assert main(["echoing:Echo", "--runtime-dir", str(in_the_way)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


# Faulty applications, and parts of the error of each.
FAULTY: dict[str, tuple[str, tuple[str, ...]]] = {
    "module raises": ("\nraise RuntimeError('no\\nlicence')", ("RuntimeError: no (", "line 2)")),
    "invalid syntax": ("x = 1\ny = = 2", ("SyntaxError: invalid syntax (", "line 2)")),
    "missing name": ("from os import nothing", ("ImportError: cannot import name", "line 1)")),
    "missing module": ("\nimport no_such_module", ("ModuleNotFoundError: ", "line 2)")),
    "missing attribute": ("import os\nos.nothing", ("AttributeError: ", "line 2)")),
    "error in a library": ("import json\njson.loads('{')", ("JSONDecodeError: ", "line 2)")),
    "constructor raises": (
        "    def __init__(self, *a, **k):\n        raise OSError('no disk')",
        ("OSError: no disk (", "line 4)"),
    ),
    "constructor without parameters": (
        "    def __init__(self):\n        super().__init__()",
        ("Faulty.__init__ has to take what ExecutionServer takes: ", "line 3)"),
    ),
    "invalid option": (
        "    def __init__(self, *a, **k):\n        super().__init__(*a, retry=3, **k)",
        ("TypeError: retry has to be of type RetryPolicy, not 3 (", "line 4)"),
    ),
    "constructor without super": (
        "    journal = None\n    def __init__(self, *a, **k):\n        pass",
        ("Faulty.__init__ has to call super().__init__() (", "line 4)"),
    ),
}
CLASS = "from echoing import Echo\nclass Faulty(Echo):\n"


@pytest.mark.parametrize(("code", "words"), FAULTY.values(), ids=FAULTY)
def test_error_of_an_application_is_one_line_with_file_and_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: str,
    words: tuple[str, ...],
) -> None:
    code = CLASS + code if code.startswith("    ") else code
    (tmp_path / "faulty_application.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faulty_application", raising=False)
    assert main(["faulty_application:Faulty"]) == 1
    output = capsys.readouterr().err
    assert output.startswith("error: ")
    assert output.count("\n") == 1
    for word in (*words, str(tmp_path / "faulty_application.py")):
        assert word in output


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--max-message-bytes=1", "max_message_bytes is 1: it has to be "),
        ("--registration-timeout=nan", "registration_timeout is nan: it has to be "),
        ("--data-high-water-mark=-3", "data_high_water_mark is -3: it has to be "),
        ("--log-file=.", "'.' is a directory"),
        ("--app-name=a/b", "app_name 'a/b' must do as part of a file name"),
        ("--owner=x", "invalid process 'x'"),
    ],
)
def test_invalid_option_is_an_invalid_command_line(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["echoing:Echo", option])
    assert caught.value.code == 2
    assert f"error: argument {option.partition('=')[0]}: {words}" in capsys.readouterr().err


def test_invalid_combination_of_options_is_one_line_without_a_location(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="ze") as runtime_dir:
        assert main(["echoing:Echo", "--runtime-dir", runtime_dir, "--port=65000"]) == 1
    output = capsys.readouterr().err
    assert output.startswith("error: ")
    assert output.count("\n") == 1
    assert "66000" in output


def test_missing_target_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: python -m zmqruntime.execution" in capsys.readouterr().err


def test_launcher_passes_on_the_path_of_a_journal() -> None:
    launcher = ExecutionServerLauncher(Echo, journal=Path("here"))
    assert launcher._command[-2:] == ("--journal", str(Path("here").resolve()))


@pytest.mark.parametrize(("words", "kept"), [([], "the class's"), (["--journal", "here"], "here")])
def test_journal_option_overrides_the_class(
    monkeypatch: pytest.MonkeyPatch, words: list[str], kept: str
) -> None:
    served: list[Path | None] = []
    monkeypatch.setattr(Keeping, "serve_forever", lambda self, owner: served.append(self.journal))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    assert main(["echoing:Keeping", *words]) == 0
    assert served == [Path(kept)]


def test_class_of_the_main_script_cannot_be_launched() -> None:
    here = type("Here", (Echo,), {"__module__": "__main__"})
    with pytest.raises(ValueError, match="Here is defined in __main__: move it to a"):
        ExecutionServerLauncher(here)
