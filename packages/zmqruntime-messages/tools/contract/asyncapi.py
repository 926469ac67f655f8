"""The two channels as one AsyncAPI 3 document, seen from the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contract.vectors import Json, Subject
from zmqruntime.messages import PROTOCOL_VERSION, make_schemas

__all__ = ["make_asyncapi"]

# Which reply answers which request; any may be answered by `error` instead.
_ANSWERS: Final = {
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
Long-running tasks over ZeroMQ: a client submits, watches the progress arrive, cancels, and comes
back for the result. This document is of the server; a client sends what the server receives.

A server is known by its data port P. Its control port is P + `control_port_offset` (1000).

A request is what a server takes: an unknown field is refused. A reply or an event is what a server
sends: a client ignores a field that it does not know, and reads an unknown error code as `internal`
and an unknown kind of error as `exception`.
"""

_CONTROL: Final = """\
The server binds a ROUTER socket, a client connects a REQ socket (or a DEALER socket that puts an
empty delimiter frame before each request). One request is one frame, one reply is one frame, each a
JSON object in UTF-8 (RFC 8259). Every request gets exactly one reply, and no reply is sent unasked.
Replies may overtake each other; `request_id` comes back as it was sent.
"""

_DATA: Final = """\
The server binds an XPUB socket, a client connects a SUB socket and subscribes to `CLIENT_ID/`, or
to the empty prefix for everybody's events. A message is two frames: the address of this channel,
which is the topic, and an event, a JSON object in UTF-8. A SUB socket sends nothing but its
subscriptions.

The second frame may be an array of such events, of one execution and in order, while everybody who
is subscribed has subscribed to `~` and each prefix, too. Who has not never gets one.

To miss no event, a client subscribes first and then sends `register_progress` on the control
channel: the `ok` says that the subscription has arrived. Events may be dropped when a subscriber
falls behind its high-water mark. `sequence` then has a gap, and `status` tells where things stand.
"""

_NAME: Final = r"1 to 64 of A-Z a-z 0-9 . _ -"

_ERROR = "error"


def make_asyncapi(subjects: Iterable[Subject]) -> Json:
    """Return the document; the examples in it are the valid vectors of ``subjects``."""
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
                        {"name": "envelope", "content": "what is before the first empty frame"},
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
                            "content": "a JSON object in UTF-8; for those who take arrays, an "
                            "array of several, too",
                        },
                    ],
                },
            },
        },
        "operations": {
            **{request: _answer(request, reply) for request, reply in _ANSWERS.items()},
            "publish": {
                "action": "send",
                "channel": _refer("channels", "data"),
                "summary": "Tell how an execution gets on, and when it changes its state.",
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
                "description": "A server binds to loopback unless told otherwise.",
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
            "directory": {"description": "One that only its owner can enter (mode 0700)."},
            "app": {"default": "zmqruntime", "description": "The name that both sides agree on."},
            "port": {"default": str(port), "description": f"The {channel} port."},
        },
    }


def _answer(request: str, reply: str) -> Json:
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
    raise LookupError(f"no {subject.kind} has the type {subject.type!r}: is it still a message?")


def _gather_schemas() -> Json:
    """Return the definitions of all messages, under the names that they have in their files."""
    schemas: Json = {}
    for schema in make_schemas().values():
        for title, definition in schema["$defs"].items():
            moved = _move_references(definition)
            if schemas.setdefault(title, moved) != moved:
                raise ValueError(f"{title} is one thing here and another there: name one of them")
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
    return {"allOf": [reference], **moved} if moved else reference  # no word may stand beside it
