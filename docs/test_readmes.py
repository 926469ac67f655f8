"""The examples in the READMEs work."""

from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
READMES = [*REPOSITORY.glob("README.md"), *sorted(REPOSITORY.glob("packages/*/README.md"))]


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.parent.name)
def test_examples_of_readme(page: Path, run_page: Callable[[Path], None]) -> None:
    run_page(page)
