"""Running the checks: pytest underneath, and nothing of whoever's pytest this is."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance import fixtures, preflight, scenarios
from zmqruntime.testing.conformance.report import Verdict
from zmqruntime.testing.conformance.run_plugin import ConformancePlugin
from zmqruntime.testing.conformance.settings import Settings
from zmqruntime.testing.conformance.target import Target

__all__ = ["collect_checks", "run"]

_CHECKS = Path(__file__).parent / "checks"

# What would let plug-ins and options of the user in.
_FOREIGN = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")


def run(
    target: Target | str,
    *,
    patience: float = 10.0,
    keyword: str = "",
    slots: int = 1,
    ending: ShutdownMode | None = None,
    max_queued: int | None = None,
    history_limit: int | None = None,
) -> Verdict:
    """Check a server and return the verdict; pytest tells of its progress on standard output.

    Args:
        target: where the server is; a data address is enough, such as ``tcp://127.0.0.1:7777``.
        patience: how long each reply and event may take, in seconds.
        keyword: make only the checks that this selects, as pytest's ``-k``; numbers count as
            names.
        slots: how many tasks the server runs at once.
        ending: end the server at last, in this mode, and check that as well.
        max_queued: how many executions may wait; None: it is not checked.
        history_limit: how many are kept that have ended and were read; None: it is not checked.

    Raises:
        TargetError: ``target`` is no address of a server.
    """
    if isinstance(target, str):
        target = Target.parse(target)
    settings = Settings(target, patience, slots, ending, max_queued, history_limit)
    plugin = ConformancePlugin(settings)
    code = _pytest(plugin, *(["-k", keyword] if keyword else []))
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        plugin.trouble = f"no check is selected by {keyword!r}"
    elif code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not plugin.trouble:
        plugin.trouble = f"pytest ended with {code!r}"
    return plugin.verdict


def collect_checks() -> dict[str, list[str]]:
    """Return the names of the checks by the numbers that they judge."""
    plugin = ConformancePlugin(Settings(Target("", "")))
    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = _pytest(plugin, "--collect-only")
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"the checks cannot be collected:\n{told.getvalue()}")
    return plugin.collected


def _pytest(plugin: ConformancePlugin, *arguments: str) -> int:
    options = [str(_CHECKS), "-c", str(_CHECKS / "pytest.ini"), *arguments]
    with _only_ours():
        return int(pytest.main(options, plugins=[plugin, fixtures, preflight, scenarios]))


@contextlib.contextmanager
def _only_ours() -> Iterator[None]:
    """Let pytest load no plug-in and no option of the user's, and leave no file behind."""
    variables = {name: os.environ.pop(name, None) for name in _FOREIGN}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
