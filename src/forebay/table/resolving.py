"""From what the user wrote to a list of files: a file, a folder, a glob, or several of them."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from forebay.config import user_path
from forebay.errors import ForebayError, NotFoundError, SourceError
from forebay.table.options import Compression, Format, ReadOptions
from forebay.table.streams import UTF8_BOM, open_stream
from forebay.types import JSON

_COMPRESSIONS: dict[str, Compression] = {".gz": "gz", ".zst": "zst", ".zstd": "zst", ".bz2": "bz2", ".xz": "xz"}
_DATA: dict[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".arrows": "arrow",
}  # fmt: skip
_TEXT = frozenset([
    ".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".html", ".xml", ".css", ".c", ".h", ".cc", ".hh", ".cpp",
    ".hpp", ".c++", ".h++", ".cs", ".go", ".rs", ".java", ".js", ".ts", ".tsx", ".jl", ".lua", ".php", ".pl", ".pm",
    ".pod", ".perl", ".py", ".rb", ".scala", ".sh", ".bash", ".zsh", ".command", ".sql", ".f", ".f03", ".f08", ".f77",
    ".f90", ".f95", ".for", ".fpp", ".hs", ".asm", ".bat", ".cmd", ".cmake", ".dockerfile", ".ps1", ".psd1", ".psm1",
    ".vb", ".m", ".smali",
])  # fmt: skip
_ABOUT_DATA = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""Files that dataset libraries write beside the data; passed over in folders and globs."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source: a file, or a run of text files of which each is one row.

    Attributes:
        path: the file, or for documents the folder that they share; for people, never part of a key.
        format: what it holds.
        compression: how it is packed; "" for not at all.
        documents: the text files, in order, where each is one row; else empty.
    """

    path: str
    format: Format
    compression: Compression = ""
    documents: tuple[tuple[str, Compression], ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file whose content it is made of."""
        return tuple(path for path, _ in self.documents) if self.documents else (self.path,)

    @property
    def splittable(self) -> bool:
        """Whether `scan` can cut it by reading bytes only, and its shards be read one by one, in any order."""
        return not self.compression and not self.documents and self.format in ("jsonl", "text")

    def to_json(self) -> JSON:
        """Return the source as JSON."""
        return [self.path, self.format, self.compression, [list(pair) for pair in self.documents]]

    @classmethod
    def from_json(cls, data: JSON) -> SourceFile:
        """Return the source that `to_json` wrote."""
        path, kind, compression, documents = cast("tuple[str, Any, Any, list[Any]]", data)
        return cls(path, kind, compression, tuple((one, packed) for one, packed in documents))


def resolve(
    dataset_path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    base: Path | None = None,
    options: ReadOptions | None = None,
    *,
    suffixes: tuple[str, ...] = (),
    left_out: list[str] | None = None,
) -> list[SourceFile]:
    """Return the files that a dataset is made of, in the order of its rows.

    A folder stands for the files in it and below with a known suffix, in the order of their names; hidden ones are
    passed over. Where it holds data files (JSON, CSV, Parquet, Arrow), its text files are taken for notes about them.
    A glob stands for the files it matches, in the order of their names; ``**`` matches folders.

    Args:
        dataset_path: one or several paths; ``~`` is the user's home.
        base: folder that relative paths start from; None: the current one.
        options: `format` and `text_rows` matter here.
        suffixes: of folders and globs only files that end so are wanted, where there are any.
        left_out: takes the paths of files in folders and globs that nobody asked to pass over: text files beside data
            files, and those whose suffix says nothing.

    Raises:
        NotFoundError: nothing is there.
        SourceError: a file's format is unknown.
    """
    given = [dataset_path] if isinstance(dataset_path, str | os.PathLike) else list(dataset_path)
    if not given:
        raise SourceError("no dataset is named", hint="name a file, a folder or a glob")
    wanted = options or ReadOptions()
    files: dict[str, SourceFile] = {}  # by path: a file named twice is read once
    passed: list[str] = []
    for item in given:
        for file in _expand(os.fspath(item), base or Path.cwd(), wanted, _Choice(suffixes, passed)):
            files.setdefault(file.path, file)
    if left_out is not None:
        left_out += sorted(path for path in {*passed} if path not in files)
    return list(_documents(files.values())) if wanted.text_rows == "document" else list(files.values())


def would_read(item: str, path: str) -> bool:
    """Tell whether a folder or glob of a dataset would stand for a file of this name too, were it there.

    Both are absolute; links and ``..`` below what is written out in a glob are not followed.
    """
    if os.path.isdir(item):
        inside = os.path.relpath(os.path.realpath(path), os.path.realpath(item)).split(os.sep)
        return not any(part.startswith(".") for part in inside)  # hidden, or beside it
    if not glob.has_magic(item) or os.path.isfile(item) or _suffixes(path)[0] not in _DATA:
        return False
    parts = [part for at, part in enumerate(item.split(os.sep)) if not at or part not in ("", ".")]
    written = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    real = os.path.realpath(os.sep.join(parts[:written]) or os.sep).rstrip(os.sep).split(os.sep)
    spellings = [(os.path.abspath(path), parts), (os.path.realpath(path), [*real, *parts[written:]])]
    return any(_matches(spelled.split(os.sep), pattern) for spelled, pattern in spellings)


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Tell whether `glob.glob` would find a path by a recursive pattern, both cut at the separators."""
    if not pattern or not parts:
        return not parts and not pattern
    first, name = pattern[0], parts[0]
    if first == "**":
        deeper = not name.startswith(".") and (_matches(parts[1:], pattern) or parts[1:] == pattern[1:] == [])
        return deeper or _matches(parts, pattern[1:])
    if not glob.has_magic(first):
        return name == first and _matches(parts[1:], pattern[1:])
    seen = first.startswith(".") or not name.startswith(".")  # a star finds nothing that is hidden
    return seen and fnmatch.fnmatch(name, first) and _matches(parts[1:], pattern[1:])


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which files of a folder or glob are wanted, and where the others go."""

    suffixes: tuple[str, ...]
    left_out: list[str]

    def known(self, paths: Iterable[str]) -> list[SourceFile]:
        """Return the files that can be read; text files only where there is no data."""
        wanted = list(paths)
        wanted = [path for path in wanted if path.endswith(self.suffixes)] or wanted if self.suffixes else wanted
        found: list[SourceFile] = []
        for path in wanted:
            suffix, compression = _suffixes(path)
            if (suffix in _DATA or suffix in _TEXT) and not os.path.exists(path):
                raise SourceError(
                    f"{path} is a link to nowhere", subject=path, hint="bring what it names, or remove it"
                )
            if suffix in _DATA and Path(path).name not in _ABOUT_DATA:
                found.append(SourceFile(path, _DATA[suffix], compression))
            elif suffix in _TEXT:
                found.append(SourceFile(path, "text", compression))
            elif suffix not in _DATA:
                self.left_out.append(path)
        data = [file for file in found if file.format != "text"]
        if data:
            self.left_out.extend(file.path for file in found if file.format == "text")
        return [_sniffed(file) for file in (data or found)]


def _expand(item: str, base: Path, options: ReadOptions, choice: _Choice) -> list[SourceFile]:
    if "://" in item:
        raise SourceError(f"{item} is not a local path", subject=item, hint="download it first")
    path = str(base / user_path(item))
    if os.path.isfile(path):
        return [_named(path, options)]
    if os.path.isdir(path):
        return choice.known(_walk(path)) or _nothing(item, "holds no file with a known suffix")
    if glob.has_magic(item):
        found = sorted(glob.glob(path, recursive=True))
        return choice.known(filter(_is_meant, found)) or _nothing(item, "matches no file with a known suffix")
    raise _neither(path, item)


def _neither(path: str, item: str) -> ForebayError:
    """Return what is wrong with a path that leads to neither a file nor a folder."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return NotFoundError(f"no such file or folder: {path}", subject=item)
    except OSError as error:  # a folder above may not be searched, a link to itself
        return SourceError(f"cannot look at {path}: {error.strerror}", subject=item)
    return SourceError(f"{path} is a device or a pipe, not a file", subject=item, hint="write it to a file first")


_HINT = f"known are {' '.join(_DATA)} and text files, also with .gz .zst .bz2 .xz"


def _nothing(item: str, why: str) -> list[SourceFile]:
    raise NotFoundError(f"{item} {why}", subject=item, hint=_HINT)


def _walk(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the files in a folder and below, by name; folders sort among files. `above`: the real paths of those that
    led here, none of which is entered again by a link."""
    within = (*above, os.path.realpath(folder))
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda it: it.name)
    except OSError as error:
        raise SourceError(f"cannot look into {folder}: {error.strerror}", subject=folder) from error
    for entry in entries:
        if entry.is_dir():
            if entry.is_symlink() and any(Path(one).is_relative_to(os.path.realpath(entry.path)) for one in within):
                continue  # a link to a folder that we are in
            yield from _walk(entry.path, within)
        elif _is_meant(entry.path):
            yield entry.path


def _is_meant(path: str) -> bool:
    """Whether it is a file, or was: a link to data that is not there must not pass for no data."""
    return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))


def _named(path: str, options: ReadOptions) -> SourceFile:
    suffix, compression = _suffixes(path)
    kind = options.format or _DATA.get(suffix) or ("text" if suffix in _TEXT else None)
    if kind is None:
        what = f"has no known suffix ({suffix})" if suffix else "has no suffix"
        raise SourceError(f"{path} {what}", subject=path, hint=f"rename it: {_HINT}")
    return _sniffed(SourceFile(path, kind, compression))


def _suffixes(path: str) -> tuple[str, Compression]:
    name, suffix = os.path.splitext(path)
    compression = _COMPRESSIONS.get(suffix.lower(), "")
    if compression:
        suffix = os.path.splitext(name)[1]
    return suffix.lower(), compression


def _sniffed(file: SourceFile) -> SourceFile:
    """Tell apart the two things that are called ``.json``: JSON Lines, and one document (mostly an array)."""
    if file.format != "json":
        return file
    with open_stream(file.path, file.compression) as stream:
        head = b""
        while block := stream.read(1 << 16):
            head = (head + block).removeprefix(UTF8_BOM).lstrip()
            if head and (not head.startswith(b"{") or b"\n" in head):
                break
    lines = head.startswith(b"{") and _is_object(head.partition(b"\n")[0])
    return SourceFile(file.path, "jsonl" if lines else "json", file.compression)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _documents(files: Iterable[SourceFile]) -> Iterator[SourceFile]:
    """Join runs of text files into one source each."""
    run: list[SourceFile] = []
    for file in files:
        if file.format == "text":
            run.append(file)
            continue
        if run:
            yield _joined(run)
            run = []
        yield file
    if run:
        yield _joined(run)


def _joined(run: list[SourceFile]) -> SourceFile:
    folder = os.path.commonpath([os.path.dirname(file.path) for file in run])
    path = run[0].path if len(run) == 1 else folder
    return SourceFile(path, "text", "", tuple((file.path, file.compression) for file in run))
