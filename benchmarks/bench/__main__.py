"""Measure the project beside the limit, and beside the alternatives: ``python -m bench``.

Every figure comes from work that was counted and checked. Exits with 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.contenders import JOURNAL, LIMIT, PEERS, PROJECT
from bench.page import write_docs
from bench.plan import make_plan, perform
from bench.promises import judge
from bench.report import print_report
from bench.results import Results, describe_machine
from bench.workloads import WORKLOADS

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("workload", nargs="*", help="a part of a workload's name; else all")
    parser.add_argument("--only", action="append", metavar="CONTENDER", help="of these alone")
    parser.add_argument("--peers", type=Path, metavar="DIRECTORY", help="with the environments")
    parser.add_argument("--repetitions", type=int, default=3, help="each in fresh processes")
    parser.add_argument("--quick", action="store_true", help="little, once: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the figures")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="what was kept, measuring nothing"
    )
    parser.add_argument("--write-docs", action="store_true", help="renew the performance page")
    options = parser.parse_args()
    console = Console()
    results = Results.load(options.read) if options.read else _measure(options, console)
    verdicts = list(judge(results))
    print_report(console, results, verdicts)
    if options.json:
        results.save(options.json)
    if options.write_docs:
        write_docs(results, verdicts)
    own = [outcome for outcome in results.outcomes if outcome.contender not in PEERS]
    if any(outcome.failed for outcome in own):
        return 1
    # A quick run shows that all of it works; what it measures is worth nothing.
    return 0 if results.quick or all(verdict.kept for verdict in verdicts) else 1


def _measure(options: argparse.Namespace, console: Console) -> Results:
    workloads = [
        name
        for name in WORKLOADS
        if not options.workload or any(part in name for part in options.workload)
    ]
    contenders = [LIMIT, PROJECT, JOURNAL, *(PEERS if options.peers else ())]
    if options.only:
        contenders = options.only
    repetitions = 1 if options.quick else options.repetitions
    plan = make_plan(workloads, contenders, repetitions, options.peers)
    results = Results(describe_machine(), quick=options.quick)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("measuring", total=len(plan))
        for step in plan:
            progress.update(task, description=str(step))
            if not console.is_terminal:
                console.print(str(step), highlight=False)
            perform(step, results)
            progress.advance(task)
    return results


if __name__ == "__main__":
    sys.exit(main())
