"""Measure the project, bare pyzmq (the limit) and other job runtimes: ``python -m bench``.

The results of all measured work are checked. Exits with 1 when a promise is broken.
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
from bench.promises import evaluate
from bench.report import print_report
from bench.results import Results, describe_machine
from bench.workloads import WORKLOADS

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("workload", nargs="*", help="part of a workload's name; default: all")
    parser.add_argument("--only", action="append", metavar="CONTENDER", help="only these")
    parser.add_argument(
        "--peers", type=Path, metavar="DIRECTORY", help="the environments of the peers"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="number of repetitions, each in new processes"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small run that checks that all workloads work"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the figures")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="read stored figures instead of measuring"
    )
    parser.add_argument("--write-docs", action="store_true", help="update the performance page")
    options = parser.parse_args()
    console = Console()
    results = Results.load(options.read) if options.read else _measure(options, console)
    verdicts = list(evaluate(results))
    print_report(console, results, verdicts)
    if options.json:
        results.save(options.json)
    if options.write_docs:
        write_docs(results, verdicts)
    own = [outcome for outcome in results.outcomes if outcome.contender not in PEERS]
    if any(outcome.failed for outcome in own):
        return 1
    # The figures of a quick run are meaningless.
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
