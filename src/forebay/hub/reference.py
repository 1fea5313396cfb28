"""References: what a person types to say which data is meant.

::

    hf://datasets/Rowan/hellaswag@main#default     a dataset on Hugging Face, at a revision; a configuration of it
    hf://datasets/Rowan/hellaswag/data/train.csv   one file (or folder) of it
    hf://Qwen/Qwen3-0.6B                           a model; spaces are hf://spaces/NS/NAME
    ms://datasets/modelscope/ceval                 ModelScope, likewise
    https://host/data.jsonl.gz#sha256=9f86…        any URL; the hash is optional
    s3://bucket/prefix                             an object store, also gs:// and az://
    ./folder                                       a file or folder here

A revision may hold a slash where the hub's own do (``@refs/pr/1``, ``@refs/convert/parquet``); any other is written
with ``%2F``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from forebay.config import user_path
from forebay.errors import InputError

HubName: TypeAlias = Literal["hf", "ms", "url", "store", "local"]
RepositoryType: TypeAlias = Literal["dataset", "model", "space", "file", "folder"]

_SCHEMES = {"http", "https", "s3", "gs", "az", "hf", "ms", "file"}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PREFIXES: dict[str, RepositoryType] = {
    "datasets": "dataset", "models": "model", "spaces": "space", "dataset": "dataset", "model": "model",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REVISION = re.compile(r"@(refs/(?:convert|pr|heads|tags)/[^/#]+|[^/#]+)")
_SHAPE = "hf://datasets/NAMESPACE/NAME[@REVISION][#CONFIGURATION] or hf://NAMESPACE/NAME for a model"


@dataclass(frozen=True, slots=True)
class Reference:
    """What is meant, before anybody is asked.

    Attributes:
        hub: where: ``hf``, ``ms``, ``url``, ``store`` (S3 and others) or ``local``.
        type: of what is there.
        id: ``NAMESPACE/NAME``, or the URL, or the absolute path.
        revision: branch, tag or commit; None: the default branch.
        config: a configuration of a dataset, "" for all.
        path: a file or folder within, "" for all.
        sha256: what the content of a URL must be, or "".
    """

    hub: HubName
    type: RepositoryType
    id: str
    revision: str | None = None
    config: str = ""
    path: str = ""
    sha256: str = ""

    @property
    def default_revision(self) -> str:
        """The branch that is meant where no revision is given."""
        return "master" if self.hub == "ms" else "main"

    @property
    def asked_revision(self) -> str:
        """The revision, or the default branch."""
        return self.revision or self.default_revision

    @property
    def commit(self) -> str | None:
        """The revision, if it is a full commit and so can never mean anything else."""
        return self.revision if self.revision and _COMMIT.fullmatch(self.revision) else None

    @property
    def whole(self) -> Reference:
        """The same repository and revision, without configuration and path."""
        return replace(self, config="", path="")

    def at(self, revision: str) -> Reference:
        """Return the same at another revision."""
        return replace(self, revision=revision)

    def __str__(self) -> str:
        if self.hub in ("hf", "ms"):
            kind = "" if self.type == "model" else f"{self.type}s/"
            revision = self.revision or ""
            shown = revision if revision.startswith("refs/") else quote(revision, safe="")
            at = f"@{shown}" if revision else ""
            within = f"/{self.path}" if self.path else ""
            return f"{self.hub}://{kind}{self.id}{at}{within}" + (f"#{self.config}" if self.config else "")
        return self.id + (f"#sha256={self.sha256}" if self.sha256 else "")


def parse(text: str | Path | Reference, *, base: Path | None = None) -> Reference:
    """Turn what a person typed into a reference.

    Args:
        text: see the module's examples; a `Path` is a file or folder, a `Reference` is returned as it is.
        base: what a relative path starts from; None: the working directory.

    Raises:
        InputError: it is none.
    """
    if isinstance(text, Reference):
        return text
    if isinstance(text, Path):
        return _local(str(text), base)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # from Python it may be anything
        raise InputError(f"not a reference: {text!r}", subject=text, hint=f"write a path, a URL, or {_SHAPE}")
    scheme, mark, rest = text.partition("://")
    if not mark:
        return _local(text, base)
    match scheme:
        case "hf" | "ms":
            return _repository(text, scheme, rest)
        case "http" | "https":
            return _url(text)
        case "s3" | "gs" | "az":
            if not rest.strip("/"):
                raise InputError(f"no bucket in {text!r}", subject=text, hint=f"write {scheme}://BUCKET/PREFIX")
            return Reference("store", "folder", f"{scheme}://{rest.rstrip('/')}")
        case "file":
            return _local(unquote(rest.removeprefix("localhost")), base)
        case _:
            raise InputError(f"unknown scheme in {text!r}", subject=text, hint=f"known: {', '.join(sorted(_SCHEMES))}")


def is_utf8(text: str) -> bool:
    """Tell whether a text can be written down: a file's name may hold any bytes, an escape of JSON half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _local(text: str, base: Path | None) -> Reference:
    if not text.strip() or "\0" in text:
        raise InputError(f"not a reference: {text!r}", subject=text, hint=f"write a path, a URL, or {_SHAPE}")
    path = ((base or Path.cwd()) / user_path(text)).absolute()
    if not is_utf8(str(path)):
        raise InputError(f"not UTF-8: the path {str(path)!r}", subject=text, hint="rename it, or a folder above it")
    return Reference("local", "folder", str(path))


def _url(text: str) -> Reference:
    url, _, fragment = text.partition("#")
    name, _, value = fragment.partition("=")
    if not re.fullmatch(r"https?://[^/@\s]+(/\S*)?", url) or not _has_host(url):
        hint = "write https://HOST[:PORT]/PATH, without spaces, and without secrets before the host"
        raise InputError(f"not a URL: {_without_secret(text)!r}", hint=hint)
    if not fragment:
        return Reference("url", "file", url)
    if name != "sha256" or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise InputError(f"unknown fragment #{fragment}", subject=text, hint="write #sha256= and 64 hexadecimal digits")
    return Reference("url", "file", url, sha256=value.lower())


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0  # looking at the port says whether it is one
    except ValueError:
        return False


def _without_secret(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)


def _repository(text: str, hub: Literal["hf", "ms"], rest: str) -> Reference:
    body, _, config = rest.partition("#")
    head, at, within = _split_revision(body)
    parts = head.strip("/").split("/")
    kind: RepositoryType = "model"
    if parts[0] in _PREFIXES:
        kind = _PREFIXES[parts.pop(0)]
    size = min(len(parts), 2)
    id, inside = "/".join(parts[:size]), [*parts[size:], *within]  # noqa: A001 - the hubs' own word
    fine = parts[:size] and all(_NAME.fullmatch(part) for part in parts[:size])
    if not fine or (at is not None and (not at or ".." in at or not at.isprintable())):
        raise InputError(f"not a repository: {text!r}", subject=text, hint=f"write {_SHAPE}")
    path = "/".join(part for part in inside if part)
    if any(part in (".", "..") for part in path.split("/")):
        raise InputError(f"not a path within a repository: {path!r}", subject=text, hint="write a/b/c")
    return Reference(hub, kind, id, at, unquote(config), path)


def _split_revision(body: str) -> tuple[str, str | None, list[str]]:
    match = _REVISION.search(body)
    if match is None:
        return (body, "" if "@" in body else None, [])
    return body[: match.start()], unquote(match[1]), body[match.end() :].strip("/").split("/")
