"""Naming a server on a command line, and launching it from a program."""

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


def test_a_class_is_named_by_its_module_and_its_name() -> None:
    assert load_target("echoing:Echo") is Echo


def test_a_class_in_a_class_is_named_by_its_path() -> None:
    assert load_target("echoing:Outer.Inner") is not Echo
    assert issubclass(load_target("echoing:Outer.Inner"), ExecutionServer)


@pytest.mark.parametrize("target", ["", "Echo", "echoing", "echoing:", ":Echo", "..:X", ".x:Y"])
def test_half_a_name_is_refused(target: str) -> None:
    with pytest.raises(TargetError, match="write it as 'module:Class'"):
        load_target(target)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("no_such_module:Echo", "No module named 'no_such_module'; searched "),
        ("echoing.deeper:Echo", "No module named 'echoing.deeper'"),
        ("echoing:NoSuchClass", "module 'echoing' has no attribute 'NoSuchClass'"),
        ("echoing:Outer.No", "has no attribute 'No'"),
        ("echoing:Client", "is no ExecutionServer subclass, but <class"),
        ("echoing:a_function", "is no ExecutionServer subclass, but <function"),
        ("echoing:Unfinished", "is abstract: name a subclass that defines execute_task"),
        ("zmqruntime.execution:ExecutionServer", "is abstract"),
    ],
)
def test_what_is_no_server_is_told_with_its_reason(target: str, sentence: str) -> None:
    with pytest.raises(TargetError, match="^" + target) as caught:
        load_target(target)
    assert sentence in str(caught.value)
    assert isinstance(caught.value, ZMQRuntimeError)


def test_a_module_that_fails_on_its_own_says_so_itself() -> None:
    with pytest.raises(ZeroDivisionError):
        load_target("broken_application:Echo")


def test_a_wrong_target_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["echoing:NoSuchClass", "--port", "7777"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: echoing:NoSuchClass: ")
    assert captured.err.count("\n") == 1


def test_a_server_that_cannot_be_sent_to_a_worker_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="ze") as runtime_dir:
        assert main(["echoing:Locked", "--runtime-dir", runtime_dir]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: Locked cannot be sent to its worker process: ")
    assert captured.err.count("\n") == 1


def test_a_place_that_cannot_be_served_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "a-file"
    in_the_way.touch()
    assert main(["echoing:Echo", "--runtime-dir", str(in_the_way)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


# Applications whose authors have got something wrong, and what is told of each.
FAULTY: dict[str, tuple[str, tuple[str, ...]]] = {
    "it raises": ("\nraise RuntimeError('no\\nlicence')", ("RuntimeError: no (", "line 2)")),
    "no syntax": ("x = 1\ny = = 2", ("SyntaxError: invalid syntax (", "line 2)")),
    "no import": ("from os import nothing", ("ImportError: cannot import name", "line 1)")),
    "no module": ("\nimport no_such_module", ("ModuleNotFoundError: ", "line 2)")),
    "no attribute": ("import os\nos.nothing", ("AttributeError: ", "line 2)")),
    "no json": ("import json\njson.loads('{')", ("JSONDecodeError: ", "line 2)")),
    "its constructor raises": (
        "    def __init__(self, *a, **k):\n        raise OSError('no disk')",
        ("OSError: no disk (", "line 4)"),
    ),
    "its constructor takes nothing": (
        "    def __init__(self):\n        super().__init__()",
        ("Faulty.__init__ has to take what ExecutionServer takes: ", "line 3)"),
    ),
    "it gives a wrong option": (
        "    def __init__(self, *a, **k):\n        super().__init__(*a, retry=3, **k)",
        ("TypeError: retry has to be of type RetryPolicy, not 3 (", "line 4)"),
    ),
    "its constructor calls no other": (
        "    journal = None\n    def __init__(self, *a, **k):\n        pass",
        ("Faulty.__init__ has to call super().__init__() (", "line 4)"),
    ),
}
CLASS = "from echoing import Echo\nclass Faulty(Echo):\n"


@pytest.mark.parametrize(("code", "words"), FAULTY.values(), ids=FAULTY)
def test_what_an_application_has_got_wrong_is_one_line_that_says_where(
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
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    for word in (*words, str(tmp_path / "faulty_application.py")):
        assert word in told


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
def test_an_impossible_option_is_a_wrong_command_line(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["echoing:Echo", option])
    assert caught.value.code == 2
    assert f"error: argument {option.partition('=')[0]}: {words}" in capsys.readouterr().err


def test_options_that_do_not_go_together_are_one_line_without_a_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="ze") as runtime_dir:
        assert main(["echoing:Echo", "--runtime-dir", runtime_dir, "--port=65000"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert "66000" in told


def test_without_a_target_the_command_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: python -m zmqruntime.execution" in capsys.readouterr().err


def test_a_launched_server_may_be_given_a_journal() -> None:
    launcher = ExecutionServerLauncher(Echo, journal=Path("here"))
    assert launcher._command[-2:] == ("--journal", str(Path("here").resolve()))


@pytest.mark.parametrize(("words", "kept"), [([], "the class's"), (["--journal", "here"], "here")])
def test_a_journal_that_is_asked_for_goes_before_that_of_the_class(
    monkeypatch: pytest.MonkeyPatch, words: list[str], kept: str
) -> None:
    served: list[Path | None] = []
    monkeypatch.setattr(Keeping, "serve_forever", lambda self, owner: served.append(self.journal))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    assert main(["echoing:Keeping", *words]) == 0
    assert served == [Path(kept)]


def test_a_class_of_the_running_script_cannot_be_launched() -> None:
    here = type("Here", (Echo,), {"__module__": "__main__"})
    with pytest.raises(ValueError, match="Here is defined in __main__: move it to a"):
        ExecutionServerLauncher(here)
