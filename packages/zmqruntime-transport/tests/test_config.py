"""Validation of settings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from zmqruntime.transport import ZMQConfig


@pytest.mark.parametrize(
    "field",
    [
        "default_port",
        "control_port_offset",
        "app_name",
        "runtime_dir",
        "log_dir",
        "max_message_bytes",
        "connect_timeout",
        "request_timeout",
        "reconnect_timeout",
        "retry_interval",
        "registration_timeout",
        "data_high_water_mark",
    ],
)
def test_setting_of_another_type_is_refused(field: str) -> None:
    with pytest.raises(TypeError, match=rf"^{field} has to be .*, not \[1\]$"):
        ZMQConfig(**{field: [1]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("default_port", 0, "is 0: it has to be at least 1 and at most 65,535"),
        ("default_port", 65_536, "is 65,536: it has to be at least 1 and at most 65,535"),
        ("control_port_offset", -65_535, "is -65,535: it has to be at least -65,534 and .*"),
        ("app_name", "", "'' must do as part of a file name"),
        ("app_name", "..", "'..' must do as part of a file name"),
        ("app_name", "../x", "'../x' must do as part of a file name"),
        ("app_name", "a/b", "'a/b' must do as part of a file name"),
        ("app_name", "a\0b", ".* must do as part of a file name"),
        ("runtime_dir", "", "'' must do as the name of a directory"),
        ("log_dir", Path("a\0b"), ".* must do as the name of a directory"),
        ("max_message_bytes", 2**17 - 1, "is 131,071: it has to be at least 131,072 and .*"),
        ("max_message_bytes", 2**53, "is .*: it has to be .* at most 9,007,199,254,740,991"),
        ("connect_timeout", 0.0, "is 0.0: it has to be more than 0"),
        ("request_timeout", -1, "is -1: it has to be more than 0"),
        ("reconnect_timeout", math.nan, "is nan: it has to be more than 0"),
        ("registration_timeout", 0, "is 0: it has to be more than 0"),
        ("retry_interval", 0.0001, "is 0.0001: it has to be at least 0.001"),
        ("max_unread_bytes", 2**17 - 1, "is 131,071: it has to be at least 131,072"),
        ("data_high_water_mark", -1, "is -1: it has to be at least 0 and .*"),
        ("data_high_water_mark", 2**31 // 4, "is .*: it has to be .* at most 429,496,729"),
    ],
)
def test_setting_out_of_range_is_refused(field: str, value: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} {complaint}$"):
        ZMQConfig(**{field: value})


def test_setting_at_the_end_of_its_range_is_valid() -> None:
    ZMQConfig(default_port=1, control_port_offset=65_534, app_name="..a", runtime_dir=Path())
    ZMQConfig(default_port=65_535, control_port_offset=-65_534, data_high_water_mark=0)
    ZMQConfig(max_message_bytes=2**53 - 1, data_high_water_mark=(2**31 - 1) // 5)
    ZMQConfig(connect_timeout=math.inf, retry_interval=math.inf, request_timeout=1)


def test_directory_may_be_a_string() -> None:
    config = ZMQConfig(runtime_dir="run", log_dir="log")  # type: ignore[arg-type]
    assert config == ZMQConfig(runtime_dir=Path("run"), log_dir=Path("log"))
