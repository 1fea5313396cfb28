"""A chain of mirrors: the same identities, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from forebay.errors import OriginError
from forebay.events import Event, Hook, What
from forebay.hub.origin import Origin

Result = TypeVar("Result")


def first_answer(origins: Sequence[Origin], ask: Callable[[Origin], Result], hook: Hook) -> Result:
    """Return the answer of the first origin that can be reached.

    Raises:
        OriginError: none can be reached; the message names all.
        ForebayError: one answered, and its answer is no.
    """
    failed: list[OriginError] = []
    for origin in origins:
        try:
            return ask(origin)
        except OriginError as error:
            failed.append(error)
            if origin is not origins[-1]:
                hook(Event(What.WARNING, f"{error.what}; asking the next mirror"))
    if len(failed) == 1:
        raise failed[0]
    what = "; ".join(dict.fromkeys(error.what for error in failed))
    raise OriginError(what, subject=failed[-1].subject, hint=failed[-1].hint) from failed[-1]
