"""Runs the examples of the documentation pages and the READMEs.

A ``python`` block is executed, unless its first line names a file, such as ``# server.py``: then it
is written to that file, in the page's temporary directory. Of a ``console`` block, lines that begin
with ``$ python`` or ``$ zmqruntime`` are executed there, and their output is compared with the text
below them, if any; a command that ends in ``&`` runs until the end of the page. Write
``<!--- skip: next -->`` before a block that cannot run.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.myst import CodeBlockParser, SkipParser

PROGRAMS = {"python": sys.executable, "zmqruntime": str(Path(sys.executable).parent / "zmqruntime")}

run_here = PythonEvaluator()
background: list[subprocess.Popen[bytes]] = []


def python(example: Example) -> None:
    """Write the block to the file that its first line names, or execute it."""
    if named := re.match(r"# (\w+\.py)\n", example.parsed):
        Path(named[1]).write_text(example.parsed, encoding="utf-8")
    else:
        run_here(example)


def console(example: Example) -> None:
    """Run the commands of the block, and compare the output with the text below each."""
    for step in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        command, _, shown = step.partition("\n")
        program, *arguments = shlex.split(command)
        if program not in PROGRAMS:
            continue
        argv = [PROGRAMS[program], *arguments]
        if argv[-1] == "&":
            background.append(subprocess.Popen(argv[:-1]))
            continue
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"$ {command}\n{printed}"
        if shown.strip():
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(shown, printed, flags)
            assert same, f"$ {command}\n{printed}\ndiffers from the page:\n{shown}"


sybil = Sybil(
    [CodeBlockParser("python", python), CodeBlockParser("console", console), SkipParser()],
    pattern="*.md",
    fixtures=["directory"],
)
pytest_collect_file = sybil.pytest()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Provide a temporary directory per page, for its files and its imports."""
    path = tmp_path_factory.mktemp("page")
    paths = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    private = tempfile.TemporaryDirectory(prefix="p-")  # A short path, because of socket files.
    with private, pytest.MonkeyPatch.context() as patch:
        # Isolates the page from servers of the user who runs the tests.
        for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"):
            patch.setenv(variable, private.name)
        patch.chdir(path)
        patch.syspath_prepend(path)
        patch.setenv("PYTHONPATH", paths)
        # pytest-asyncio, which other tests need, would add a line to the output of pytest.
        patch.setenv("PYTEST_ADDOPTS", "-p no:asyncio")
        yield path
    for process in background:
        process.terminate()
        process.wait(10)
    background.clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(path)):
            del sys.modules[name]


@pytest.fixture
def run_page(directory: Path) -> Callable[[Path], None]:
    """Return a function that runs the examples of a page outside of this directory."""

    def run(page: Path) -> None:
        for example in sybil.parse(page).examples():
            example.evaluate()

    return run
