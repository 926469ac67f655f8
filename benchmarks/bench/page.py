"""The part of the performance page that a run of the benchmark writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contenders import JOURNAL, LIMIT, PEERS, PROJECT
from bench.figures import FIGURES, TABLES
from bench.picture import draw
from bench.promises import Verdict
from bench.results import Results

__all__ = ["BEGIN", "END", "compose", "write_docs"]

BEGIN = "<!-- Written by `nox -s bench-peers -- --write-docs`, from here -->"
END = "<!-- to here -->"

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs/explanation/performance.md"
_PICTURE = _PAGE.with_suffix(".svg")
_KEPT = _ROOT / "benchmarks/results.json"


def write_docs(results: Results, verdicts: Sequence[Verdict]) -> None:
    """Update the performance page, its picture, and the stored figures."""
    before, begin, rest = _PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{_PAGE} has no marks {BEGIN} and {END}")
    written = "\n".join(compose(results, verdicts))
    _PAGE.write_text(f"{before}{BEGIN}\n\n{written}\n{END}{after}")
    _PICTURE.write_text(draw(results))
    results.save(_KEPT)


def compose(results: Results, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the lines of that part."""
    yield f"![round trips and no-ops per second]({_PICTURE.name})"
    yield ""
    machine = "; ".join(f"{value}" for key, value in results.machine.items() if key != "python")
    most = 1 + max((outcome.repetition for outcome in results.outcomes), default=0)
    yield f"Medians of up to {most}, each in fresh processes. Machine: {machine}; Python"
    yield f"{results.machine['python']}."
    if results.quick:
        yield "**A quick run: its figures are meaningless.**"
    for title, columns in TABLES.items():
        yield ""
        yield f"### {title}"
        yield ""
        yield from _table(results, columns)
    yield ""
    yield "### What is not there, and why"
    yield ""
    yield from _reasons(results)
    yield ""
    yield "### What is promised"
    yield ""
    yield "| figure | of | found | promised | |"
    yield "| --- | --- | --- | --- | --- |"
    for verdict in verdicts:
        promise = verdict.promise
        kept = "kept" if verdict.kept else "**broken**"
        title = FIGURES[promise.figure].title
        yield f"| {title} | {promise.contender} | {verdict.text} | {promise} | {kept} |"
    yield ""
    yield "### Versions"
    yield ""
    for contender, versions in results.versions.items():
        output = ", ".join(f"{name} {number}" for name, number in versions.items())
        yield f"* {contender}: {output or 'Python alone'}"


def _table(results: Results, columns: dict[str, str]) -> Iterator[str]:
    yield f"| | {' | '.join(columns.values())} |"
    yield f"| --- |{' --- |' * len(columns)}"
    for contender in (LIMIT, PROJECT, JOURNAL, *PEERS):
        found = {name: results.median(name, contender) for name in columns}
        if any(value is not None for value in found.values()):
            cells = ("n/a" if v is None else FIGURES[name].write(v) for name, v in found.items())
            strong = "**" if contender in (PROJECT, JOURNAL) else ""
            yield f"| {strong}{contender}{strong} | {' | '.join(cells)} |"


def _reasons(results: Results) -> Iterator[str]:
    """Yield each reason for missing figures once."""
    output: dict[tuple[str, str], list[str]] = {}
    for outcome in results.outcomes:
        if outcome.unable:
            workloads = output.setdefault((outcome.contender, outcome.unable), [])
            if outcome.workload not in workloads:
                workloads.append(outcome.workload)
    for (contender, reason), workloads in output.items():
        yield f"* {contender}, {', '.join(workloads)}: {reason}"
