"""Values that are true for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values that are true until a moment each; the least used go first. Not safe over threads by itself."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[object, tuple[float, Value]] = OrderedDict()

    def get(self, key: object, now: float) -> Value | None:
        """Return what is still true; None: nothing is."""
        found = self._held.get(key)
        if found is None or now >= found[0]:
            return None
        self._held.move_to_end(key)
        return found[1]

    def put(self, key: object, value: Value, until: float) -> None:
        """Keep a value until a moment."""
        self._held[key] = (until, value)
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
