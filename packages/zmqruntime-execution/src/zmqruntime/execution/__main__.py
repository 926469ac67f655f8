"""``python -m zmqruntime.execution module:Class`` runs a server."""

import gc
import sys

from zmqruntime.execution.worker.begin import begin_ahead

if __name__ == "__main__":
    gc.disable()  # Nothing of what is imported is garbage; `serve` enables it.
    # Both import much the same, at the same time.
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        begin_ahead(sys.argv[1].partition(":")[0])

    from zmqruntime.execution.serve import main

    sys.exit(main())
