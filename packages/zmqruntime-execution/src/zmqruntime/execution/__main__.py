"""``python -m zmqruntime.execution module:Class`` runs a server."""

import gc
import sys

from zmqruntime.transport.lowlevel import fill_standard_descriptors, reset_signals

# Before further imports, which may open files.
fill_standard_descriptors()
reset_signals()

from zmqruntime.execution.worker.parent.starting_worker import prestarted  # noqa: E402


def _run() -> int:
    # The worker imports its modules while the server imports its own.
    target = sys.argv[1] if len(sys.argv) > 1 else "-"
    with prestarted(None if target.startswith("-") else target.partition(":")[0]):
        from zmqruntime.execution.cli.serve import main

        return main()


if __name__ == "__main__":
    gc.disable()  # Imports create no garbage; `serve` enables it.
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(130)
