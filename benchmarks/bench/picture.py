"""A bar chart with a logarithmic scale, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench.contenders import JOURNAL, LIMIT, PROJECT
from bench.figures import FIGURES, Figure
from bench.results import Results

__all__ = ["draw"]

_SHOWN = {
    "round-trip.p50": "Round trip of a no-op, p50: less is better",
    "throughput.per_second": "5,000 no-ops submitted, then awaited: more a second is better",
}
_COLOURS = {LIMIT: "#8d99ae", PROJECT: "#1b7f5c", JOURNAL: "#58a68a"}
_PEER = "#c9b08a"

_WIDTH, _LEFT, _RIGHT = 760, 176, 90
_BAR, _GAP, _HEAD, _SCALE = 16, 8, 44, 30


class _Bar(NamedTuple):
    name: str
    value: float


def draw(results: Results) -> str:
    """Return the chart of a run as SVG."""
    panels: list[str] = []
    top = 0
    for name, title in _SHOWN.items():
        medians = {contender: results.median(name, contender) for contender in results.contenders}
        bars = [_Bar(contender, value) for contender, value in medians.items() if value]
        if bars:
            bars.sort(key=lambda bar: bar.value, reverse=FIGURES[name].more_is_better)
            panels += _draw_panel(title, FIGURES[name], bars, top)
            top += _HEAD + len(bars) * (_BAR + _GAP) + _SCALE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {top + 8}"'
            ' font-family="system-ui, sans-serif" font-size="13" fill="#222">',
            f'<rect width="{_WIDTH}" height="{top + 8}" rx="8" fill="#fff"/>',
            *panels,
            "</svg>\n",
        ]
    )


def _draw_panel(title: str, figure: Figure, bars: Sequence[_Bar], top: int) -> Iterator[str]:
    low = math.floor(math.log10(min(bar.value for bar in bars)))
    high = math.ceil(math.log10(max(bar.value for bar in bars)))
    high = max(high, low + 1)

    def place(value: float) -> float:
        part = (math.log10(value) - low) / (high - low)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    yield f'<text x="16" y="{top + 28}" font-size="15" font-weight="600">{escape(title)}</text>'
    first, last = top + _HEAD, top + _HEAD + len(bars) * (_BAR + _GAP)
    for power in range(low, high + 1):
        x = place(10.0**power)
        yield f'<path d="M{x} {first - 4}V{last}" stroke="#ddd"/>'
        label = f"{10.0**power:,g} {figure.unit}" if power < 6 else f"{10.0**power:g} {figure.unit}"
        yield f'<text x="{x}" y="{last + 16}" fill="#777" text-anchor="middle">{label}</text>'
    for number, bar in enumerate(bars):
        y = first + number * (_BAR + _GAP)
        end = max(place(bar.value), _LEFT + 2.0)
        colour = _COLOURS.get(bar.name, _PEER)
        weight = ' font-weight="600"' if bar.name in (PROJECT, JOURNAL) else ""
        middle = y + _BAR - 4
        name = f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end"{weight}>'
        yield f"{name}{escape(bar.name)}</text>"
        yield (
            f'<rect x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR}" rx="2"'
            f' fill="{colour}"/>'
        )
        yield f'<text x="{end + 6}" y="{middle}">{figure.write(bar.value)}</text>'
