"""The pytest plug-in of one run: it turns failed checks into findings."""

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
from zmqruntime.testing.conformance.settings import Settings
from zmqruntime.testing.conformance.transcript import Transcript, Violation

__all__ = ["ConformancePlugin", "numbers_of"]

# Behind the rest comes what makes the server forget it, then what judges all that was said, and
# what ends the server at last.
_ORDER = {"check_limits": 1, "check_everything": 2, "check_shutdown": 3}


class ConformancePlugin:
    """Gives the checks their peers and collects what they find."""

    key = pytest.StashKey["ConformancePlugin"]()
    """Where the fixtures find it."""

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
        self._begun = 0

    @property
    def verdict(self) -> Verdict:
        """What has been found so far."""
        return Verdict(
            findings=tuple(self.findings),
            passed=frozenset(self.passed),
            skipped={n: why for n, why in self.skipped.items() if n not in self.passed},
            trouble=self.trouble,
        )

    def connect(self) -> Peer:
        """Return a connected peer with a name that nobody else has."""
        settings = self.settings
        name = f"conformance-{self._run}-{next(self._names)}"
        return Peer(settings.target, self.transcript, settings.patience, name, settings.slots)

    # -- hooks ----------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Know the mark, and be known."""
        config.stash[self.key] = self
        config.addinivalue_line("markers", "checks(*numbers): the sentences that a check judges")
        config.addinivalue_line(
            "markers", "ends(*modes): it may shut the server down, in one of these"
        )

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Let ``-k`` know the numbers; note who checks what."""
        for item in items:
            numbers = numbers_of(item)
            item.extra_keyword_matches.update(numbers)
            for number in numbers:
                self.collected.setdefault(number, []).append(item.nodeid)
        items.sort(key=lambda item: _ORDER.get(item.path.stem, 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Note where in the transcript the check begins; skip it if it would end the server."""
        self._begun = len(self.transcript.entries)
        ending = self.settings.ending
        if any(ending not in mark.args for mark in item.iter_markers("ends")):
            pytest.skip("this would end the server")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn a failure into a finding."""
        report = yield
        if report.skipped and call.excinfo is not None:
            self.skipped |= dict.fromkeys(numbers_of(item), str(call.excinfo.value))
        elif report.failed and call.excinfo is not None:
            self._note(item, call.when, call.excinfo.value)
        elif report.when == "call":
            self.passed.update(numbers_of(item))
        return report

    def _note(self, item: pytest.Item, when: str, error: BaseException) -> None:
        if isinstance(error, ServerUnreachable) and not self.transcript.exchanges:
            self.trouble = f"{error}: start the server, or correct the address"
        elif isinstance(error, CannotCheck):
            self.trouble = str(error)
        elif isinstance(error, ServerUnreachable):
            self.trouble = f"the server is gone: {error}"
        if self.trouble:
            item.session.shouldstop = self.trouble
            return
        # What a check stands on may fail for a reason that has nothing to do with its sentence.
        numbers = numbers_of(item) if when == "call" else ()
        shown = None
        if isinstance(error, Violation):
            numbers = (error.number,) if error.number else numbers
            shown = error.shown
        if shown is None:
            shown = self.transcript.last_lines(self._begun)
        self.findings.append(Finding(numbers, item.nodeid, _describe_failure(error), tuple(shown)))


def numbers_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the sentences that a check judges."""
    return tuple(number for mark in item.iter_markers("checks") for number in mark.args)


def _describe_failure(error: BaseException) -> str:
    """Say what went wrong: in the words of the check, or with its line."""
    if isinstance(error, Violation):
        return str(error)
    steps = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if "checks" in Path(step.filename).parts
    ]
    told = str(error).splitlines()
    name = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    line = f"{steps[-1].line}\n" if steps and steps[-1].line else ""
    return f"{line}{name}{told[0] if told else ''}"
