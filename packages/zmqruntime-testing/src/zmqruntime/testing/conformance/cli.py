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
The server must provide the standard tasks: {"do": "echo", "value": ...} returns the value,
{"do": "fail", "message": ...} fails with it, {"do": "spin"} runs until it is cancelled, and
{"do": "count", "events": n} reports n progress events, completed=1..n of total=n, and returns n.
No other client may use the server during the checks.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a server and print the report; return 0 if every checked requirement holds, else 1."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if options.list:
        print(render_list())
        return 0
    if options.address is None:
        parser.error(
            "missing argument: the data address of the server, such as tcp://127.0.0.1:7777"
        )
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
    """Return the text report: each violated requirement with its evidence.

    Data from the server is escaped by `printable`.
    """
    requirements = load_requirements()
    blocks = []
    # Findings of several checks with the same text are reported once.
    alike: dict[tuple[object, str], list[Finding]] = defaultdict(list)
    for finding in verdict.findings:
        alike[finding.numbers, finding.what].append(finding)
    for (_, what), findings in alike.items():
        first, *others = findings
        lines = [f"{number}  {requirements[number]}" for number in first.numbers]
        lines = lines or ["-----  not checked: the setup of a check failed"]
        lines += [f"       {printable(line)}" for line in (*what.splitlines(), *first.shown)]
        more = f", and {len(others)} more" if others else ""
        lines.append(f"       found by {first.check}{more}")
        blocks.append("\n".join(lines))
    reasons: dict[str, list[str]] = defaultdict(list)
    for number, why in sorted(verdict.skipped.items()):
        reasons[why].append(number)
    if reasons:
        skipped_lines = (f"{', '.join(numbers)} skipped: {why}" for why, numbers in reasons.items())
        blocks.append("\n".join(map(printable, skipped_lines)))
    if verdict.trouble:
        blocks.append(printable(f"error: {verdict.trouble}"))
    skipped = f", {len(verdict.skipped)} skipped" if verdict.skipped else ""
    blocks.append(
        f"{len(verdict.passed - verdict.broken)} requirements passed, {len(verdict.broken)} "
        f"violated{skipped}; {len(NOT_CHECKABLE)} cannot be checked from outside"
    )
    return "\n" + "\n\n".join(blocks)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zmqruntime-conformance",
        description="Check a server against the requirements of the zmqruntime wire protocol.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("address", nargs="?", help="the data address: tcp://HOST:PORT or ipc://DIR/APP-PORT.sock")
    add("--control", metavar="ADDRESS", help="the control address (default: the data port + 1000)")
    add(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="timeout for each reply and event (default: 10 s)",
    )
    add(
        "--slots",
        type=_count,
        default=1,
        metavar="N",
        help="number of tasks that the server runs in parallel (default: 1)",
    )
    add(
        "--max-queued",
        type=_count,
        metavar="N",
        help="queue limit of the server; without it, the limit is not checked",
    )
    add(
        "--history-limit",
        type=_count,
        metavar="N",
        help="number of read records that the server keeps; without it, this is not checked",
    )
    add(
        "-k",
        dest="keyword",
        default="",
        metavar="EXPR",
        help="run only matching checks, as in 'C-012 or ping'",
    )
    add(
        "--shutdown",
        type=ShutdownMode,
        choices=list(ShutdownMode),
        help="also check the shutdown: the last checks stop the server in this mode",
    )
    add("--list", action="store_true", help="list the requirements with their checks, and exit")
    return parser


def _seconds(text: str) -> float:
    """Parse a duration."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(
            f"invalid duration {text}: use a number of seconds above 0"
        )
    return seconds


def _count(text: str) -> int:
    """Parse a count of 1 or more."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"invalid count {text}: use 1 or more")
    return count


if __name__ == "__main__":
    sys.exit(main())
