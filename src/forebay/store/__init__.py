"""The store: objects by content, entries by key, a hard budget, one build at a time (design/0001-store-format.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy
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

# Most who open a store only look things up: they need no reports.
__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {".reports": ["Damage", "EntryInfo", "GcReport", "ReindexReport", "Share", "Usage", "VerifyReport"]},
)
