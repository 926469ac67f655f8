"""The picture on the landing page shows what its session prints; ``--renew`` draws it again.

``python docs/test_terminal_picture.py --renew`` writes ``docs/terminal.svg``.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
PICTURE = DOCS / "terminal.svg"


def draw() -> str:
    """Run the session with the server of the landing page, and return its picture."""
    page = (DOCS / "index.md").read_text("utf-8")
    block = re.search(r"```python\n(# server\.py\n.*?)```", page, re.DOTALL)
    assert block is not None, "docs/index.md has no block that begins with '# server.py'"
    with tempfile.TemporaryDirectory(prefix="p-") as directory:
        Path(directory, "server.py").write_text(block[1], encoding="utf-8")
        session = shutil.copy(DOCS / "terminal_session.py", directory)
        private = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"), directory)
        done = subprocess.run(
            [sys.executable, session],
            cwd=directory,
            env={**os.environ, **private},
            capture_output=True,
            check=True,
            timeout=60,
        )
    return done.stdout.decode()


def read_lines(svg: str) -> list[str]:
    """Return the text of a picture, line by line: other versions of rich draw the same one."""
    rows: dict[float, str] = {}
    for y, text in re.findall(r'<text [^>]*y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        rows[float(y)] = rows.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    return [row.rstrip() for _, row in sorted(rows.items()) if row.strip()]


def test_picture_on_the_landing_page_shows_a_real_session() -> None:
    assert read_lines(PICTURE.read_text("utf-8")) == read_lines(draw())


def test_picture_shows_a_cancel_between_two_complete_executions() -> None:
    words = " ".join(read_lines(PICTURE.read_text("utf-8")))

    assert re.findall(r"complete|cancelled|failed", words) == ["complete", "cancelled", "complete"]


if __name__ == "__main__" and "--renew" in sys.argv:
    PICTURE.write_text(draw(), encoding="utf-8")
