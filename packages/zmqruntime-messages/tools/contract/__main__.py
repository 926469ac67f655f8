"""Renews the contract that the wheel ships: ``nox -s contract``, ``nox -s contract -- release``."""

from __future__ import annotations

import argparse

from contract.files import COMMITTED, RELEASED, write


def main() -> None:
    """Write the files that the models make."""
    parser = argparse.ArgumentParser(prog="contract", description=__doc__)
    parser.add_argument(
        "step",
        nargs="?",
        choices=["renew", "release"],
        default="renew",
        help="renew: what the next wheel ships (default); release: also what it is held against",
    )
    step = parser.parse_args().step
    for directory in (COMMITTED, RELEASED) if step == "release" else (COMMITTED,):
        write(directory)
        print(f"wrote {directory}")


if __name__ == "__main__":
    main()
