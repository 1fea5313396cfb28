"""Why a mirror gives no answer, in the hubs' own words."""

from __future__ import annotations

from forebay.errors import AccessError, CacheRequiredError, ForebayError, NotFoundError, OriginError
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot


class Trouble(Exception):
    """Why there is no answer, as a hub would say it.

    Attributes:
        status: of HTTP.
        code: Hugging Face's own word for it, or "".
        message: one line for people.
        commit: the snapshot concerned, or "".
    """

    def __init__(self, status: int, code: str, message: str, *, commit: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.commit = commit


def as_trouble(error: ForebayError, reference: Reference, *, shown: bool) -> Trouble:
    """Return how a hub would say what went wrong; `shown`: whether the client has shown a token."""
    if isinstance(error, AccessError):
        return Trouble(403 if shown else 401, "GatedRepo", error.what)
    if isinstance(error, NotFoundError):
        if "no revision" in error.what:
            return Trouble(404, "RevisionNotFound", error.what)
        # a stranger is not told whether it is missing or private
        return Trouble(404 if shown else 401, "RepoNotFound", error.what)
    if isinstance(error, CacheRequiredError):
        return Trouble(404, "RepoNotFound", error.what)
    if isinstance(error, OriginError):
        return Trouble(504, "", error.what)  # no Retry-After: clients wait that long five times over
    return Trouble(500, "", f"{type(error).__name__}: {error.what}")


def not_admitted(snapshot: Snapshot, *, shown: bool, hidden: bool) -> Trouble:
    """Return how a hub refuses a repository's bytes; `hidden`: it does not even say that there are any."""
    if hidden:
        return Trouble(404 if shown else 401, "RepoNotFound", "Repository not found")
    what = f"Access to {snapshot.type} {snapshot.id} is restricted"
    if shown:
        return Trouble(403, "GatedRepo", f"{what} and you are not in the authorized list. Ask for access.")
    return Trouble(401, "GatedRepo", f"{what}. You must have access to it and be authenticated. Please log in.")
