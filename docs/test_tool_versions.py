"""pyproject.toml names the version of each checking tool; nox and pre-commit use these."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
GROUPS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
HOOKS = {"ruff": "astral-sh/ruff-pre-commit", "mypy": "pre-commit/mirrors-mypy"}


def find_pin(tool: str) -> str:
    (pin,) = (part for group in GROUPS.values() for part in group if part.startswith(f"{tool}=="))
    return str(pin.partition("==")[2])


@pytest.mark.parametrize("tool", HOOKS)
def test_pre_commit_has_the_version_of_pyproject(tool: str) -> None:
    config = (REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8")
    revisions = re.findall(rf"{re.escape(HOOKS[tool])}\n +rev: v(\S+)", config)

    assert revisions == [find_pin(tool)]


@pytest.mark.parametrize("tool", HOOKS)
def test_nox_installs_no_other_version(tool: str) -> None:
    noxfile = (REPOSITORY / "noxfile.py").read_text("utf-8")

    assert re.findall(rf'install\(.*"{tool}[^"]*"', noxfile) == []
    assert set(re.findall(r'GROUPS\["(\w+)"\]', noxfile)) == set(GROUPS)
