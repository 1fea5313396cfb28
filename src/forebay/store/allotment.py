"""Allotments: bytes of the budget that are set apart for a file that gathers, from before its first byte comes."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from forebay.errors import StoreError
from forebay.store.gathering import ALLOTTED
from forebay.store.intents import Intent
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.store.ledger import Ledger
    from forebay.store.session import Session


class Allotment:
    """Bytes of the budget for what gathers under one lease; they count in place of what lies there.

    A context manager: in the end they are given back, and what still lies there counts as it is. To be used by the
    owner of the lease, from one thread.

    Args:
        ledger: that keeps the books.
        mine: the session that it belongs to.
        key: of the lease.
        size: bytes.

    Raises:
        StoreFullError: there is no room, and not enough may go.
        StoreError: the books cannot be written.
    """

    def __init__(self, ledger: Ledger, mine: Session, key: Key, size: int) -> None:
        self._ledger = ledger
        self.intent = Intent(mine.number(), size, None, ALLOTTED, key)
        """What stands in the books for it."""
        ledger.reserve([self.intent])

    def __enter__(self) -> Allotment:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._ledger.give_up([self.intent.number], (), {})
        except StoreError:
            pass  # it goes with the session
