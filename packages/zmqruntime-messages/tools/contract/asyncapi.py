"""The AsyncAPI 3 document of both channels, from the server's perspective."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contract.vectors import Json, Subject
from zmqruntime.messages import PROTOCOL_VERSION, make_schemas

__all__ = ["make_asyncapi"]

# The reply of each request; any request may be answered by `error` instead.
_REPLIES: Final = {
    "ping": "pong",
    "execute": "accepted",
    "status": "snapshot",
    "cancel": "ok",
    "events": "kept_events",
    "log_tail": "log",
    "register_progress": "ok",
    "unregister_progress": "ok",
    "shutdown": "shutdown_ack",
}

_INFO: Final = """\
Long-running tasks over ZeroMQ: a client submits tasks, receives their progress, cancels them, and
fetches their results. This document describes the server; a client sends what the server receives.

A server is addressed by its data port P. Its control port is P + `control_port_offset` (1000).

A server rejects unknown fields of requests. A client ignores unknown fields of replies and events,
and treats an unknown error code as `internal` and an unknown kind of error as `exception`.
"""

_CONTROL: Final = """\
The server binds a ROUTER socket, a client connects a REQ socket (or a DEALER socket that puts an
empty delimiter frame before each request). One request is one frame, one reply is one frame, each a
JSON object in UTF-8 (RFC 8259). Every request gets exactly one reply, and no reply is unsolicited.
Replies may arrive in another order than their requests; a reply has its request's `request_id`.
"""

_DATA: Final = """\
The server binds an XPUB socket, a client connects a SUB socket and subscribes to `CLIENT_ID/`, or
to the empty prefix for the events of all clients. A message is two frames: the topic, which is the
address of this channel, and an event, a JSON object in UTF-8. A SUB socket only sends
subscriptions.

The second frame may be an array of events of one execution, in order, while all subscribed clients
have announced support for arrays by an additional subscription to `~` and each prefix.

To receive every event, a client subscribes first and then sends `register_progress` on the control
channel: the `ok` acknowledges that the subscription has arrived. Events may be dropped for a
subscriber beyond its high-water mark; `sequence` then has a gap, and `events` replays what is
buffered.
"""

_NAME: Final = r"1 to 64 of A-Z a-z 0-9 . _ -"

_ERROR = "error"


def make_asyncapi(subjects: Iterable[Subject]) -> Json:
    """Return the document, with the valid vectors of ``subjects`` as examples."""
    messages = {subject.type: subject for subject in subjects}
    control = [word for word, subject in messages.items() if subject.kind != "event"]
    data = [word for word, subject in messages.items() if subject.kind == "event"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "zmqruntime",
            "version": str(PROTOCOL_VERSION),
            "description": _INFO,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "controlTcp": _make_tcp_server("control", 8777),
            "controlIpc": _make_ipc_server("control", 8777),
            "dataTcp": _make_tcp_server("data", 7777),
            "dataIpc": _make_ipc_server("data", 7777),
        },
        "channels": {
            "control": {
                "address": None,
                "description": _CONTROL,
                "servers": [_refer("servers", "controlTcp"), _refer("servers", "controlIpc")],
                "messages": {word: _refer("components", "messages", word) for word in control},
                "x-zeromq": {
                    "server": {"socket": "ROUTER", "binds": True},
                    "client": {"sockets": ["REQ", "DEALER"], "binds": False},
                    "frames": [
                        {"name": "envelope", "content": "the frames before the first empty frame"},
                        {"name": "delimiter", "content": "empty; a REQ socket adds it"},
                        {"name": "payload", "content": "a JSON object in UTF-8"},
                    ],
                },
            },
            "data": {
                "address": "{client_id}/{execution_id}",
                "description": _DATA,
                "servers": [_refer("servers", "dataTcp"), _refer("servers", "dataIpc")],
                "parameters": {
                    "client_id": {"description": f"The submitter's name: {_NAME}."},
                    "execution_id": {"description": f"The execution's name: {_NAME}."},
                },
                "messages": {word: _refer("components", "messages", word) for word in data},
                "x-zeromq": {
                    "server": {"socket": "XPUB", "binds": True},
                    "client": {"sockets": ["SUB"], "binds": False},
                    "frames": [
                        {"name": "topic", "content": "the address of this channel, in ASCII"},
                        {
                            "name": "payload",
                            "content": "a JSON object in UTF-8; or an array of them, if all "
                            "subscribers accept arrays",
                        },
                    ],
                },
            },
        },
        "operations": {
            **{request: _make_operation(request, reply) for request, reply in _REPLIES.items()},
            "publish": {
                "action": "send",
                "channel": _refer("channels", "data"),
                "summary": "Publish the progress and the status transitions of executions.",
                "messages": [_refer("channels", "data", "messages", word) for word in data],
            },
        },
        "components": {
            "messages": {word: _make_message(subject) for word, subject in messages.items()},
            "schemas": _gather_schemas(),
        },
    }


def _refer(*path: str) -> Json:
    return {"$ref": f"#/{'/'.join(path)}"}


def _make_tcp_server(channel: str, port: int) -> Json:
    return {
        "host": "{host}:{port}",
        "protocol": "tcp",
        "protocolVersion": "ZMTP 3.1",
        "description": f"The {channel} channel over TCP: `tcp://HOST:PORT`.",
        "variables": {
            "host": {
                "default": "127.0.0.1",
                "description": "A server binds to loopback by default.",
            },
            "port": {"default": str(port), "description": f"The {channel} port."},
        },
    }


def _make_ipc_server(channel: str, port: int) -> Json:
    return {
        "host": "localhost",
        "pathname": "{directory}/{app}-{port}.sock",
        "protocol": "ipc",
        "protocolVersion": "ZMTP 3.1",
        "description": (
            f"The {channel} channel over a Unix domain socket: `ipc://DIRECTORY/APP-PORT.sock`."
        ),
        "variables": {
            "directory": {"description": "A directory accessible by its owner only (mode 0700)."},
            "app": {
                "default": "zmqruntime",
                "description": "The application name, equal on both sides.",
            },
            "port": {"default": str(port), "description": f"The {channel} port."},
        },
    }


def _make_operation(request: str, reply: str) -> Json:
    messages = ("channels", "control", "messages")
    return {
        "action": "receive",
        "channel": _refer("channels", "control"),
        "messages": [_refer(*messages, request)],
        "reply": {
            "channel": _refer("channels", "control"),
            "messages": [_refer(*messages, reply), _refer(*messages, _ERROR)],
        },
    }


def _make_message(subject: Subject) -> Json:
    title, definition = _definition_of(subject)
    message: Json = {
        "name": subject.type,
        "title": title,
        "summary": definition["description"],
        "contentType": "application/json",
        "payload": _refer("components", "schemas", title),
        "examples": [
            {"name": "minimal", "payload": subject.minimal},
            {"name": "full", "payload": subject.full},
        ],
    }
    if subject.kind != "event":
        message["correlationId"] = {"location": "$message.payload#/request_id"}
    return message


def _definition_of(subject: Subject) -> tuple[str, Json]:
    for title, definition in make_schemas()[subject.kind]["$defs"].items():
        if definition.get("properties", {}).get("type", {}).get("const") == subject.type:
            return title, definition
    raise LookupError(
        f"no {subject.kind} has the type {subject.type!r}: add it to the union, or delete it"
    )


def _gather_schemas() -> Json:
    """Return the definitions of all schemas by their title."""
    schemas: Json = {}
    for schema in make_schemas().values():
        for title, definition in schema["$defs"].items():
            moved = _move_references(definition)
            if schemas.setdefault(title, moved) != moved:
                raise ValueError(
                    f"{title} has different definitions in two schemas: rename one of the models"
                )
    return dict(sorted(schemas.items()))


def _move_references(value: Any) -> Any:
    if isinstance(value, list):
        return [_move_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _move_references(item) for key, item in value.items() if key != "$ref"}
    if "$ref" not in value:
        return moved
    reference = {"$ref": value["$ref"].replace("#/$defs/", "#/components/schemas/")}
    return (
        {"allOf": [reference], **moved} if moved else reference
    )  # AsyncAPI allows no keyword beside $ref.
