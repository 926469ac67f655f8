"""Write the contract files: ``nox -s contract``, ``nox -s contract -- release``."""

from __future__ import annotations

import argparse
import sys

from contract.baseline import BASELINE, NotReleased, renew
from contract.files import COMMITTED, write


def main() -> int:
    """Write the files that are generated from the models; return the exit code."""
    parser = argparse.ArgumentParser(prog="contract", description=__doc__)
    parser.add_argument(
        "step",
        nargs="?",
        choices=["renew", "release"],
        default="renew",
        help="renew: the contract files of the wheel (default); release: also the baseline of the "
        "compatibility check, once for each version",
    )
    step = parser.parse_args().step
    write(COMMITTED)
    print(f"wrote {COMMITTED}")
    if step == "release":
        try:
            version = renew()
        except NotReleased as error:
            print(f"error: {BASELINE} is unchanged: {error}", file=sys.stderr)
            return 1
        print(f"wrote {BASELINE}, of {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
