"""The demo: `nox -s demo`, or `python demo.py DIRECTORY`.

Launches a server that digests a directory, checks the digest, and cancels a long execution half-way
while another one is queued. Ctrl-C ends the demo at any time. See `demonstration`.
"""

from __future__ import annotations

import os
import sys

from signals import INTERRUPTED, on_signal

if __name__ == "__main__":
    on_signal(lambda: os._exit(INTERRUPTED))  # Nothing to clean up yet.

    from demonstration import main

    sys.exit(main())
