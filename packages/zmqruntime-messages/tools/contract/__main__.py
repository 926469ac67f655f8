"""Renews the contract that the wheel ships: ``nox -s contract``, ``nox -s contract -- release``."""

from __future__ import annotations

import argparse
import sys

from contract.baseline import NotReleasable, renew
from contract.files import COMMITTED, RELEASED, write


def main() -> int:
    """Write the files that the models make; return the exit code."""
    parser = argparse.ArgumentParser(prog="contract", description=__doc__)
    parser.add_argument(
        "step",
        nargs="?",
        choices=["renew", "release"],
        default="renew",
        help="renew: what the next wheel ships (default); release: also what it is held against, "
        "once for each version",
    )
    step = parser.parse_args().step
    write(COMMITTED)
    print(f"wrote {COMMITTED}")
    if step == "release":
        try:
            version = renew()
        except NotReleasable as error:
            print(f"error: {RELEASED} stays as it is: {error}", file=sys.stderr)
            return 1
        print(f"wrote {RELEASED}, of {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
