"""Tables on the terminal: all figures, and how the promises stand."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.figures import FIGURES
from bench.promises import Verdict
from bench.results import Results

__all__ = ["print_report"]


def print_report(console: Console, results: Results, verdicts: Sequence[Verdict]) -> None:
    """Print every figure of everybody, why some have none, and every promise."""
    contenders = results.contenders
    table = Table("figure", title="medians" + (" of a quick run" if results.quick else ""))
    for contender in contenders:
        table.add_column(contender, justify="right")
    for figure in FIGURES.values():
        found = [results.median(figure.name, contender) for contender in contenders]
        if any(value is not None for value in found):
            cells = ("n/a" if value is None else figure.write(value) for value in found)
            table.add_row(figure.title, *cells)
    console.print(table)
    for contender in contenders:
        reasons = {
            outcome.workload: outcome.unable
            for outcome in results.outcomes
            if outcome.contender == contender and outcome.unable and not outcome.failed
        }
        for workload, reason in reasons.items():
            console.print(f"n/a: {contender}, {workload}: {reason}", markup=False)
    for outcome in results.outcomes:
        if outcome.failed:
            words = f"{outcome.contender}, {outcome.workload} {outcome.unable}"
            console.print(words, style="red", markup=False)
    table = Table("figure", "of", "found", "promised", "", title="promises")
    for verdict in verdicts:
        promise = verdict.promise
        table.add_row(
            FIGURES[promise.figure].title,
            promise.contender,
            verdict.words,
            str(promise),
            "[green]kept" if verdict.kept else "[red]broken",
        )
    console.print(table)
