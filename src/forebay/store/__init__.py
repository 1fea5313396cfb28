"""The store: objects by content, entries by key, a hard budget, one build at a time (design/0001-store-format.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.store.batch import Batch
from forebay.store.holds import Pin
from forebay.store.memo import IndexMemo
from forebay.store.names import Names
from forebay.store.store import Store

if TYPE_CHECKING:
    from forebay.store.reports import Damage, EntryInfo, GcReport, ReindexReport, Share, Usage, VerifyReport

__all__ = [
    "Batch",
    "Damage",
    "EntryInfo",
    "GcReport",
    "IndexMemo",
    "Names",
    "Pin",
    "ReindexReport",
    "Share",
    "Store",
    "Usage",
    "VerifyReport",
]


def __getattr__(name: str) -> object:
    """Load the reports when they are first asked for: most who open a store only look things up."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from forebay.store import reports

    return getattr(reports, name)
