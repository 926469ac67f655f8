"""Runs the checks with pytest, isolated from the plugins and options of the user."""

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
from zmqruntime.testing.conformance.target import Settings, Target

__all__ = ["collect_checks", "run"]

_CHECKS = Path(__file__).parent / "checks"

# Variables that would add plugins and options of the user.
_USER_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")


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
    """Check a server and return the findings; pytest prints its progress to standard output.

    Args:
        target: the addresses, or the data address, such as ``tcp://127.0.0.1:7777``.
        patience: timeout of each reply and event, in seconds.
        keyword: selects checks, as pytest's ``-k``; requirement numbers match as well.
        slots: number of tasks that the server runs in parallel.
        ending: also check the shutdown of the server, in this mode.
        max_queued: queue limit of the server; None to skip its check.
        history_limit: number of read records that the server keeps; None to skip its checks.

    Raises:
        TargetError: ``target`` is not a server address.
    """
    if isinstance(target, str):
        target = Target.parse(target)
    settings = Settings(target, patience, slots, ending, max_queued, history_limit)
    plugin = ConformancePlugin(settings)
    code = _run_pytest(plugin, *(["-k", keyword] if keyword else []))
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        plugin.trouble = f"no check matches {keyword!r}: see --list for names and numbers"
    elif code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not plugin.trouble:
        plugin.trouble = f"pytest failed with {code!r}: see its output"
    return plugin.verdict


def collect_checks() -> dict[str, list[str]]:
    """Return the node ids of the checks by requirement number."""
    plugin = ConformancePlugin(Settings(Target("", "")))
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = _run_pytest(plugin, "--collect-only")
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"cannot collect the checks:\n{output.getvalue()}")
    return plugin.collected


def _run_pytest(plugin: ConformancePlugin, *arguments: str) -> int:
    options = [str(_CHECKS), "-c", str(_CHECKS / "pytest.ini"), *arguments]
    with _isolated_pytest():
        return int(pytest.main(options, plugins=[plugin, fixtures, preflight, scenarios]))


@contextlib.contextmanager
def _isolated_pytest() -> Iterator[None]:
    """Disable plugins and options of the user, and the writing of bytecode."""
    variables = {name: os.environ.pop(name, None) for name in _USER_VARIABLES}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    previous, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = previous
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
