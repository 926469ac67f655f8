"""One measurement in a process of its own: ``python -m bench.measurement WORKLOAD CONTENDER ...``.

Prints a JSON object: for each contender its figures, or why there are none, and its versions.
Several contenders are driven in turns, if the workload yields.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.contender import Contender, Unsupported
from bench.contenders import find_driver, running
from bench.scale import FULL, QUICK, Case, Scale
from bench.workloads import WORKLOADS

__all__ = ["measure"]


def measure(workload: str, names: list[str], scale: Scale) -> dict[str, dict[str, Any]]:
    """Run one workload for some contenders, in turns."""
    output: dict[str, dict[str, Any]] = {}
    under_way = {}
    for name in names:
        driver = find_driver(name)
        output[name] = {"versions": _versions(driver)}
        under_way[name] = WORKLOADS[workload](Case(name, driver, scale, running))
    try:
        while under_way:
            for name, measuring in list(under_way.items()):
                try:
                    next(measuring)
                    continue
                except StopIteration as end:
                    output[name]["figures"] = end.value
                except Unsupported as reason:
                    output[name]["unable"] = str(reason)
                del under_way[name]
    finally:
        for measuring in under_way.values():
            measuring.close()
    return output


def _versions(driver: type[Contender]) -> dict[str, str]:
    found = {}
    for distribution in driver.distributions:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            found[distribution] = "not installed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("contender", nargs="+")
    parser.add_argument("--quick", action="store_true", help="a small run")
    options = parser.parse_args()
    output = measure(options.workload, options.contender, QUICK if options.quick else FULL)
    print(json.dumps(output))


if __name__ == "__main__":
    main()
