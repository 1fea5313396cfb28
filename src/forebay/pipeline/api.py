"""The verbs of `import forebay`: thin, typed, and over the same engine as `forebay run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from forebay.errors import InputError
from forebay.events import Hook, ignore
from forebay.pipeline.cached import used_store
from forebay.pipeline.recipes.options import RunOptions
from forebay.pipeline.recipes.recipe import Recipe, Step
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.fingerprint import KeyTree
    from forebay.pipeline.runs.report import RunReport
    from forebay.store import Store

Data = TypeVar("Data")


def open(*, hook: Hook = ignore, **settings: object) -> Store:  # noqa: A001 - the public name of the verb
    """Open a store.

    Args:
        hook: is told what happens in it.
        **settings: fields of `forebay.Settings`, over the environment and the configuration file: ``home``,
            ``max_bytes``, ``codec`` …

    Raises:
        ConfigError: a setting is wrong.
        StoreError: there is no store there and none can be made.
    """
    from forebay import config
    from forebay.store import Store

    return Store.open(config.resolve(None, **settings), hook=hook)


def run(
    recipe: Recipe | Mapping[str, object] | str | Path,
    *,
    store: Store | None = None,
    options: RunOptions | None = None,
    set: Sequence[str] = (),  # noqa: A002 - as the command line's --set
    hook: Hook = ignore,
) -> RunReport:
    """Run a recipe; its result is `RunReport.table`.

    Args:
        recipe: a file's path, a mapping with the same keys, or a `Recipe`.
        store: where results are kept; None: the default store.
        options: how to do it.
        set: overrides such as ``"process.3.text_length_filter.min_len=20"``.
        hook: is told of progress and warnings.

    Raises:
        ForebayError: the recipe, the data or an operator is wrong; see `forebay.pipeline.run`.
    """
    from dataclasses import replace

    from forebay.pipeline.runs import runner

    if isinstance(recipe, Mapping):
        recipe = Recipe.from_mapping(recipe, set)
    elif not isinstance(recipe, (Recipe, str, Path)):
        raise InputError(f"not a recipe: {recipe!r}", subject=recipe, hint="give a file's path, or a mapping like one")
    elif not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, set)
    chosen = replace(options or RunOptions(), need_table=True)
    return runner.run(recipe, store=used_store(store), options=chosen, hook=hook)


def map(  # noqa: A001 - the public name of the verb
    data: Data, function: Callable[..., Any], *, store: Store | None = None, processes: int | None = 1,
    hook: Hook = ignore, **options: Any,
) -> Data:  # fmt: skip
    """Apply a function to every row; unchanged rows and code are not computed again.

    Args:
        data: a list of dicts, a `pyarrow.Table`, a `datasets.Dataset` or a `forebay.Table`.
        function: as in a recipe: takes a row (dict), or as ``input="batch"`` a dict of lists, or ``"arrow"`` a table.
            It returns the whole row, batch or table: columns left out are dropped (the `map` of datasets merges).
        store: where results are kept; None: the default store.
        processes: worker processes; 1 computes in this process.
        hook: is told of progress and warnings.
        **options: of a recipe's `mapper`: ``input``, ``params``, ``init``, ``version``, ``reads``, ``batch_size`` …

    Returns:
        Rows of the same form as `data`.

    Raises:
        InputError: data of another kind, or an unknown option.
        BuildError: the function raised; names the row.
    """
    return _apply("mapper", data, function, (store, processes, hook), options)


def filter(  # noqa: A001 - the public name of the verb
    data: Data, function: Callable[..., Any], *, store: Store | None = None, processes: int | None = 1,
    hook: Hook = ignore, **options: Any,
) -> Data:  # fmt: skip
    """Keep the rows for which a function gives true. Arguments, result and errors as `map`."""
    return _apply("filter", data, function, (store, processes, hook), options)


def key(value: object) -> Key:
    """Return the key of any value or function: equal content, equal key, in every process.

    Raises:
        UnhashableError: a part that no key can be made of; names its path.
    """
    from forebay import fingerprint

    return fingerprint.tree(value).digest


def explain(old: object, new: object) -> list[str]:
    """Say in words what differs between two values, functions or key trees; empty where nothing does.

    Raises:
        UnhashableError: a part that no key can be made of.
    """
    from forebay.pipeline.runs.explaining import differences

    return differences(_tree(old), _tree(new))


def _tree(value: object) -> KeyTree:
    from forebay import fingerprint

    return value if isinstance(value, fingerprint.KeyTree) else fingerprint.tree(value)


def _apply(
    kind: str, data: Data, function: Callable[..., Any], means: tuple[Store | None, int | None, Hook],
    options: dict[str, Any],
) -> Data:  # fmt: skip
    from forebay.pipeline.runs import rows, runner

    store, processes, hook = means
    project = str(options.pop("project", getattr(function, "__name__", kind)))
    store = used_store(store)
    origin = rows.origin_of(data, store, project)
    if origin is None:
        given = f"{type(data).__module__}.{type(data).__qualname__}"
        hint = "give a list of dicts, a pyarrow.Table, a datasets.Dataset or a forebay.Table"
        raise InputError(f"cannot take rows from a {given}", subject=type(data), hint=hint)
    recipe = Recipe((), (Step(kind, options, function=function),), project=project)
    chosen = RunOptions(processes=processes, need_table=True)
    report = runner.run(recipe, store=store, options=chosen, hook=hook, origin=origin)
    return cast("Data", rows.like(data, report.table))
