"""Fixtures: a view model and a screen that records its views."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scan_viewer.view_model import MakeClient, ScanViewModel
from screen import MakeModel, Screen


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def make_model(screen: Screen) -> Iterator[MakeModel]:
    """Make view models that show on the screen; close them at the end."""
    models: list[ScanViewModel] = []

    def make(make_client: MakeClient) -> ScanViewModel:
        models.append(ScanViewModel(make_client, screen.show))
        return models[-1]

    yield make
    for model in models:
        model.close()
