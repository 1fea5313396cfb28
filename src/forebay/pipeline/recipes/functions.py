"""User functions in a recipe: found by file or dotted name, keyed by content, bound to an operator kind.

::

    - mapper: {function: "ops.py:clean", input: row, params: {lower: true}}            # returns the whole row
    - filter: {function: "mypackage.rules:keep", input: batch, batch_size: 500}
    - mapper: {function: "models.py:Tagger", init: {path: tagger.bin}, files: tagger.bin}   # a class: one per worker
    - deduplicator: {function: "ops.py:canonical_url"}                                 # equal keys are duplicates
    - selector: {function: "ops.py:score", top: 1000}

Data-Juicer's `python_file_mapper`, `python_lambda_mapper` and their filter twins are read as the same thing. Nothing
here imports an array library; the adapters that compute are in `forebay.pipeline.workers.user`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from forebay.errors import RecipeError, UnhashableError
from forebay.pipeline.operator import OperatorKind
from forebay.pipeline.recipes import document, finding
from forebay.pipeline.recipes.recipe import Recipe, Step

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.fingerprint import FileMemo, KeyTree
    from forebay.pipeline.recipes.named_files import NamedFiles

Input = Literal["row", "batch", "arrow"]

KINDS = tuple(kind.value for kind in OperatorKind)
_TWINS = {
    "python_file_mapper": OperatorKind.MAPPER, "python_lambda_mapper": OperatorKind.MAPPER,
    "python_file_filter": OperatorKind.FILTER, "python_lambda_filter": OperatorKind.FILTER,
}  # fmt: skip
_OPTIONS = frozenset(
    [
        "function",
        "input",
        "params",
        "init",
        "files",
        "version",
        "cache",
        "name",
        "reads",
        "writes",
        "batch_size",
        "top",
        "ratio",
        "largest",
    ]
)
_VERSION = "3"
"""Raised when the adapters change what they make of a function's results."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a user operator calls, and how: everything that its key covers, and no more."""

    function: Callable[..., Any]
    input: Input = "row"
    params: Mapping[str, object] = field(default_factory=dict)
    init: Mapping[str, object] | None = None
    """Arguments for a class; None where `function` is called as it is."""
    batch_size: int = 1000
    select: Mapping[str, object] = field(default_factory=dict)
    """A selector's `top`, `ratio` and `largest`."""


@dataclass(frozen=True, slots=True)
class UserOperator:
    """A user function bound to an operator's kind; the same face as a catalogue operator's `OperatorUse`."""

    name: str
    kind: OperatorKind
    call: Call
    key: KeyTree
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    cache: bool = True
    user: bool = True
    files: NamedFiles | None = None
    """Those that it reads, where the recipe names some."""

    @property
    def params(self) -> Mapping[str, object]:
        """The parameters the function is called with."""
        return self.call.params

    def load(self) -> Any:
        """Return the computing operator; imports arrays, and makes the user's class once."""
        from forebay.pipeline.workers import user

        return user.adapt(self)


def is_user(step: Step) -> bool:
    """Tell whether a step names a user function rather than a catalogue operator."""
    return step.function is not None or step.name in KINDS or step.name in _TWINS


def bind(step: Step, recipe: Recipe, memo: FileMemo | None = None) -> UserOperator:
    """Find a step's function and make its key; `memo` remembers digests of the files that it reads.

    Raises:
        RecipeError: no such function, or an option that is unknown or of the wrong type.
        UnhashableError: the function depends on something that no key can be made of.
    """
    where = f"{recipe.path.name}:{step.line}: " if recipe.path and step.line else ""
    options = _twin(step, where) if step.name in _TWINS else dict(step.params)
    for option in options:
        if option not in _OPTIONS:
            raise RecipeError(f"{where}{step.name} has no option {option!r}", subject=option,
                              hint=document.nearest(option, _OPTIONS))  # fmt: skip
    kind = _TWINS.get(step.name) or OperatorKind(step.name)
    with ExitStack() as imports:  # its own modules are where it looks for them until it is keyed
        call = _call(step, options, kind, recipe, where, imports)
        name = str(options.get("name") or _name(call.function, kind))
        named = _columns(options, "files", where, "files") or ()
        files = _named_files(finding.files(named, recipe, where), memo)
        key = _key(name, kind, call, options, files.keys if files else ())
    return UserOperator(
        name=name,
        kind=kind,
        call=call,
        key=key,
        reads=_columns(options, "reads", where),
        writes=_columns(options, "writes", where),
        cache=bool(options.get("cache", True)) and key.cacheable,
        files=files,
    )


def _call(
    step: Step, options: Mapping[str, object], kind: OperatorKind, recipe: Recipe, where: str, imports: ExitStack
) -> Call:
    spelled = step.function if step.function is not None else options.get("function")
    if spelled is None:
        raise RecipeError(f"{where}{step.name} has no function", hint='say function: "ops.py:clean"')
    function = finding.find(spelled, recipe, where, imports) if isinstance(spelled, str) else spelled
    if not callable(function):
        raise RecipeError(f"{where}{spelled} is not a function", subject=spelled)
    given = options.get("input", "row")
    if given not in ("row", "batch", "arrow"):
        raise RecipeError(f"{where}input is row, batch or arrow, not {given!r}", subject=given)
    params, init = options.get("params") or {}, options.get("init")
    for label, value in (("params", params), ("init", init)):
        if value is not None and not isinstance(value, Mapping):
            raise RecipeError(f"{where}{label} must be `key: value` pairs", subject=value)
    size = options.get("batch_size", 1000)
    if not isinstance(size, int) or size < 1:
        raise RecipeError(f"{where}batch_size must be a whole number from 1", subject=size)
    is_class = isinstance(function, type)
    return Call(
        function=function,
        input=given,
        params=dict(cast("Mapping[str, object]", params)),
        init=dict(cast("Mapping[str, object]", init or {})) if is_class or init is not None else None,
        batch_size=size,
        select=_selection(options, where) if kind is OperatorKind.SELECTOR else {},
    )


def _selection(options: Mapping[str, object], where: str) -> dict[str, object]:
    top, ratio = options.get("top"), options.get("ratio")
    if (top is None) == (ratio is None):
        raise RecipeError(f"{where}a selector wants one of top and ratio", hint="say top: 1000 or ratio: 0.1")
    if top is not None and (not isinstance(top, int) or top < 0):
        raise RecipeError(f"{where}top must be a whole number of rows", subject=top)
    if ratio is not None and (not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1):
        raise RecipeError(f"{where}ratio must lie between 0 and 1", subject=ratio)
    return {"top": top, "ratio": ratio, "largest": bool(options.get("largest", True))}


def _twin(step: Step, where: str) -> dict[str, object]:
    """Data-Juicer's spelling -> ours."""
    params = dict(step.params)
    batched = bool(params.pop("batched", False))
    options: dict[str, object] = {"input": "batch" if batched else "row"}
    if "lambda_str" in params:
        source = str(params.pop("lambda_str"))
        options["function"] = _lambda(source, where)
        options["name"] = step.name
    elif "file_path" in params:
        default = "process_batched" if batched else "process_single"
        options["function"] = f"{params.pop('file_path')}:{params.pop('function_name', default)}"
    else:
        raise RecipeError(f"{where}{step.name} wants file_path or lambda_str")
    for known in (
        "text_key",
        "image_key",
        "audio_key",
        "video_key",
        "num_proc",
        "cpu_required",
        "mem_required",
        "accelerator",
    ):
        params.pop(known, None)
    return options | params


def _lambda(source: str, where: str) -> Callable[..., Any]:
    import ast  # only for recipes that spell out a lambda

    try:
        tree = ast.parse(source.strip(), mode="eval")
    except SyntaxError as error:
        raise RecipeError(f"{where}lambda_str is not Python: {error.msg}", subject=source) from error
    if not isinstance(tree.body, ast.Lambda):
        raise RecipeError(f"{where}lambda_str is not a lambda", subject=source, hint="write lambda row: …")
    return cast("Callable[..., Any]", eval(compile(tree, "<recipe>", "eval"), {}))


def _name(function: Callable[..., Any], kind: OperatorKind) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    name = name.rpartition("<locals>.")[2]
    return kind.value if name == "<lambda>" else name


def _columns(options: Mapping[str, object], key: str, where: str, what: str = "column names") -> tuple[str, ...] | None:
    value = options.get(key)
    if value is None:
        return None
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(one, str) for one in cast("list[object]", items)):
        raise RecipeError(f"{where}{key} must be a list of {what}", subject=value)
    return tuple(cast("list[str]", items))


def _key(name: str, kind: OperatorKind, call: Call, options: Mapping[str, object], files: Sequence[KeyTree]) -> KeyTree:
    """The Merkle tree over everything that the operator's results depend on."""
    from forebay.fingerprint import combine, tree

    version = options.get("version")
    if version is not None:
        function = tree(str(version), label="version")
    elif options.get("cache", True) is False:
        function = _key_if_possible(call.function)
    else:
        function = tree(call.function, label="function")
    how = {
        "input": call.input, "batch_size": call.batch_size if call.input != "row" else 0, "select": dict(call.select),
        "reads": options.get("reads"), "writes": options.get("writes"), "adapter": _VERSION,
    }  # fmt: skip
    children = [
        function,
        tree(dict(call.params), label="params"),
        tree(call.init, label="init"),
        tree(how, label="how"),
    ]
    if files:
        children.append(combine("files", "files", files))
    return combine(name, f"user-{kind.value}", children)


def _named_files(found: Sequence[tuple[str, Path]], memo: FileMemo | None) -> NamedFiles | None:
    if not found:
        return None
    from forebay.pipeline.recipes.named_files import NamedFiles  # few functions read any

    return NamedFiles(found, memo)


def _key_if_possible(function: Callable[..., Any]) -> KeyTree:
    """An operator that is never cached needs no honest key, only one to tell it by."""
    from forebay.fingerprint import tree

    try:
        return tree(function, label="function")
    except UnhashableError:
        return tree(getattr(function, "__qualname__", "?"), label="function")
