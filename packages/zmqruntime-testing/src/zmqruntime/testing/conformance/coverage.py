"""Coverage of the requirements by checks, for the terminal and for the documentation.

``python -m zmqruntime.testing.conformance.coverage DOCS/reference`` reads the requirements from
``protocol.md`` there, and writes ``requirements.txt`` and the table in ``conformance.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from zmqruntime.testing.conformance.requirements import (
    NOT_CHECKABLE,
    load_requirements,
    parse_requirements,
)
from zmqruntime.testing.conformance.suite import collect_checks

__all__ = ["render_list", "render_page", "render_requirements"]

_BEGIN = "<!-- the table: written by `python -m zmqruntime.testing.conformance.coverage` -->\n"


def render_requirements(page: str) -> str:
    """Return the contents of ``requirements.txt`` for a protocol page."""
    return "".join(f"{number} {text}\n" for number, text in parse_requirements(page).items())


def render_list() -> str:
    """Return the requirements with their checks, as text."""
    checks = _checks()
    lines = []
    for number, text in load_requirements().items():
        lines.append(f"{number}  {text}")
        lines += [f"       - {name}" for name in checks.get(number, [])]
        if number in NOT_CHECKABLE:
            lines.append(f"       not checked: {NOT_CHECKABLE[number]}")
    return "\n".join(lines)


def render_page(page: str, requirements: dict[str, str]) -> str:
    """Return the documentation page with an updated table."""
    checks = _checks()
    rows = ["| | requirement | checked by |", "| --- | --- | --- |"]
    for number, text in requirements.items():
        checked_by = ", ".join(f"`{name}`" for name in checks.get(number, []))
        cell = checked_by or f"not checked: {NOT_CHECKABLE[number]}"
        rows.append(f"| [{number}](protocol.md#{number.lower()}) | {text} | {cell} |")
    head, _, _ = page.partition(_BEGIN)
    return head + _BEGIN + "\n" + "\n".join(rows) + "\n"


def _checks() -> dict[str, list[str]]:
    """Return the distinct names of the checks by requirement, without parameters."""
    return {
        number: list(dict.fromkeys(_name(nodeid) for nodeid in nodeids))
        for number, nodeids in collect_checks().items()
    }


def _name(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].partition("[")[0]


def _write(reference: Path) -> None:
    protocol = (reference / "protocol.md").read_text("utf-8")
    shipped = Path(__file__).with_name("requirements.txt")
    shipped.write_text(render_requirements(protocol), "utf-8")
    table = reference / "conformance.md"
    table.write_text(
        render_page(table.read_text("utf-8"), parse_requirements(protocol)), encoding="utf-8"
    )


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
