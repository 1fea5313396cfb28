"""A chain of mirrors: the same identities, asked in turn; who was found to be down is asked last for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from forebay.errors import OriginError
from forebay.events import Event, Hook, What
from forebay.hub.origin import Origin
from forebay.hub.patience import Busy

Result = TypeVar("Result")

_QUIET_SECONDS = 30.0


@dataclass(slots=True)
class Outages:
    """Which mirrors did not answer lately, so that not every file finds it out anew. Safe to use from several threads.

    Attributes:
        hook: told by WARNING when the next mirror is asked; of one that is down, once until it answers again.
        clock: in seconds.
    """

    hook: Hook
    clock: Callable[[], float] = time.monotonic
    _until: dict[str, float] = field(default_factory=dict[str, float])
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def ordered(self, origins: Sequence[Origin]) -> list[Origin]:
        """Return origins in the order in which to ask them: those that are down come last.

        After a while one that is down is in its place again, for one caller, who finds out for all.
        """
        if len(origins) < 2:
            return list(origins)
        with self._guard:
            return sorted(origins, key=lambda origin: self._is_down(origin.name))

    def failed(self, origin: Origin, error: OriginError, where: str = "", *, others: bool) -> None:
        """Note that an origin did not do what it was asked for.

        Args:
            origin: which one.
            error: why.
            where: of which file, for people.
            others: whether another one is asked now.
        """
        told = False
        if isinstance(error, Busy):
            with self._guard:
                told = origin.name in self._until
                self._until[origin.name] = self.clock() + _QUIET_SECONDS
        if others and not told:
            of = f"{where}: " if where and not isinstance(error, Busy) else ""
            self.hook(Event(What.WARNING, f"{of}{error.what}; asking the next mirror"))

    def answered(self, origin: Origin) -> None:
        """Note that an origin answers."""
        with self._guard:
            self._until.pop(origin.name, None)

    def _is_down(self, name: str) -> bool:
        until = self._until.get(name)
        if until is None:
            return False
        if self.clock() < until:
            return True
        self._until[name] = self.clock() + _QUIET_SECONDS
        return False


def first_answer(origins: Sequence[Origin], ask: Callable[[Origin], Result], outages: Outages) -> Result:
    """Return the answer of the first origin that can be reached.

    Raises:
        OriginError: none can be reached; the message names all.
        ForebayError: one answered, and its answer is no.
    """
    failed: list[OriginError] = []
    ordered = outages.ordered(origins)
    for origin in ordered:
        try:
            answer = ask(origin)
        except OriginError as error:
            failed.append(error)
            outages.failed(origin, error, others=origin is not ordered[-1])
        else:
            outages.answered(origin)
            return answer
    if len(failed) == 1:
        raise failed[0]
    what = "; ".join(dict.fromkeys(error.what for error in failed))
    raise OriginError(what, subject=failed[-1].subject, hint=failed[-1].hint) from failed[-1]
