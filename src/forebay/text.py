"""Quantities as people read them: sizes, durations, ages, counts, keys.

Sizes are decimal, as `config.parse_bytes` and disk makers count: 1 kB is 1000 bytes.
"""

from __future__ import annotations

SHORT_KEY = 12
"""Hex digits of a key that a table shows; 48 bits, so a store of millions of entries shows no two alike."""

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_AGES = ((604800 * 2, 604800, "w"), (86400 * 2, 86400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"))


def size(count: float) -> str:
    """Return bytes with three digits: ``0 B``, ``18.2 kB``, ``4.10 GB``."""
    for unit, name in _SIZES:
        # 999.5 and not 1000: what would be printed as "1000 kB" is "1.00 MB".
        if count >= unit * 0.9995:
            scaled = count / unit
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f} {name}"
    return f"{count:.0f} B"


def seconds(value: float) -> str:
    """Return a duration: ``0.4 ms``, ``0.41 s``, ``12.3 s``, ``2 min 05 s``, ``1 h 07 min``; negative ones are none."""
    if value <= 0:
        return "0 s"
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def about(value: float) -> str:
    """Return an estimated duration, without false precision: ``1 s``, ``40 s``, ``2 min``, ``1 h 07 min``."""
    whole = max(1, round(value))
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    return seconds(whole)


def age(then: float, now: float) -> str:
    """Return how long ago `then` was, in one unit: ``now``, ``40 s``, ``12 min``, ``5 h``; ``-`` when unknown."""
    if then <= 0:
        return "-"
    gone = now - then
    if gone < 1:
        return "now"
    for least, unit, name in _AGES:
        if gone >= least:
            return f"{int(gone // unit)} {name}"
    return f"{int(gone)} s"


def ago(then: float, now: float) -> str:
    """Return `age` as part of a sentence: ``just now``, ``12 min ago``."""
    since = age(then, now)
    return "just now" if since == "now" else f"{since} ago"


def moment(then: float) -> str:
    """Return a time of the local clock: ``2027-03-14 15:09:26``; ``unknown`` for 0."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then)) if then > 0 else "unknown"


def count(value: int) -> str:
    """Return a number with thousands set apart: ``1,234,567``."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Return ``1 entry``, ``2 entries``, ``1,234 shards``."""
    if value == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{value:,} {plural}"


def short(key: str) -> str:
    """Return the first digits of a key, enough to name it in a command."""
    return key[:SHORT_KEY]


def one_line(text: str) -> str:
    """Return `text` with every run of white space, line ends included, as one space."""
    return " ".join(text.split())
