"""What the package promises to those who import it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from zmqruntime import testing
from zmqruntime.messages import ZMQRuntimeError

_NAMES = [
    "ClientFactory",
    "FakeExecutionServer",
    "FakeServerFactory",
    "Fault",
    "FaultProxy",
    "FaultProxyFactory",
    "InMemoryExecutionServer",
    "Lane",
    "LeftRunning",
    "MovableClock",
    "ProxyFailed",
    "RecordedProgress",
    "Rule",
    "RuleNeverFired",
    "Script",
    "ScriptMismatch",
    "ServerFactory",
    "TaskEnvironment",
    "UsedAfterTest",
    "__version__",
    "connect_in_memory",
    "isolated_config",
]


def test_the_public_names_are_these() -> None:
    # A name taken from here breaks somebody's code: it is a change for the changelog.
    assert sorted(testing.__all__) == _NAMES


@pytest.mark.parametrize("name", sorted(set(_NAMES) - {"__version__"}))
def test_every_public_name_can_be_had_and_is_documented(name: str) -> None:
    value = getattr(testing, name)
    assert value.__name__ == name
    assert len(inspect.getdoc(value) or "") > 20
    assert name in dir(testing)


def test_another_name_is_a_plain_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FakeServer'"):
        testing.FakeServer  # noqa: B018


@pytest.mark.parametrize(
    "name", ["LeftRunning", "ProxyFailed", "RuleNeverFired", "ScriptMismatch", "UsedAfterTest"]
)
def test_its_errors_are_of_the_family(name: str) -> None:
    assert issubclass(getattr(testing, name), ZMQRuntimeError)


def test_loading_the_plugin_imports_nothing_of_weight() -> None:
    # pytest loads it in every run of every project in whose environment it is installed.
    code = (
        "import sys, pytest; before = set(sys.modules); import zmqruntime.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    ours = {"", ".testing", ".testing._version", ".testing.plugin"}
    assert set(done.stdout.split()) == {f"zmqruntime{name}" for name in ours}


def test_there_is_no_regular_package_in_the_namespace() -> None:
    assert not (Path(testing.__path__[0]).parent / "__init__.py").exists()


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert (Path(testing.__path__[0]) / "py.typed").exists()
