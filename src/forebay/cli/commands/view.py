"""`forebay view`: what each program reads, laid out from the store."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.paths import PathType
from forebay.cli.session import Session, emit, say, say_sentence
from forebay.errors import ForebayError, StoreError, StoreFullError

if TYPE_CHECKING:
    from forebay.hub.placing import Laid, Way
    from forebay.hub.views import Kind

_KINDS = ("hf", "datasets", "modelscope", "evalscope")
_VARIABLES = {
    "hf": "HF_HOME={0} HF_HUB_OFFLINE=1",
    "datasets": "HF_DATASETS_CACHE={0} HF_HUB_OFFLINE=1",
    "modelscope": "MODELSCOPE_CACHE={0}",
}
_WAYS = {
    "link": "linked", "reflink": "reflinked", "copy": "copied", "decoded": "decoded into copies",
    "symlink": "linked by symbolic links", "kept": "there already",
}  # fmt: skip
_IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY)
_SHOWN = 10
_NAMED = 3


@click.command(cls=Command)
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("folder", type=PathType(file_okay=False))
@click.argument("references", nargs=-1, metavar="[REFERENCE]...")
@click.option(
    "--by",
    "way",
    type=click.Choice(["auto", "link", "symlink", "copy"]),
    default="auto",
    show_default=True,
    help="Hard links, reflinks or copies, whichever works first; hard links or nothing; symbolic links; copies.",
)
@click.option("--json", "as_json", is_flag=True, help="What was laid, as JSON.")
@click.pass_context
def view(ctx: click.Context, kind: Kind, folder: Path, references: tuple[str, ...], way: Way, as_json: bool) -> None:
    """Lay out in FOLDER what a program reads, without a second copy and without network.

    \b
    hf           for HF_HOME: files as huggingface_hub keeps them, and Arrow
    datasets     for HF_DATASETS_CACHE: each configuration prepared
    modelscope   for MODELSCOPE_CACHE
    evalscope    to run it in: NS/NAME/… is taken before any hub

    REFERENCE is hf://datasets/NS/NAME[@REVISION][#CONFIGURATION] or the like; none: all that the store has. Exit code 1
    if something was missing, or nothing of what was named could be laid. Programs must not write into the files: they
    are the store's own.
    """
    from forebay.hub.views import lay

    session = ctx.ensure_object(Session)
    with session.store() as store:
        try:
            laid = lay(store, kind, folder, references, way=way)
        except OSError as error:
            if isinstance(error, ForebayError):
                raise
            raise _not_laid(folder, error) from error
    if as_json:
        emit(laid.to_json())
    else:
        _tell(kind, folder, laid)
    ctx.exit(1 if laid.missing or (references and not laid.files) else 0)


def _not_laid(folder: Path, error: OSError) -> StoreError:
    """Return the error of a folder that cannot be written."""
    what = f"cannot lay out {folder}: {error.strerror or error}"
    if error.errno in _IN_THE_WAY:
        place = Path(str(error.filename2 or error.filename or folder))  # of a rename, where it was to go
        there = next((each for each in (place, *place.parents) if os.path.lexists(each)), place)
        return StoreError(f"{what}: {there}", subject=there, hint="move it away, or choose another folder")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room, or choose a folder on the store's file system, where nothing is copied; what is laid stays"
        return StoreFullError(what, subject=folder, hint=hint)
    return StoreError(what, subject=folder, hint="choose a folder that you may write to")


def _tell(kind: Kind, folder: Path, laid: Laid) -> None:
    for how, count in laid.files.items():
        say(f"{text.counted(count, 'file')} {_WAYS[how]}, {text.size(laid.bytes[how])}")
    if not laid.files:
        say("nothing to lay out")
    for note in laid.notes:
        say_sentence(note)
    for name in laid.missing[:_SHOWN]:
        say_sentence(f"missing: {name}")
    if len(laid.missing) > _SHOWN:
        say(f"missing: {len(laid.missing) - _SHOWN:,} more")
    if laid.wanted:
        more = " …" if len(laid.wanted) > _NAMED else ""
        say_sentence(f"`forebay fetch {' '.join(laid.wanted[:_NAMED])}{more}`, where there is a network, brings it")
    if laid.files:
        hint = _VARIABLES.get(kind, "run evalscope in {0}")
        say(hint.format(shlex.quote(str(folder.absolute()))))
