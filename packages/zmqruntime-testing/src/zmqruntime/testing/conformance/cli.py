"""The command ``zmqruntime-conformance``."""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Sequence

from zmqruntime.messages import ShutdownMode, printable
from zmqruntime.testing.conformance.coverage import render_list
from zmqruntime.testing.conformance.report import Finding, Verdict
from zmqruntime.testing.conformance.requirements import NOT_CHECKABLE, load_requirements
from zmqruntime.testing.conformance.suite import run
from zmqruntime.testing.conformance.target import Target, TargetError

__all__ = ["main"]

_EPILOG = """\
The server has to offer the standard tasks: {"do": "echo", "value": ...} returns the value,
{"do": "fail", "message": ...} fails with it, {"do": "spin"} runs until it is cancelled, and
{"do": "count", "events": n} reports n progress events, completed=1..n of total=n, and returns n.
Nobody else should use the server meanwhile.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a server and print what is broken; return 0 when nothing is, else 1."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if options.list:
        print(render_list())
        return 0
    if options.address is None:
        parser.error("the address of the server is missing, such as tcp://127.0.0.1:7777")
    try:
        target = Target.parse(options.address, options.control)
    except TargetError as error:
        parser.error(str(error))
    verdict = run(
        target,
        patience=options.timeout,
        keyword=options.keyword,
        slots=options.slots,
        ending=options.shutdown,
        max_queued=options.max_queued,
        history_limit=options.history_limit,
    )
    print(render_report(verdict))
    return 0 if verdict.ok else 1


def render_report(verdict: Verdict) -> str:
    """Return the report for a person: each broken sentence with what shows it.

    What the server sent is escaped by `printable`.
    """
    sentences = load_requirements()
    blocks = []
    # What breaks many checks in the same way is told once.
    alike: dict[tuple[object, str], list[Finding]] = defaultdict(list)
    for finding in verdict.findings:
        alike[finding.numbers, finding.what].append(finding)
    for (_, what), findings in alike.items():
        first, *others = findings
        lines = [f"{number}  {sentences[number]}" for number in first.numbers]
        lines = lines or ["-----  could not be checked"]
        lines += [f"       {printable(line)}" for line in (*what.splitlines(), *first.shown)]
        more = f", and {len(others)} more" if others else ""
        lines.append(f"       found by {first.check}{more}")
        blocks.append("\n".join(lines))
    reasons: dict[str, list[str]] = defaultdict(list)
    for number, why in sorted(verdict.skipped.items()):
        reasons[why].append(number)
    if reasons:
        told = (f"{', '.join(numbers)} did not apply: {why}" for why, numbers in reasons.items())
        blocks.append("\n".join(map(printable, told)))
    if verdict.trouble:
        blocks.append(printable(f"error: {verdict.trouble}"))
    skipped = f", {len(verdict.skipped)} did not apply" if verdict.skipped else ""
    blocks.append(
        f"{len(verdict.passed - verdict.broken)} sentences hold, {len(verdict.broken)} broken"
        f"{skipped}; {len(NOT_CHECKABLE)} cannot be checked from outside"
    )
    return "\n" + "\n\n".join(blocks)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zmqruntime-conformance",
        description="Check whether a server keeps the wire protocol of zmqruntime.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("address", nargs="?", help="the data address: tcp://HOST:PORT or ipc://DIR/APP-PORT.sock")
    add("--control", metavar="ADDRESS", help="the control address; else the port 1000 higher")
    add(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="for each reply and event (10 s)",
    )
    add("--slots", type=_count, default=1, metavar="N", help="how many tasks it runs at once (1)")
    add(
        "--max-queued", type=_count, metavar="N", help="how many may wait; else that is not checked"
    )
    add(
        "--history-limit",
        type=_count,
        metavar="N",
        help="how many that have ended and were read it keeps; else that is not checked",
    )
    add("-k", dest="keyword", default="", metavar="EXPR", help="only these checks: 'C-012 or ping'")
    add(
        "--shutdown",
        type=ShutdownMode,
        choices=list(ShutdownMode),
        help="check the end as well: the last checks end the server in this mode",
    )
    add("--list", action="store_true", help="list the sentences with their checks, and end")
    return parser


def _seconds(text: str) -> float:
    """Return a duration from the command line."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds


def _count(text: str) -> int:
    """Return a number of tasks from the command line."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


if __name__ == "__main__":
    sys.exit(main())
