"""Object stores: S3, Google Cloud Storage, Azure, through `obstore`, which is loaded with the first use.

Credentials and endpoints are the store's own variables (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` …), read by
`obstore`. An object is known by its ETag: the store changes it with every write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from blake3 import blake3

from forebay.errors import AccessError, ConfigError, ForebayError, InputError, NotFoundError
from forebay.hub.origin import Listing
from forebay.hub.patience import Busy
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile, key_of, listed

_METADATA = re.compile(r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google\.internal|metadata/identity")
_NO_BUCKET = re.compile(r"404 Not Found|NoSuchBucket|ContainerNotFound")
_ODD_PATH = re.compile(r"object with invalid path")
_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true",
}


def open_bucket(url: str, options: Mapping[str, Any]) -> Any:
    """Return the `obstore` store of a bucket, as the environment says.

    Raises:
        ConfigError: `obstore` is not installed.
    """
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise ConfigError(f"cannot read {url}: obstore is not installed", hint="pip install 'forebay[s3]'") from error
    return from_url(url, **options)


class ObjectStore:
    """The objects under a prefix.

    Args:
        options: for `obstore.store.from_url`: ``endpoint``, ``client_options`` …
        opened: makes the store of a bucket's URL.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        opened: Callable[[str, Mapping[str, Any]], Any] = open_bucket,
    ) -> None:
        self._options = dict(options or {})
        self._opened = opened

    @property
    def name(self) -> str:
        """See `Origin`."""
        return "the object store"

    def resolve(self, reference: Reference, *, token: str | None = None, known: Snapshot | None = None) -> Listing:
        """See `Origin`. A prefix is a folder, or one object."""
        bucket, prefix = _parts(reference.id)
        files = listed(self._list(bucket, prefix), reference.id)
        if not files:
            hint = "check bucket and prefix; credentials are the store's own variables (AWS_ACCESS_KEY_ID …)"
            raise NotFoundError(f"nothing under {reference.id}", subject=reference.id, hint=hint)
        return Listing(Snapshot("store", "folder", reference.id, key_of(*(file.to_json() for file in files)), files))

    @contextmanager
    def read(
        self, snapshot: Snapshot, file: SnapshotFile, start: int, etag: str, *, token: str | None = None
    ) -> Generator[_ObjectBody]:
        """See `Origin`."""
        bucket, prefix = _parts(snapshot.id)
        one = len(snapshot.files) == 1 and prefix.rpartition("/")[2] == file.path
        key = prefix if one else "/".join(part for part in (prefix, file.path) if part)
        options: dict[str, Any] = {"range": (start, file.size)} if start else {}
        if file.etag:
            options["if_match"] = file.etag
        try:
            found = self._opened(bucket, self._options).get(key, options=options)
            yield _ObjectBody(found, start, bucket)
        except Exception as error:
            raise _told(error, f"{bucket}/{key}") from error

    def _list(self, bucket: str, prefix: str) -> Iterator[SnapshotFile]:
        try:
            for row in self._rows(bucket, prefix):
                path = str(row["path"])
                inside = path.removeprefix(prefix).strip("/") or path.rpartition("/")[2]
                etag, size = str(row.get("e_tag") or ""), int(row["size"])
                validator = etag or str(row["last_modified"])
                seen = blake3(f"{bucket}/{path}\0{validator}\0{size}".encode()).hexdigest()
                yield SnapshotFile(inside, size, f"etag:{seen}", etag=etag)
        except Exception as error:
            raise _told(error, f"{bucket}/{prefix}") from error

    def _rows(self, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        """Yield the objects below a prefix, or the one that is called so."""
        store, any_below = self._opened(bucket, self._options), False
        for rows in store.list(prefix=prefix or None):
            any_below = any_below or bool(rows)
            yield from (row for row in rows if not str(row["path"]).endswith("/"))  # a folder's placeholder
        if prefix and not any_below:
            yield store.head(prefix)


def _parts(url: str) -> tuple[str, str]:
    """Return the bucket's URL and the prefix within."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    return f"{scheme}://{bucket}", prefix


def _told(error: Exception, where: str) -> Exception:
    """Return the error of ours that fits one of theirs."""
    if isinstance(error, ForebayError):
        return error
    kind = type(error).__name__
    text = str(error).partition("\n")[0][:200]
    if _METADATA.search(str(error)):  # whom a cloud's own machines ask for credentials, when nothing else names any
        return AccessError(f"no credentials to read {where}", subject=where, hint=_HINTS[where.partition(":")[0]])
    if _ODD_PATH.search(text):
        hint = "rename that object, or name a longer prefix without it"
        return InputError(f"cannot read {where}: {text}", subject=where, hint=hint)
    if isinstance(error, FileNotFoundError) or kind == "NotFoundError" or _NO_BUCKET.search(str(error)):
        return NotFoundError(f"nothing at {where}", subject=where, hint="check bucket and prefix")
    if kind in ("UnauthenticatedError", "PermissionDeniedError"):
        return AccessError(f"not allowed to read {where}", subject=where, hint=_HINTS[where.partition(":")[0]])
    if kind == "PreconditionError":
        return InputError(f"{where} has changed since it was looked at", subject=where, hint="fetch again")
    return Busy(f"cannot read {where}: {text}", subject=where)


class _ObjectBody:
    def __init__(self, found: Any, start: int, host: str) -> None:
        self.start = start
        self.size: int | None = int(found.meta["size"])
        self.etag = ""
        self.host = host
        self._found = found

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """See `Body`."""
        try:
            for piece in self._found.stream(min_chunk_size=most_bytes):
                yield bytes(piece)
        except Exception as error:
            raise _told(error, self.host) from error
