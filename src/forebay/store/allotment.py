"""Allotments: bytes of the budget that are set apart for a file that gathers, from before its first byte comes."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from forebay.errors import StoreError, StoreFullError
from forebay.store.gathering import ALLOTTED
from forebay.store.intents import SLAB_BYTES, Intent
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
        told: how an error begins where there is no room.

    Raises:
        StoreFullError: there is no room, and not enough may go.
        StoreError: the books cannot be written.
    """

    def __init__(self, ledger: Ledger, mine: Session, key: Key, size: int, told: str) -> None:
        self._ledger = ledger
        self._mine = mine
        self._key = key
        self._told = told
        self.intents: list[Intent] = []
        """What stands in the books for it."""
        self._add(size)

    def cover(self, size: int) -> None:
        """Set more apart where there turn out to be `size` bytes: a slab, or just what is wanting where room is scarce.

        Raises:
            StoreFullError, StoreError: as when it was made; what was set apart stays.
        """
        wanting = size - sum(each.bytes for each in self.intents)
        if wanting > 0:
            try:
                self._add(max(wanting, SLAB_BYTES))
            except StoreFullError:
                if wanting >= SLAB_BYTES:
                    raise
                self._add(wanting)

    def _add(self, size: int) -> None:
        intent = Intent(self._mine.number(), size, None, ALLOTTED, self._key)
        try:
            self._ledger.reserve([intent])
        except StoreFullError as error:
            told = StoreFullError(f"{self._told}: {error.what}", subject=error.subject, hint=error.hint)
            told.on_its_way = error.on_its_way
            raise told from error
        self.intents.append(intent)

    def __enter__(self) -> Allotment:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._ledger.give_up([each.number for each in self.intents], (), {})
        except StoreError:
            pass  # it goes with the session
