"""See it at work: `nox -s demo`, or `python demo.py DIRECTORY`.

Launches a server and has it digest a directory, checks the digest, cancels a long run half-way
and lets the one behind it complete. Ctrl-C ends all of it, at any time: see `story`.
"""

from __future__ import annotations

import os
import sys

from signals import INTERRUPTED, on_signal

if __name__ == "__main__":
    on_signal(lambda: os._exit(INTERRUPTED))  # There is nothing to clean up yet.

    from story import main

    sys.exit(main())
