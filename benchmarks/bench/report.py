"""Tables of all figures and promises on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bench.figures import FIGURES, TABLES
from bench.promises import Verdict
from bench.results import Results
from zmqruntime.messages import printable

__all__ = ["print_report"]

_FEW = 4


def print_report(console: Console, results: Results, verdicts: Sequence[Verdict]) -> None:
    """Print all figures, the reasons for missing ones, and the promises."""
    if results.quick:
        console.print("a quick run: its figures are meaningless")
    few = len(results.contenders) <= _FEW
    for table in [_make_long_table(results)] if few else _make_wide_tables(results):
        console.print(table)
    for (contender, workload, reason), failed in _reasons(results).items():
        # The reason may be output of a contender: no markup and no control characters.
        text = printable(f"n/a: {contender}, {workload}: {reason}", newline="\n    ")
        console.print(Text(text, style="red" if failed else ""))
    if verdicts:
        console.print(_make_verdict_table(verdicts))


def _make_long_table(results: Results) -> Table:
    table = Table("figure", title="medians")
    for contender in results.contenders:
        table.add_column(contender, justify="right", no_wrap=True)
    for figure in FIGURES.values():
        found = [results.median(figure.name, contender) for contender in results.contenders]
        if any(value is not None for value in found):
            cells = ("n/a" if value is None else figure.write(value) for value in found)
            table.add_row(figure.title, *cells)
    return table


def _make_wide_tables(results: Results) -> Iterator[Table]:
    for title, columns in TABLES.items():
        shown = {
            name: heading
            for name, heading in columns.items()
            if any(results.median(name, contender) is not None for contender in results.contenders)
        }
        if not shown:
            continue
        table = Table(Column("", no_wrap=True), title=title)
        for heading in shown.values():
            table.add_column(heading, justify="right", overflow="fold")
        for contender in results.contenders:
            found = {name: results.median(name, contender) for name in shown}
            cells = ("n/a" if v is None else FIGURES[n].write(v) for n, v in found.items())
            table.add_row(contender, *cells)
        yield table


def _make_verdict_table(verdicts: Sequence[Verdict]) -> Table:
    table = Table("figure", Column("of", no_wrap=True), "found", "promised", "", title="promises")
    for verdict in verdicts:
        promise = verdict.promise
        table.add_row(
            FIGURES[promise.figure].title,
            promise.contender,
            verdict.text,
            str(promise),
            "[green]kept" if verdict.kept else "[red]broken",
        )
    return table


def _reasons(results: Results) -> dict[tuple[str, str, str], bool]:
    """Return the reasons for missing figures, and whether each is a failure."""
    return {
        (outcome.contender, outcome.workload, outcome.unable): outcome.failed
        for outcome in sorted(results.outcomes, key=lambda o: results.contenders.index(o.contender))
        if outcome.unable
    }
