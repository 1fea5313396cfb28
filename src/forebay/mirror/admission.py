"""Who may have the bytes of a gated or private repository: whom its hub lets in.

When the hub cannot be asked, nobody can say whose a token is. A mirror for many refuses then. One that `forebay exec`
has started for its user gives that user what they could read in the store themselves.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from forebay.errors import OriginError
from forebay.hub.snapshot import Snapshot
from forebay.mirror.exchange import nobody
from forebay.mirror.recent import Recent
from forebay.mirror.trouble import Trouble, not_admitted

if TYPE_CHECKING:
    from forebay.hub import Hub

_MOST_ANSWERS = 8192
_ADMITTED_SECONDS = 300.0
_REFUSED_SECONDS = 10.0


class Admission:
    """Whom the hub lets in, remembered for a while. Safe over threads.

    Args:
        hub: the hub.
        offline: it is not to be asked.
        serve_restricted: let everybody in, without asking it.
        private: the mirror serves one user, who may read the store: let them in when it cannot be asked.
        clock: seconds that never go back.
    """

    def __init__(
        self, hub: Hub, *, offline: bool, serve_restricted: bool, private: bool, clock: Callable[[], float]
    ) -> None:
        self._hub, self._offline, self._private, self._clock = hub, offline, private, clock
        self.serve_restricted = serve_restricted
        self._guard = threading.Lock()
        self._known: Recent[bool | Trouble] = Recent(_MOST_ANSWERS)
        self._salt = secrets.token_bytes(16)

    def admit(
        self, snapshot: Snapshot, token: str | None, owns: Callable[[], bool] = nobody, *, hidden: bool = False
    ) -> None:
        """Return if a client may have the bytes of a snapshot.

        Args:
            snapshot: the snapshot.
            token: the client's for the hub.
            owns: see `Request.owns`.
            hidden: whether it may not even know of it otherwise.

        Raises:
            Trouble: it may not, or nobody can say.
        """
        if not snapshot.restricted or self.serve_restricted:
            return
        allowed = self._answer(snapshot, token)
        if isinstance(allowed, Trouble):  # nobody can say
            if self._private and owns():
                return
            if token is not None:
                raise Trouble(allowed.status, allowed.code, allowed.message)
        if allowed is not True:
            raise not_admitted(snapshot, shown=token is not None, hidden=hidden)

    def shown(self, token: str | None) -> str | None:
        """Return whose token upstream is asked with: the client's or none; ours where all is served to everybody."""
        return token or (None if self.serve_restricted else "")

    def mask(self, token: str | None) -> str:
        """Return what stands for a token in memory: a salted hash."""
        return "" if token is None else hmac.new(self._salt, token.encode(), "sha256").hexdigest()

    def _answer(self, snapshot: Snapshot, token: str | None) -> bool | Trouble:
        """Return what the hub says, or why it does not say anything."""
        key = (snapshot.hub, snapshot.type, snapshot.id, self.mask(token))
        with self._guard:
            answer = self._known.get(key, self._clock())
        if answer is None:
            answer = self._ask(snapshot, token)
            seconds = _ADMITTED_SECONDS if answer is True else _REFUSED_SECONDS
            with self._guard:
                self._known.put(key, answer, self._clock() + seconds)
        return answer

    def _ask(self, snapshot: Snapshot, token: str | None) -> bool | Trouble:
        if self._offline:
            message = f"{snapshot.id} is gated or private, and the hub cannot be asked whose token this is"
            hint = "it serves one user alone" if self._private else "start the mirror with --serve-restricted"
            return Trouble(403, "GatedRepo", f"{message}; {hint}")
        if token is None and not self._private:
            return False  # restricted means that nobody gets it without one
        try:
            return self._hub.may_read(snapshot, token or "")
        except OriginError as error:
            return Trouble(503, "", f"cannot ask the hub whose token this is: {error.what}")
