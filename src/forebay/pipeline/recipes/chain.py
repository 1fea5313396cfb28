"""A recipe's operators, bound and keyed, and the stages they fall into. Imports no array library.

A stage is a maximal run of per-shard operators, closed by a global one (a deduplicator or selector) if there is one::

    whitespace  text_length  document_deduplicator  clean_links   ->   stage 0: 0, 1, closed by 2;  stage 1: 3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from forebay.errors import ForebayError, NotFoundError, RecipeError
from forebay.pipeline.operator import OperatorKind
from forebay.pipeline.recipes import functions
from forebay.pipeline.recipes.recipe import Recipe, Step

if TYPE_CHECKING:
    from forebay.fingerprint import FileMemo, KeyTree

_IGNORED = frozenset(
    [
        "num_proc",
        "image_key",
        "audio_key",
        "video_key",
        "cpu_required",
        "mem_required",
        "gpu_required",
        "accelerator",
        "turbo",
        "skip_op_error",
        "work_dir",
        "batch_size",
        "batch_mode",
        "index_key",
        "history_key",
        "query_key",
        "response_key",
        "auto_op_parallelism",
        "num_cpus",
        "num_gpus",
        "runtime_env",
    ]
)
"""Parameters that every operator of Data-Juicer takes and that change no result here."""


class Use(Protocol):
    """An operator with its parameters: of the catalogue, or a user's function."""

    @property
    def name(self) -> str: ...  # noqa: D102 - named by itself
    @property
    def kind(self) -> OperatorKind: ...  # noqa: D102
    @property
    def params(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def reads(self) -> tuple[str, ...] | None:
        """Columns it sees; None: all."""
        ...

    @property
    def writes(self) -> tuple[str, ...] | None:
        """Columns it may change; None: any."""
        ...

    @property
    def key(self) -> KeyTree: ...  # noqa: D102
    @property
    def cache(self) -> bool:
        """Whether results may be kept."""
        ...

    @property
    def user(self) -> bool:
        """Whether it is a user's function."""
        ...

    def load(self) -> Any:
        """Return the computing operator."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """One operator of the chain; `index` counts from 0, `line` is its line in the recipe or 0."""

    index: int
    use: Use
    line: int = 0

    @property
    def key(self) -> str:
        """Digest of the operator's key tree."""
        return self.use.key.digest

    @property
    def sees(self) -> tuple[str, ...] | None:
        """Columns that the stored result depends on; None: all.

        A mapper's includes those it writes, since what is stored is the difference to what was there.
        """
        reads, writes = self.use.reads, self.use.writes
        if reads is None or self.use.kind is OperatorKind.FLAT_MAPPER:
            return None
        if self.use.kind is not OperatorKind.MAPPER:
            return reads
        return None if writes is None else tuple(dict.fromkeys((*reads, *writes)))

    @property
    def label(self) -> str:
        """How it is told to people: ``operator 3 text_length_filter``, counted from 1."""
        return f"operator {self.index + 1} {self.use.name}"


@dataclass(frozen=True, slots=True)
class Stage:
    """Per-shard operators that one task does in one go, and the global one that closes them."""

    number: int
    links: tuple[Link, ...]
    closing: Link | None

    @property
    def operators(self) -> tuple[str, ...]:
        """Digests of all its operators' keys."""
        return tuple(link.key for link in (*self.links, *((self.closing,) if self.closing else ())))

    @property
    def columns(self) -> frozenset[str] | None:
        """Columns that a task must load, or None for all."""
        needed: set[str] = set()
        for link in (*self.links, *((self.closing,) if self.closing else ())):
            if link.sees is None:
                return None
            needed.update(link.sees)
        return frozenset(needed)


@dataclass(frozen=True, slots=True)
class Chain:
    """All operators of a recipe."""

    links: tuple[Link, ...]
    stages: tuple[Stage, ...]

    @property
    def first_uncached(self) -> int:
        """Index of the first operator whose results may not be kept; the number of operators where there is none."""
        return next((link.index for link in self.links if not link.use.cache), len(self.links))


def bind(recipe: Recipe, memo: FileMemo | None = None) -> Chain:
    """Bind every step of a recipe; `memo` remembers digests of the files that users' functions read.

    Raises:
        RecipeError: an unknown operator or parameter; names the recipe's line.
        UnhashableError: a user's function depends on something that no key can be made of.
    """
    links = tuple(Link(index, _bind(step, recipe, memo), step.line) for index, step in enumerate(recipe.steps))
    return Chain(links, _stages(links))


def _bind(step: Step, recipe: Recipe, memo: FileMemo | None) -> Use:
    if functions.is_user(step):
        return functions.bind(step, recipe, memo)
    from forebay.pipeline import catalog

    where = f"{recipe.path.name}:{step.line}: " if recipe.path and step.line else ""
    try:
        spec = catalog.find(step.name)
        known = {param.name for param in spec.params}
        params = {name: value for name, value in step.params.items() if name in known or name not in _IGNORED}
        if "text_key" in known and params.get("text_key") is None:
            params["text_key"] = recipe.text_key
        return spec.bind(params)
    except (NotFoundError, RecipeError) as error:
        raise _placed(error, where) from error


def _placed(error: ForebayError, where: str) -> RecipeError:
    return RecipeError(where + error.what, subject=error.subject, hint=error.hint)


def _stages(links: Sequence[Link]) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    open_links: list[Link] = []
    for link in links:
        if link.use.kind.is_global:
            stages.append(Stage(len(stages), tuple(open_links), link))
            open_links = []
        else:
            open_links.append(link)
    if open_links or not stages:
        stages.append(Stage(len(stages), tuple(open_links), None))
    return tuple(stages)
