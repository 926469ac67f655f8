"""The tables of bounds agree with the code: figures, constants, errors and log lines."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zmq

from zmqruntime.execution import ExecutionServer, RetryPolicy, WaitPolicy
from zmqruntime.messages import ErrorCode, ErrorKind, ExecuteRequest
from zmqruntime.transport import ZMQConfig

REPOSITORY = Path(__file__).parents[1]
REFERENCE = REPOSITORY / "docs" / "reference"
SOURCES = [
    REPOSITORY / "packages" / f"zmqruntime-{package}" / "src"
    for package in ("messages", "transport", "execution")
]
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "ms": 0.001}

Value = float | tuple[float, ...] | None


class Row(NamedTuple):
    """One row of the table in ``configuration.md``."""

    bound: str
    name: str
    default: str
    named_by: str


def read_table(page: str, heading: str, columns: int) -> list[list[str]]:
    """Return the cells of the table below a heading, without its header and group titles."""
    text = (REFERENCE / page).read_text("utf-8").partition(f"\n## {heading}\n")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert all(len(row) == columns for row in rows), [r for r in rows if len(r) != columns]
    return [row for row in rows if not row[0].startswith("**")]


def read_figures(cell: str) -> Value:
    """Return the figure at the start of a cell, in bytes, seconds or a count, or None."""
    if part := re.match(r"1/(\d+)", cell):
        return float(part[1])
    if both := re.match(r"([\d,]+) to ([\d,]+)", cell):
        return tuple(float(figure.replace(",", "")) for figure in both.groups())
    if not (figure := re.match(r"([\d,]+(?:\.\d+)?)(?: (KiB|MiB|GiB|ms)\b)?", cell)):
        return None
    return float(figure[1].replace(",", "")) * UNITS.get(figure[2], 1)


def find_value(name: str) -> Value:
    """Return the value of a constant, or the default of a setting, by its dotted name."""
    if name.startswith("ZMQ_"):
        with zmq.Context() as context, context.socket(zmq.ROUTER) as sock:
            value: Any = sock.getsockopt(getattr(zmq, name.removeprefix("ZMQ_")))
        return float(value) * UNITS["ms"]
    for settings in (ZMQConfig, WaitPolicy, RetryPolicy):
        if name.startswith(f"{settings.__name__}."):
            fields = {field.name: field.default for field in dataclasses.fields(settings)}
            return as_value(fields[name.partition(".")[2]])
    if name.startswith("ExecutionServer."):
        return default_of(ExecutionServer, name.partition(".")[2])
    path, _, last = name.rpartition(".")
    if path.rpartition(".")[2][:1].isupper():
        module, _, owner = path.rpartition(".")
        return default_of(getattr(importlib.import_module(f"zmqruntime.{module}"), owner), last)
    value = getattr(importlib.import_module(f"zmqruntime.{path}"), last)
    return as_value(value * UNITS["ms"] if last.endswith("_MS") else value)


def default_of(owner: type, parameter: str) -> Value:
    return as_value(inspect.signature(owner).parameters[parameter].default)


def as_value(value: Any) -> Value:
    if isinstance(value, tuple):
        return tuple(float(part) for part in value)
    return None if value is None else float(value)


def find_strings() -> Iterator[str]:
    """Yield each string literal of the packages."""
    for source in SOURCES:
        for path in source.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def find_constants() -> Iterator[str]:
    """Yield the dotted names of constants whose name suggests a bound."""
    bounding = re.compile(r"(^|_)(MAX|MOST|LIMIT|SLICE|ROOM|BACKLOG|ROTATED|AT_ONCE|LONGEST)(_|$)")
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            module = ".".join(path.relative_to(source / "zmqruntime").with_suffix("").parts)
            for node in ast.parse(path.read_text("utf-8")).body:
                targets = (
                    node.targets
                    if isinstance(node, ast.Assign)
                    else [node.target]
                    if isinstance(node, ast.AnnAssign)
                    else []
                )
                for target in targets:
                    if isinstance(target, ast.Name) and bounding.search(target.id):
                        yield f"{module}.{target.id}"


ROWS = [
    Row(b, n.strip("`"), d, by) for b, n, d, _, by in read_table("configuration.md", "Bounds", 5)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_defaults_in_the_table_of_configuration_match_the_code(row: Row) -> None:
    assert read_figures(row.default) == find_value(row.name)


def test_errors_and_log_lines_in_the_table_of_configuration_exist() -> None:
    known = {*ErrorCode, *ErrorKind}
    for package in ("transport", "execution"):
        known |= set(importlib.import_module(f"zmqruntime.{package}").__all__)
    strings = "\0".join(find_strings())
    named = [(row.name, text) for row in ROWS for text in re.findall(r"`([^`]+)`", row.named_by)]

    assert [pair for pair in named if pair[1] not in known and pair[1] not in strings] == []


def label(*path: str) -> Callable[[], float]:
    def find() -> float:
        found: Any = ExecuteRequest.model_json_schema()["properties"]["labels"]
        for key in path:
            found = found[key]
        return float(found)

    return find


def share(name: str) -> Callable[[], float]:
    return lambda: ZMQConfig().max_unread_bytes / number(name)


def number(name: str) -> float:
    value = find_value(name)
    assert isinstance(value, float)
    return value


def longest_name() -> float:
    from zmqruntime.messages import base

    assert base._NAME.pattern is not None
    found = re.search(r"\{1,(\d+)\}", str(base._NAME.pattern))
    assert found is not None
    return float(found[1])


def count_read_ahead() -> float:
    from zmqruntime.transport.server.binding import count_read_ahead

    return count_read_ahead(ZMQConfig().max_message_bytes)


FIGURES: dict[str, str | Callable[[], float] | None] = {
    "a request, whole": "ZMQConfig.max_message_bytes",
    "a request without its `task` and `config`": "messages.base.MAX_REQUEST_BYTES",
    "envelope: frames": "transport.envelope._MAX_ENVELOPE_FRAMES",
    "envelope: length": "transport.envelope._MAX_ENVELOPE_BYTES",
    "frames of a message that are kept": "transport.envelope.MAX_FRAMES",
    "a frame on the data port": "transport.server.binding._MAX_SUBSCRIPTION_BYTES",
    "nesting of a request": None,  # Of the parser, and in the vectors of the contract.
    "`client_id`, `execution_id`": longest_name,
    "`request_id`": "messages.base.MAX_REQUEST_ID",
    "`cursor`": "messages.base.MAX_CURSOR",
    "`limit`": "messages.base.MAX_LIMIT",
    "`wait_seconds`": "messages.base.MAX_WAIT_SECONDS",
    "`max_bytes` of `log_tail`": "messages.base.MAX_LOG_TAIL_BYTES",
    "`labels`": label("maxProperties"),
    "name of a label": label("propertyNames", "maxLength"),
    "value of a label": label("additionalProperties", "maxLength"),
    "all labels, as JSON": "messages.execute_request._MAX_LABELS_BYTES",
    "`retry_on`": "messages.execute_request._MAX_KINDS",
    "`max_attempts`": "messages.base.MAX_ATTEMPTS",
    "`backoff_seconds`": "messages.base.MAX_BACKOFF_SECONDS",
    "`priority`": "messages.base.MAX_PRIORITY",
    "connections": None,  # As the process has files.
    "time until the ZMTP handshake is complete": "ZMQ_HANDSHAKE_IVL",
    "subscriptions of all connections": "transport.server.subscription_limits.MAX_SUBSCRIPTIONS",
    "prefixes of all connections": "transport.server.subscription_limits.MAX_PREFIX_BYTES",
    "registrations that wait for their subscription": "transport.server.handshake.MAX_WAITING",
    "time until a subscription is seen": "ZMQConfig.registration_timeout",
    "requests of a connection that are read ahead": count_read_ahead,
    "unread replies of a peer": share("transport.server.reply_sender._SHARE"),
    "unread replies of all peers": "ZMQConfig.max_unread_bytes",
    "unread replies of a peer, by number": "transport.server.binding._MAX_UNREAD_REPLIES",
    "waiting requests of a peer": "transport.server.unread_replies._MAX_WAITING",
    "waiting requests of a peer, by length": "transport.server.unread_replies._MAX_WAITING_BYTES",
    "waiting requests of all peers, by length": (
        "transport.server.unread_replies._MAX_ALL_WAITING_BYTES"
    ),
    "held replies of a peer": "transport.server.held_replies._PER_PEER_BYTES",
    "held replies of all peers": "transport.server.held_replies._IN_ALL_BYTES",
    "queued executions": "ExecutionServer.max_queued",
    "queued requests, by length": "ExecutionServer.max_queued_bytes",
    "ended executions that are kept": "ExecutionServer.history_limit",
    "registered clients in a reply": "transport.server.handshake.MAX_LISTED",
    "`details` of an error": "messages.decoding._MAX_FAULTS_NAMED",
    "events in a `kept_events`": "execution.core.replies._MAX_LISTED_BYTES",
    "a result": lambda: (
        ZMQConfig().max_message_bytes - number("execution.worker.child.task._RESERVED_BYTES")
    ),
    "nesting of a result": "messages.json_value.MAX_NESTING",
    "`result_repr`": "messages.failures.MAX_RESULT_REPR",
    "`message`, `traceback` of an error": "execution.worker.child.task._MAX_CHARACTERS",
    "`message`, `traceback` in `attempts`": "execution.lifecycle.retry._MAX_CHARACTERS",
    "a progress report, as JSON": "execution.worker.child.reporter._MAX_BYTES",
    "events in one message": "execution.lifecycle.events._MAX_EVENTS",
    "events in one message, by length": "execution.lifecycle.events._MAX_BYTES",
    "unread messages of a subscriber": "ZMQConfig.data_high_water_mark",
    "unread events of 16 KiB and more, all subscribers": share("transport.server.publisher._SHARE"),
    "kept events of an execution": "ExecutionServer.events_kept",
    "kept events of an execution, by length": (
        "execution.core.event_log.EventLog.max_execution_bytes"
    ),
    "kept events of all executions": "execution.core.event_log.EventLog.max_bytes",
}
"""The source of the figure of each row of the protocol's table; None: not in the code."""


def test_rows_of_the_table_of_the_protocol_are_those_with_a_source() -> None:
    assert [row[0] for row in read_table("protocol.md", "Bounds", 3)] == list(FIGURES)


@pytest.mark.parametrize("row", read_table("protocol.md", "Bounds", 3), ids=lambda row: row[0])
def test_figures_in_the_table_of_the_protocol_match_the_code(row: list[str]) -> None:
    source = FIGURES[row[0]]
    if source is not None:
        assert read_figures(row[1]) == (find_value(source) if isinstance(source, str) else source())


def test_errors_in_the_table_of_the_protocol_exist() -> None:
    named = {
        text
        for _, _, beyond in read_table("protocol.md", "Bounds", 3)
        for text in re.findall(r"`([a-z]+_[a-z_]+|busy|malformed)`", beyond)
    }

    assert named - {"progress_subscriber_count", "request_id", "max_message_bytes"} <= {
        *ErrorCode,
        *ErrorKind,
    }


@pytest.mark.parametrize("heading", ["ZMQConfig", "ExecutionServer", "WaitPolicy"])
def test_defaults_in_a_table_of_settings_match_the_code(heading: str) -> None:
    for setting, default, _ in read_table("configuration.md", heading, 3):
        if (figure := read_figures(default)) is not None:
            assert (setting, figure) == (setting, find_value(f"{heading}.{setting.strip('`')}"))


NO_BOUNDS = {
    "execution.client.batch._MAX_GROUP": "sizes a group of finished executions",
    "execution.journal.opening._NO_ROOM": "error codes of SQLite",
    "execution.worker.child.run_processes._MAX_ROUNDS": "tries to end what forks meanwhile",
    "execution.worker.child.run_processes._MAX_TERMINATE_SECONDS": "time of a process to end",
    "execution.worker.child.interrupt._MAX_RESEND_SECONDS": "time between two signals",
    "execution.worker.child.task._MAX_NOTE": "the note that a text was cut",
    "messages.json_value._MAX_KEY_SHOWN": "the path in an error",
    "messages.json_value._MAX_PARTS_SHOWN": "the path in an error",
    "messages.long_requests._MAX_QUOTED": "a name in an error",
    "transport.backoff._MAX_DOUBLINGS": "keeps a power from overflowing below the cap",
    "transport.client.channel._BUSY_MAX_MS": "pause between two tries to connect",
    "transport.config.MAX_PORT": "a port",
    "transport.config._MAX_HIGH_WATER_MARK": "range of a setting",
    "transport.config._MAX_MESSAGE_BYTES": "range of a setting",
    "transport.process.safe_paths._MAX_LINKS": "as the system does",
    "transport.process.process_tree._MAX_ROUNDS": "tries to end what forks meanwhile",
    "transport.socket_poller._LONGEST_SECONDS": "what poll(2) takes",
}
"""Constants that are named like a bound and need no row, each with the reason."""


def test_constants_named_like_a_bound_are_in_a_table() -> None:
    listed = {row.name for row in ROWS} | {name for name in FIGURES.values() if name}

    assert sorted(set(find_constants()) - listed) == sorted(NO_BOUNDS)
