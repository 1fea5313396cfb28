"""Figures as text: numbers of three digits, medians with extremes, paired ratios, Markdown tables, verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def spread(values: Sequence[float], unit: str = "s", scale: float = 1.0) -> str:
    """Write ``median (low-high) unit``."""
    low, high = min(values) * scale, max(values) * scale
    text = number(statistics.median(values) * scale)
    return f"{text} ({number(low)}–{number(high)}) {unit}" if len(values) > 1 else f"{text} {unit}"


def number(value: float) -> str:
    """Write three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def median(runs: Sequence[dict[str, float]], what: str = "wall") -> float:
    """Return the median of one field of several costs."""
    return statistics.median(each[what] for each in runs)


def column(runs: Sequence[dict[str, float]], what: str = "wall") -> list[float]:
    """Return one field of several costs."""
    return [each[what] for each in runs]


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    body = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body) + "\n"


class Promises:
    """The table of promises, in the order of their telling."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    def add(self, what: str, measured: str, promise: str, kept: bool | None) -> None:
        """Note one; None: nothing was promised."""
        verdict = {True: "kept", False: "**missed**", None: ""}[kept]
        self.lines.append([what, measured, promise, verdict])

    def at_most(self, what: str, value: float, limit: float, text: tuple[str, str]) -> None:
        """Note an upper bound; `text` is what was measured and what was promised, in words."""
        self.add(what, text[0], text[1], value <= limit)

    def at_least(self, what: str, value: float, limit: float, text: tuple[str, str]) -> None:
        """Note a lower bound."""
        self.add(what, text[0], text[1], value >= limit)


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each pair of samples that were taken one after the other."""
    return [one / other for one, other in zip(above, below, strict=True)]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    first, middle, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, middle, third


def percent_more(pairs: Sequence[float]) -> str:
    """Write paired ratios as what one takes more than the other: ``+9 % (+7 … +12)``, median and quartiles."""
    first, middle, third = (value - 1 for value in quartiles(pairs))
    return f"{middle:+.0%} ({first:+.0%} … {third:+.0%})" if len(pairs) > 1 else f"{middle:+.0%}"


def times(pairs: Sequence[float]) -> str:
    """Write paired ratios: ``1.03 (0.99 … 1.05) ×``, median and quartiles."""
    first, middle, third = quartiles(pairs)
    return f"{number(middle)} ({number(first)} … {number(third)}) ×" if len(pairs) > 1 else f"{number(middle)} ×"


def megabytes(value: float) -> str:
    """Write bytes as MB."""
    return f"{value / 1e6:,.0f} MB"
