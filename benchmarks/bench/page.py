"""The parts of the documentation that a run of the benchmark writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contenders import JOURNAL, LIMIT, PEERS, PROJECT
from bench.figures import FIGURES, SUMMARY, TABLES
from bench.picture import draw
from bench.promises import Verdict
from bench.results import Results

__all__ = ["BEGIN", "END", "compose", "compose_summary", "write_docs"]

BEGIN = "<!-- Written by `nox -s bench-peers -- --write-docs`, from here -->"
END = "<!-- to here -->"

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs/explanation"
_KEPT = _ROOT / "benchmarks/results.json"
_PICTURE = "performance.svg"


def write_docs(results: Results, verdicts: Sequence[Verdict]) -> None:
    """Write the summary, the figures, the picture, and the results that they come from."""
    _replace(_DOCS / "performance.md", compose_summary(results))
    _replace(_DOCS / "figures.md", compose(results, verdicts))
    (_DOCS / _PICTURE).write_text(draw(results))
    results.save(_KEPT)


def _replace(page: Path, lines: Iterator[str]) -> None:
    """Replace what stands between the marks of a page."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page}: missing mark: restore the lines {BEGIN} and {END}")
    written = "\n".join(lines)
    page.write_text(f"{before}{BEGIN}\n\n{written}\n{END}{after}")


def compose_summary(results: Results) -> Iterator[str]:
    """Yield the lines at the top of the performance page: the picture and one table."""
    yield f"![round trips and no-ops per second]({_PICTURE})"
    yield ""
    yield from _table(results, SUMMARY)
    yield ""
    yield _describe(results)


def compose(results: Results, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the lines of the page of figures."""
    yield _describe(results)
    if results.quick:
        yield ""
        yield "**A quick run: it shows that the benchmark works; its figures mean nothing.**"
    for title, columns in TABLES.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield from _table(results, columns)
    yield ""
    yield "## Not measured"
    yield ""
    yield from _reasons(results)
    yield ""
    yield "## Bounds"
    yield ""
    yield "| figure | of | measured | bound | |"
    yield "| --- | --- | --- | --- | --- |"
    for verdict in verdicts:
        promise = verdict.promise
        kept = "kept" if verdict.kept else "**broken**"
        title = FIGURES[promise.figure].title
        yield f"| {title} | {promise.contender} | {verdict.text} | {promise} | {kept} |"
    yield ""
    yield "## Versions"
    yield ""
    for contender, versions in results.versions.items():
        listed = ", ".join(f"{name} {number}" for name, number in versions.items())
        yield f"* {contender}: {listed or 'Python alone'}"


def _describe(results: Results) -> str:
    """Return how the figures came about."""
    most = 1 + max((outcome.repetition for outcome in results.outcomes), default=0)
    machine = "; ".join(f"{value}" for key, value in results.machine.items() if key != "python")
    python = results.machine["python"]
    return f"Medians of up to {most} runs in fresh processes. {machine}; Python {python}."


def _table(results: Results, columns: dict[str, str]) -> Iterator[str]:
    """Yield a row per contender; a column that no contender has is omitted."""
    found = {
        contender: {name: results.median(name, contender) for name in columns}
        for contender in (LIMIT, PROJECT, JOURNAL, *PEERS)
    }
    shown = [name for name in columns if any(v[name] is not None for v in found.values())]
    yield f"| | {' | '.join(columns[name] for name in shown)} |"
    yield f"| --- |{' --- |' * len(shown)}"
    for contender, values in found.items():
        if any(value is not None for value in values.values()):
            cells = (
                "n/a"
                if (value := values[name]) is None
                else FIGURES[name].write(value).replace(" ", "\N{NO-BREAK SPACE}")
                for name in shown
            )
            strong = "**" if contender in (PROJECT, JOURNAL) else ""
            yield f"| {strong}{contender}{strong} | {' | '.join(cells)} |"


def _reasons(results: Results) -> Iterator[str]:
    """Yield why a contender has no figures, once for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for outcome in results.outcomes:
        if outcome.unable:
            workloads = reasons.setdefault((outcome.contender, outcome.unable), [])
            if outcome.workload not in workloads:
                workloads.append(outcome.workload)
    for (contender, reason), workloads in reasons.items():
        yield f"* {contender}, {', '.join(workloads)}: {reason}"
