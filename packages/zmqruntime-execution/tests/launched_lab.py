"""Server classes that tests launch with arguments."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zmqruntime.execution import ExecutionContext, ExecutionServer
from zmqruntime.messages import ExecuteRequest, JsonValue

__all__ = [
    "AnyArguments",
    "DroppingPort",
    "Lab",
    "Model",
    "Settings",
    "Size",
    "WithRequiredArgument",
    "WithoutParameters",
]


class Model:
    """An application type used as an argument."""

    def __init__(self, name: str) -> None:
        self.name = name


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


@dataclass
class Settings:
    names: set[str]


class Lab(ExecutionServer):
    """Has its own parameter before the port."""

    def __init__(
        self, model: Model | Path | str = "none", port: int | None = None, **options: Any
    ) -> None:
        super().__init__(port, **options)
        self.model = model

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        return self.model.name if isinstance(self.model, Model) else str(self.model)


class AnyArguments(ExecutionServer):
    """Passes all arguments on to `ExecutionServer`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        return None


class DroppingPort(AnyArguments):
    """Does not pass the port on to `ExecutionServer`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.pop("port", None)
        super().__init__(**options)


class WithRequiredArgument(Lab):
    """Requires its own argument."""

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)


class WithoutParameters(Lab):
    """Has no parameters."""

    def __init__(self) -> None:
        super().__init__()
