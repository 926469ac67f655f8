"""A module whose own code fails when it is imported."""

1 / 0  # noqa: B018
