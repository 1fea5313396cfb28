"""NLTK data: where each package comes from, and how it is laid out so that `nltk.data.find` meets it without network.

A package is one zip file, unpacked under the folder of its kind: ``NLTK_DATA/tokenizers/punkt_tab/english/…``. NLTK
looks for either; corpora are read from their zip as well, everything else needs the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from forebay.config import NLTK_SOURCE
from forebay.errors import InputError, NotFoundError
from forebay.hub.reference import Reference

if TYPE_CHECKING:
    from forebay.hub import Hub
    from forebay.types import Buffer

_KINDS: dict[str, str] = {
    "tokenizers": "punkt punkt_tab",
    "taggers": "averaged_perceptron_tagger averaged_perceptron_tagger_eng averaged_perceptron_tagger_ru"
    " averaged_perceptron_tagger_rus maxent_treebank_pos_tagger maxent_treebank_pos_tagger_tab universal_tagset",
    "chunkers": "maxent_ne_chunker maxent_ne_chunker_tab",
    "corpora": "brown cmudict floresta gutenberg framenet_v17 movie_reviews names omw omw-1.4 opinion_lexicon ptb"
    " reuters sentiwordnet stopwords subjectivity swadesh timit treebank twitter_samples udhr udhr2 verbnet verbnet3"
    " webtext wordnet wordnet2021 wordnet2022 wordnet31 wordnet_ic words",
    "sentiment": "vader_lexicon",
    "stemmers": "porter_test rslp snowball_data",
    "misc": "perluniprops mwa_ppdb",
    "models": "wmt15_eval word2vec_sample bllip_wsj_no_aux",
    "help": "tagsets tagsets_json",
}
_KIND = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_MOST_BYTES = 2**30


def known(package: str) -> bool:
    """Tell whether we know where a package is."""
    return package in _KIND


def place(package: str) -> str:
    """Return where a package lies below ``NLTK_DATA``: ``tokenizers/punkt_tab``.

    Raises:
        NotFoundError: no package that we know.
    """
    if package not in _KIND:
        import difflib

        near = difflib.get_close_matches(package, _KIND, n=1)
        hint = f"did you mean {near[0]}?" if near else "give the URL of its zip file instead"
        raise NotFoundError(f"no NLTK package {package!r} is known", subject=package, hint=hint)
    return f"{_KIND[package]}/{package}"


def reference(package: str, source: str = NLTK_SOURCE) -> Reference:
    """Return where to fetch a package from.

    Raises:
        NotFoundError: no package that we know.
    """
    return Reference("url", "file", f"{source.rstrip('/')}/{place(package)}.zip")


def package_of(url: str) -> str | None:
    """Return the package that a URL is the zip file of, or None."""
    path = PurePosixPath(url.partition("?")[0].partition("#")[0])
    return path.stem if path.suffix == ".zip" and _KIND.get(path.stem) == path.parent.name else None


def held(hub: Hub) -> Iterator[tuple[str, memoryview]]:
    """Yield the packages that the store holds, wherever they came from, and the zip file of each; nobody is asked."""
    from forebay.hub.memory import Memory

    names, memory, found = hub.store.names, Memory(hub.store), set[str]()
    for name in names.list("hub/url/"):
        place = names.get(name)
        snapshot = memory.snapshot(place[1]) if place is not None else None
        package = package_of(snapshot.id) if snapshot is not None else None
        wanted = snapshot if package not in found else None
        entry = hub.file(wanted, wanted.files[0].path) if wanted is not None and package is not None else None
        if entry is not None and package is not None:
            found.add(package)
            yield package, hub.store.read(entry.objects[0].digest)


def lay_out(packages: Iterable[tuple[str, Buffer]], folder: Path) -> Path:
    """Unpack packages so that ``NLTK_DATA=folder`` serves them; what is there already is left as it is.

    Args:
        packages: name and bytes of the zip file of each.
        folder: is made where it does not exist.

    Returns:
        `folder`.

    Raises:
        InputError: a file is not the zip of such a package: other names in it, or far too large.
    """
    for package, data in packages:
        target = folder / place(package)
        if not target.exists():
            _unpack(package, data, target)
    return folder


def lay_held(hub: Hub, folder: Callable[[], Path], warn: Callable[[str], None]) -> Path | None:
    """Unpack all packages that the store holds, but for those that are no good; of these it is told.

    Args:
        hub: the store; nobody is asked.
        folder: makes where to; called only if there are any.
        warn: told one line each.

    Returns:
        The folder; None: the store has none.
    """
    packages = list(held(hub))
    if not packages:
        return None
    made = folder()
    for package in packages:
        try:
            lay_out([package], made)
        except InputError as error:
            warn(str(error))
    return made


def _unpack(package: str, data: Buffer, target: Path) -> None:
    import io
    import re
    import shutil
    import zipfile

    from forebay.io import abandoned, owned_token

    target.parent.mkdir(parents=True, exist_ok=True)
    for old in abandoned(target.parent, re.escape(f".{package}-")):
        shutil.rmtree(old, ignore_errors=True)
    aside = target.parent / f".{package}-{owned_token()}"
    aside.mkdir()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _look_over(package, archive)
            archive.extractall(aside)
        try:
            (aside / package).rename(target)
        except OSError:
            if not target.is_dir():  # somebody else was faster
                raise
    except zipfile.BadZipFile as error:
        raise InputError(f"NLTK package {package} is not a zip file", subject=package, hint="fetch it again") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _look_over(package: str, archive: object) -> None:
    """Refuse an archive that would write anywhere but below its own folder, or without end."""
    import zipfile

    assert isinstance(archive, zipfile.ZipFile)
    size = 0
    for member in archive.infolist():
        parts = PurePosixPath(member.filename).parts
        size += member.file_size
        if not parts or parts[0] != package or ".." in parts or "\\" in member.filename or size > _MOST_BYTES:
            what = f"NLTK package {package} holds {member.filename!r}"
            raise InputError(what, subject=package, hint="refused; fetch it anew")
