"""``python -m zmqruntime.execution module:Class`` runs a server."""

import contextlib
import gc
import sys

from zmqruntime.execution.worker.begin import begun_ahead


def _run() -> int:
    # Both import much the same, at the same time.
    names_module = sys.argv[1:] and not sys.argv[1].startswith("-")
    module = sys.argv[1].partition(":")[0] if names_module else None
    with begun_ahead(module) if module else contextlib.nullcontext():
        from zmqruntime.execution.serve import main

        return main()


if __name__ == "__main__":
    gc.disable()  # Nothing of what is imported is garbage; `serve` enables it.
    sys.exit(_run())
