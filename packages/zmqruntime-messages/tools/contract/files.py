"""The contract files: their paths and contents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from contract.asyncapi import make_asyncapi
from contract.events import EVENTS
from contract.frames import ARRAYS, FRAMES, TOPICS
from contract.replies import REPLIES
from contract.requests import REQUESTS
from contract.vectors import Json
from zmqruntime.messages import make_schemas

__all__ = ["COMMITTED", "PACKAGE", "find_differences", "make_files", "write"]

PACKAGE: Final = Path(__file__).parents[2]
"""The directory of zmqruntime-messages."""

COMMITTED: Final = PACKAGE / "src" / "zmqruntime" / "messages" / "contract"
"""The contract files of the wheel."""


def make_files() -> dict[str, str]:
    """Return the text of each file by its path in the contract."""
    subjects = (*REQUESTS, *REPLIES, *EVENTS)
    files: dict[str, Json] = {"asyncapi.json": make_asyncapi(subjects)}
    for kind, schema in make_schemas().items():
        files[f"schema/{kind}.json"] = schema
    for subject in subjects:
        files[f"vectors/{subject.kind}/{subject.type}.json"] = subject.to_json()
    for frames in FRAMES:
        files[f"vectors/{frames.kind}/frames.json"] = frames.to_json()
    files["vectors/topics.json"] = TOPICS
    files["vectors/arrays.json"] = ARRAYS
    return {
        path: json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        for path, content in files.items()
    }


def find_differences(directory: Path) -> list[str]:
    """Return the missing, outdated and unknown files of ``directory``, one message each."""
    made = make_files()
    there = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
    return sorted(
        [f"{path} is missing" for path in made.keys() - there]
        + [f"{path} is not part of the contract" for path in there - made.keys()]
        + [
            f"{path} is out of date"
            for path in made.keys() & there
            if (directory / path).read_text("utf-8") != made[path]
        ]
    )


def write(directory: Path) -> None:
    """Write the contract files into ``directory``, and delete other JSON files."""
    made = make_files()
    for path in list(directory.rglob("*.json")):
        if path.relative_to(directory).as_posix() not in made:
            path.unlink()
    for name, text in made.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
