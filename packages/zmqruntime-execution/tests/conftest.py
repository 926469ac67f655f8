"""Makes the helpers beside the tests importable, here and in processes that inherit the path."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# That a machine is slow is no failure.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")
