"""Where a mirror's snapshots and bytes come from: the store, and the hub for what the store has not.

It keeps in memory what every request needs, asks the hub about a branch once in a while, and sees to it that nobody
gets bytes that the hub would not give to them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import unquote

from forebay.config import HubSettings
from forebay.errors import AccessError, CacheRequiredError, ForebayError, NotFoundError, OriginError, StoreError
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.mirror.content import Coming, Content, Held
from forebay.mirror.listing import Listing
from forebay.store.layout import Layout
from forebay.types import JSON, Entry, Key

if TYPE_CHECKING:
    from forebay.hub import Hub

_MOST_PICTURES = 256
_MOST_ANSWERS = 8192
_ADMITTED_SECONDS = 300.0
_REFUSED_SECONDS = 10.0
_OFFLINE_SECONDS = 2.0  # other processes may fetch meanwhile

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")

Value = TypeVar("Value")


class Trouble(Exception):
    """Why there is no answer, as a hub would say it.

    Attributes:
        status: of HTTP.
        code: Hugging Face's own word for it, or "".
        message: one line for people.
        commit: the snapshot concerned, or "".
        retry_seconds: when to ask again; 0: it does not matter.
    """

    def __init__(self, status: int, code: str, message: str, *, commit: str = "", retry_seconds: int = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.commit, self.retry_seconds = commit, retry_seconds


@dataclass(frozen=True)
class Picture:
    """A snapshot with all that answers about it are made of.

    Attributes:
        snapshot: the files.
        info: what the hub itself said about the repository, without Xet; may be empty.
    """

    snapshot: Snapshot
    info: Mapping[str, JSON]

    @cached_property
    def listing(self) -> Listing:
        """Files and folders."""
        return Listing(self.snapshot)

    @property
    def number(self) -> int:
        """A number for a repository, the same on every mirror: ModelScope's clients ask by number."""
        return number_of(self.snapshot.id)

    @property
    def second(self) -> int:
        """When it was last changed, in seconds since the epoch, as far as the hub told."""
        told = self.info.get("LastUpdatedTime", self.info.get("GmtModified", 0))
        return told if isinstance(told, int) else 0

    @property
    def private(self) -> bool:
        """Whether even its existence is for some only; then not even its list of files is given to others."""
        return bool(self.info.get("private")) or self.info.get("Visibility") == 1


def number_of(id: str) -> int:  # noqa: A002 - the hubs' own word
    """Return the number that stands for a repository of ModelScope."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") | 1


class _Recent(Generic[Value]):
    """Values that are true until a moment each; the least used go first. Not safe over threads by itself."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[object, tuple[float, Value]] = OrderedDict()

    def get(self, key: object, now: float) -> Value | None:
        found = self._held.get(key)
        if found is None or now >= found[0]:
            return None
        self._held.move_to_end(key)
        return found[1]

    def put(self, key: object, value: Value, until: float) -> None:
        self._held[key] = (until, value)
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)


@dataclass(slots=True)
class _Saved:
    """What need not be fetched: the seconds that files took when they were."""

    seconds: float = 0.0
    seen: set[Key] = field(default_factory=set[Key])

    def note(self, entry: Entry) -> None:
        if entry.key not in self.seen:
            self.seen.add(entry.key)
            self.seconds += entry.cost.seconds


class Library:
    """Pictures and bytes. Safe over threads.

    Args:
        hub: the store and the origins behind it.
        settings: what the hub was made with.
        serve_restricted: give gated and private repositories to everybody.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        hub: Hub,
        settings: HubSettings,
        *,
        serve_restricted: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub, self._settings = hub, settings
        self._serve_restricted = serve_restricted
        self._clock = clock
        self._guard = threading.Lock()
        self._pictures: _Recent[Picture] = _Recent(_MOST_PICTURES)
        self._answers: _Recent[Picture | Trouble] = _Recent(_MOST_ANSWERS)
        self._admitted: _Recent[bool] = _Recent(_MOST_ANSWERS)
        self._numbers: dict[int, str] = {}
        self._salt = secrets.token_bytes(16)
        self._saved = _Saved()
        self._layout = Layout(hub.store.home)

    # What is there

    def picture(self, reference: Reference, token: str | None) -> Picture:
        """Return what a reference means now.

        Args:
            reference: of a repository.
            token: the client's for the hub; None: it showed none.

        Raises:
            Trouble: there is none, or not for this client.
        """
        if not _is_sound(reference):
            raise Trouble(404, "RepoNotFound", f"not a repository: {reference.id}")
        picture = self._answered(reference, "") or self._answered(reference, self._mask(token))
        if picture is None:
            picture = self._asked(reference, token)
        if picture.private:
            self.admit(picture, token, hidden=True)
        return picture

    def _answered(self, reference: Reference, mask: str) -> Picture | None:
        with self._guard:
            found = self._answers.get((reference, mask), self._clock())
        if isinstance(found, Trouble):
            raise found
        return found

    def _asked(self, reference: Reference, token: str | None) -> Picture:
        mask = self._mask(token)
        try:
            snapshot = self._hub.resolve(
                reference,
                fresh_seconds=self._settings.fresh_seconds,
                offline=self._settings.offline,
                token=self._shown(token),
            )
            picture = self._picture_of(snapshot)
        except ForebayError as error:
            trouble = as_trouble(error, reference, shown=token is not None)
            if not error.retryable:  # what the hub said, and not that it said nothing
                self._remember(reference, mask, trouble)
            raise trouble from error
        self._remember(reference, mask if picture.snapshot.restricted else "", picture)
        if reference.hub == "ms":
            self._numbers[picture.number] = picture.snapshot.id
        return picture

    def _remember(self, reference: Reference, mask: str, answer: Picture | Trouble) -> None:
        """Keep an answer as long as it holds; one about a public repository holds for all."""
        seconds = _OFFLINE_SECONDS if self._settings.offline else self._settings.fresh_seconds
        if isinstance(answer, Picture) and reference.commit:
            seconds = float("inf")
        with self._guard:
            self._answers.put((reference, mask), answer, self._clock() + seconds)

    def _picture_of(self, snapshot: Snapshot) -> Picture:
        with self._guard:
            found = self._pictures.get(snapshot.key, 0.0)
        if found is not None and found.snapshot.restricted == snapshot.restricted:
            return found
        picture = Picture(snapshot, self._hub.info(snapshot))
        with self._guard:
            self._pictures.put(snapshot.key, picture, float("inf"))
        return picture

    def revisions(self, picture: Picture) -> dict[str, str]:
        """Return the revisions of a repository that have been asked for: name -> commit."""
        snapshot = picture.snapshot
        default = snapshot.reference.default_revision
        store, prefix = self._hub.store, f"hub/{snapshot.hub}/{snapshot.type}/{snapshot.id}/"
        found = {default: snapshot.commit}
        for name in store.names.list(prefix):
            revision, place = unquote(name.removeprefix(prefix)), store.names.get(name)
            entry = store.get(*place) if place is not None and "/" not in name.removeprefix(prefix) else None
            commit = entry.meta.get("commit") if entry is not None else None
            if isinstance(commit, str) and commit != revision:
                found[revision] = commit
        return found

    def numbered(self, number: int) -> Reference | None:
        """Return the dataset of ModelScope that a number stands for, if it has ever been asked for."""
        if number not in self._numbers:
            names = self._hub.store.names.list("hub/ms/dataset/")
            ids = {"/".join(name.split("/")[3:5]) for name in names}
            self._numbers |= {number_of(id): id for id in ids}  # noqa: A001
        id = self._numbers.get(number)  # noqa: A001
        return None if id is None else Reference("ms", "dataset", id)

    # Who may have it

    def admit(self, picture: Picture, token: str | None, *, hidden: bool = False) -> None:
        """Return if a client may have the bytes of a snapshot.

        Args:
            picture: the snapshot.
            token: the client's for the hub.
            hidden: whether it may not even know of it otherwise.

        Raises:
            Trouble: it may not, or nobody can say.
        """
        snapshot = picture.snapshot
        if not snapshot.restricted or self._serve_restricted:
            return
        key = (snapshot.hub, snapshot.type, snapshot.id, self._mask(token))
        with self._guard:
            allowed = self._admitted.get(key, self._clock())
        if allowed is None:
            allowed = self._ask_admission(snapshot, token)
            seconds = _ADMITTED_SECONDS if allowed else _REFUSED_SECONDS
            with self._guard:
                self._admitted.put(key, allowed, self._clock() + seconds)
        if not allowed:
            raise _not_admitted(snapshot, shown=token is not None, hidden=hidden or picture.private)

    def _ask_admission(self, snapshot: Snapshot, token: str | None) -> bool:
        if token is None:
            return False  # restricted means that nobody gets it without one
        if self._settings.offline:
            message = f"{snapshot.id} is gated or private, and the hub cannot be asked whose token this is"
            raise Trouble(403, "GatedRepo", f"{message}; start the mirror with --serve-restricted")
        try:
            return self._hub.may_read(snapshot, token)
        except OriginError as error:
            raise Trouble(503, "", f"cannot ask the hub whose token this is: {error.what}", retry_seconds=10) from error

    def _shown(self, token: str | None) -> str | None:
        """Return whose token upstream is asked with: the client's or none; ours where all is served to everybody."""
        return token or (None if self._serve_restricted else "")

    def _mask(self, token: str | None) -> str:
        """Return what stands for a token in memory: a salted hash."""
        return "" if token is None else hmac.new(self._salt, token.encode(), "sha256").hexdigest()

    # Bytes

    def opener(self, picture: Picture, file: SnapshotFile, token: str | None) -> Callable[[int, int], Content]:
        """Return what opens bytes [start, end) of a file, fetching it where it is not there; it raises `Trouble`."""

        def opened(start: int, end: int) -> Content:
            try:
                held = self._held(picture, file, start, end)
                return self._coming(picture, file, token, start, end) if held is None else held
            except ForebayError as error:
                raise as_trouble(error, picture.snapshot.reference, shown=token is not None) from error

        return opened

    def spoiled(self, file: SnapshotFile) -> bool:
        """Tell whether clients may hold wrong bytes of a file, which they must not go on from."""
        return self._hub.spoiled(file) > 0

    def _held(self, picture: Picture, file: SnapshotFile, start: int, end: int) -> Content | None:
        store, entry = self._hub.store, self._hub.file(picture.snapshot, file.path)
        if entry is None:
            return None
        ref = entry.objects[0]
        try:
            view = store.read(ref.digest)  # looks at the bytes the first time that this process gives them out
        except StoreError:
            return None  # gone or damaged: as if it had never been there
        with self._guard:
            self._saved.note(entry)
        path = self._layout.object(ref.digest)
        whole = (start, end) == (0, len(view))
        return Held(view[start:end], path if whole and path.is_file() else None)

    def _coming(self, picture: Picture, file: SnapshotFile, token: str | None, start: int, end: int) -> Content:
        if self._settings.offline:
            what = f"{file.path} of {picture.snapshot.dataset} is not in the store, and the mirror is offline"
            raise Trouble(404, "EntryNotFound", what)
        stream = self._hub.stream(picture.snapshot, file.path, start, end, token=self._shown(token))
        return Coming(stream)

    def to_json(self) -> dict[str, JSON]:
        """Return what was saved, and how often the hub was asked."""
        return {"seconds_saved": round(self._saved.seconds, 3), "upstream_requests": self._hub.requests}


def _is_sound(reference: Reference) -> bool:
    """Tell whether it can be a repository's: what is no name must reach neither the store nor the hub."""
    revision = reference.revision
    fine = revision is None or (revision.isprintable() and ".." not in revision and 0 < len(revision) < 256)
    return fine and _ID.fullmatch(reference.id) is not None and ".." not in reference.id


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
        return Trouble(504, "", error.what, retry_seconds=10)
    return Trouble(500, "", f"{type(error).__name__}: {error.what}")


def _not_admitted(snapshot: Snapshot, *, shown: bool, hidden: bool) -> Trouble:
    if hidden:
        return Trouble(404 if shown else 401, "RepoNotFound", "Repository not found")
    what = f"Access to {snapshot.type} {snapshot.id} is restricted"
    if shown:
        return Trouble(403, "GatedRepo", f"{what} and you are not in the authorized list. Ask for access.")
    return Trouble(401, "GatedRepo", f"{what}. You must have access to it and be authenticated. Please log in.")
