"""The pytest plugin of one run: collects findings from failed checks."""

from __future__ import annotations

import itertools
import traceback
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

from zmqruntime.testing.conformance.connection import ServerUnreachable
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.report import CannotCheck, Finding, Verdict
from zmqruntime.testing.conformance.target import Settings
from zmqruntime.testing.conformance.transcript import Transcript, Violation

__all__ = ["ConformancePlugin", "numbers_of"]

# The last checks: those that evict records, those that read the whole transcript, and those that
# shut the server down.
_LAST_MODULES = {"check_limits": 1, "check_everything": 2, "check_shutdown": 3}


class ConformancePlugin:
    """Provides peers to the checks, and collects their findings."""

    key = pytest.StashKey["ConformancePlugin"]()
    """The key under which fixtures find the plugin."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.transcript = Transcript()
        self.collected: dict[str, list[str]] = {}
        self.findings: list[Finding] = []
        self.passed: set[str] = set()
        self.skipped: dict[str, str] = {}
        self.trouble = ""
        self._run = uuid.uuid4().hex[:8]
        self._names = itertools.count(1)
        self._start = 0

    @property
    def verdict(self) -> Verdict:
        """The findings so far."""
        return Verdict(
            findings=tuple(self.findings),
            passed=frozenset(self.passed),
            skipped={n: why for n, why in self.skipped.items() if n not in self.passed},
            trouble=self.trouble,
        )

    def connect(self) -> Peer:
        """Return a connected peer with a unique name."""
        settings = self.settings
        name = f"conformance-{self._run}-{next(self._names)}"
        return Peer(settings.target, self.transcript, settings.patience, name, settings.slots)

    # -- hooks ----------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the markers and this plugin."""
        config.stash[self.key] = self
        config.addinivalue_line("markers", "checks(*numbers): the requirements that a check covers")
        config.addinivalue_line(
            "markers", "ends(*modes): may shut the server down, in one of these modes"
        )

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Make ``-k`` match numbers; collect the checks of each requirement."""
        for item in items:
            numbers = numbers_of(item)
            item.extra_keyword_matches.update(numbers)
            for number in numbers:
                self.collected.setdefault(number, []).append(item.nodeid)
        items.sort(key=lambda item: _LAST_MODULES.get(item.path.stem, 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Keep the position in the transcript; skip checks that would shut the server down."""
        self._start = len(self.transcript.entries)
        ending = self.settings.ending
        if any(ending not in mark.args for mark in item.iter_markers("ends")):
            pytest.skip(
                "the check would shut the server down: pass --shutdown drain or --shutdown now"
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Record a failure as a finding."""
        report = yield
        if report.skipped and call.excinfo is not None:
            self.skipped |= dict.fromkeys(numbers_of(item), str(call.excinfo.value))
        elif report.failed and call.excinfo is not None:
            self._record_failure(item, call.when, call.excinfo.value)
        elif report.when == "call":
            self.passed.update(numbers_of(item))
        return report

    def _record_failure(self, item: pytest.Item, when: str, error: BaseException) -> None:
        if isinstance(error, ServerUnreachable) and not self.transcript.exchanges:
            self.trouble = f"{error}: start the server, or correct the address"
        elif isinstance(error, CannotCheck):
            self.trouble = str(error)
        elif isinstance(error, ServerUnreachable):
            self.trouble = f"the server stopped during the checks: {error}"
        if self.trouble:
            item.session.shouldstop = self.trouble
            return
        # A failed setup is not a violation of the requirements that the check covers.
        numbers = numbers_of(item) if when == "call" else ()
        shown = None
        if isinstance(error, Violation):
            numbers = (error.number,) if error.number else numbers
            shown = error.shown
        if shown is None:
            shown = self.transcript.last_lines(self._start)
        self.findings.append(Finding(numbers, item.nodeid, _describe_failure(error), tuple(shown)))


def numbers_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the requirements that a check covers."""
    return tuple(number for mark in item.iter_markers("checks") for number in mark.args)


def _describe_failure(error: BaseException) -> str:
    """Return the message of a violation, or the failed line of the check."""
    if isinstance(error, Violation):
        return str(error)
    steps = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if "checks" in Path(step.filename).parts
    ]
    message = str(error).splitlines()
    name = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    line = f"{steps[-1].line}\n" if steps and steps[-1].line else ""
    return f"{line}{name}{message[0] if message else ''}"
