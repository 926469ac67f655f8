"""``python -m zmqruntime.execution module:Class`` runs a server."""

import sys

from zmqruntime.execution.serve import main

if __name__ == "__main__":
    sys.exit(main())
