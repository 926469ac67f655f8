"""Building blocks of the zmqruntime packages, for use by these packages: no stable interface.

Any of these names may change in any release. Each is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqruntime.transport.application import name_class as name_class
    from zmqruntime.transport.backoff import Backoff as Backoff
    from zmqruntime.transport.deadline import Deadline as Deadline
    from zmqruntime.transport.limited_log import LimitedLog as LimitedLog
    from zmqruntime.transport.multipart import drain as drain
    from zmqruntime.transport.process.command_options import (
        CONNECTION_OPTIONS as CONNECTION_OPTIONS,
    )
    from zmqruntime.transport.process.command_options import SERVER_OPTIONS as SERVER_OPTIONS
    from zmqruntime.transport.process.command_options import CommandOption as CommandOption
    from zmqruntime.transport.process.default_dirs import default_data_dir as default_data_dir
    from zmqruntime.transport.process.default_dirs import default_log_dir as default_log_dir
    from zmqruntime.transport.process.exit_code import describe_exit as describe_exit
    from zmqruntime.transport.process.identity import read_start_time as read_start_time
    from zmqruntime.transport.process.inherited_state import (
        fill_standard_descriptors as fill_standard_descriptors,
    )
    from zmqruntime.transport.process.inherited_state import reset_signals as reset_signals
    from zmqruntime.transport.process.ipc_files import read_file_id as read_file_id
    from zmqruntime.transport.process.lock_file import acquire_lock as acquire_lock
    from zmqruntime.transport.process.private_dirs import make_dirs as make_dirs
    from zmqruntime.transport.process.private_dirs import make_private_dir as make_private_dir
    from zmqruntime.transport.process.private_files import check_private_file as check_private_file
    from zmqruntime.transport.process.private_files import open_private as open_private
    from zmqruntime.transport.process.process_tree import RUN_VARIABLE as RUN_VARIABLE
    from zmqruntime.transport.process.process_tree import WORKER_VARIABLE as WORKER_VARIABLE
    from zmqruntime.transport.process.process_tree import is_resource_tracker as is_resource_tracker
    from zmqruntime.transport.process.process_tree import kill_all as kill_all
    from zmqruntime.transport.process.process_tree import kill_marked as kill_marked
    from zmqruntime.transport.process.process_tree import kill_process_group as kill_process_group
    from zmqruntime.transport.process.process_tree import kill_process_tree as kill_process_tree
    from zmqruntime.transport.process.process_tree import read_environment as read_environment
    from zmqruntime.transport.process.process_tree import terminate_then_kill as terminate_then_kill
    from zmqruntime.transport.process.safe_paths import check_safe_dir as check_safe_dir
    from zmqruntime.transport.process.source_digest import (
        compute_origin_digest as compute_origin_digest,
    )
    from zmqruntime.transport.process.source_digest import (
        compute_source_digest as compute_source_digest,
    )
    from zmqruntime.transport.process.source_digest import find_source as find_source
    from zmqruntime.transport.server.held_replies import HeldReplies as HeldReplies
    from zmqruntime.transport.server.publisher import LARGE_EVENT_BYTES as LARGE_EVENT_BYTES
    from zmqruntime.transport.server.unread_replies import LARGE_REPLY_BYTES as LARGE_REPLY_BYTES
    from zmqruntime.transport.validation import check_number as check_number
    from zmqruntime.transport.validation import check_type as check_type
    from zmqruntime.transport.validation import parse_choice as parse_choice

# The names of each module; the imports above repeat them for type checkers.
_HOMES = {
    "backoff": ("Backoff",),
    "process.command_options": (
        "CommandOption",
        "CONNECTION_OPTIONS",
        "SERVER_OPTIONS",
    ),
    "application": ("name_class",),
    "deadline": ("Deadline",),
    "limited_log": ("LimitedLog",),
    "multipart": ("drain",),
    "process.default_dirs": ("default_data_dir", "default_log_dir"),
    "process.exit_code": ("describe_exit",),
    "process.identity": ("read_start_time",),
    "process.inherited_state": ("fill_standard_descriptors", "reset_signals"),
    "process.ipc_files": ("read_file_id",),
    "process.lock_file": ("acquire_lock",),
    "process.private_dirs": ("make_dirs", "make_private_dir"),
    "process.private_files": ("check_private_file", "open_private"),
    "process.process_tree": (
        "RUN_VARIABLE",
        "WORKER_VARIABLE",
        "read_environment",
        "is_resource_tracker",
        "kill_all",
        "kill_marked",
        "kill_process_group",
        "kill_process_tree",
        "terminate_then_kill",
    ),
    "process.safe_paths": ("check_safe_dir",),
    "process.source_digest": ("compute_origin_digest", "compute_source_digest", "find_source"),
    "server.held_replies": ("HeldReplies",),
    "server.publisher": ("LARGE_EVENT_BYTES",),
    "server.unread_replies": ("LARGE_REPLY_BYTES",),
    "validation": ("check_number", "check_type", "parse_choice"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULES)


if not TYPE_CHECKING:  # Else a type checker would accept every name.

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"zmqruntime.transport.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
