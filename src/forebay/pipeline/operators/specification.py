"""What a native operator is, as data: its parameters, the columns it touches, its version, where its class lives.

Nothing here imports numpy or pyarrow: plans are made of this alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast

from forebay.errors import RecipeError
from forebay.fingerprint import KeyTree, combine, tree
from forebay.pipeline.operator import OperatorKind
from forebay.types import JSON

ParamType = Literal["int", "float", "bool", "str", "values", "any"]

_WORDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "values": "a list of values",
    "any": "any value",
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of an operator.

    Attributes:
        name: as it is written in a recipe.
        type: what it must be; a whole number is taken for a ``float``, one value for ``values``.
        default: used when it is not given; already of `type`, or None.
        minimum: least value allowed, for numbers.
        maximum: greatest value allowed, for numbers.
        choices: the only values allowed, when there are any.
        nullable: whether null may be given.
        in_key: whether it can change the result.
    """

    name: str
    type: ParamType
    default: JSON = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    nullable: bool = False
    in_key: bool = True

    def check(self, value: object, operator: str) -> JSON:
        """Return `value` in its one canonical form.

        Raises:
            RecipeError: it does not fit; names the operator and the parameter.
        """
        if value is None and (self.nullable or self.default is None):
            return None
        converted = _CONVERT[self.type](value)
        if converted is None:
            raise RecipeError(
                f"{operator}: parameter {self.name} must be {_WORDS[self.type]}, not {value!r}",
                subject=self.name,
                hint=f"the default is {self.default!r}",
            )
        self._check_range(converted, operator)
        return converted

    def _check_range(self, value: JSON, operator: str) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                what = f"{operator}: parameter {self.name} must be at least {self.minimum:g}, not {value!r}"
                raise RecipeError(what, subject=self.name)
            if self.maximum is not None and value > self.maximum:
                what = f"{operator}: parameter {self.name} must be at most {self.maximum:g}, not {value!r}"
                raise RecipeError(what, subject=self.name)
        if self.choices and value not in self.choices:
            what = f"{operator}: parameter {self.name} must be one of {', '.join(self.choices)}, not {value!r}"
            raise RecipeError(what, subject=self.name)


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def _values(value: object) -> list[JSON] | None:
    if isinstance(value, str | int | float):
        return [value]
    return list(cast("Sequence[JSON]", value)) if isinstance(value, list | tuple) else None


_CONVERT: Mapping[str, Callable[[object], JSON]] = {
    "int": _whole,
    "float": _number,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "str": lambda value: value if isinstance(value, str) else None,
    "values": _values,
    "any": lambda value: cast("JSON", value),
}


@dataclass(frozen=True, slots=True)
class Need:
    """A distribution that an operator computes with; its version is part of the key, since it can change results."""

    distribution: str
    parameter: str = ""
    """Needed only where this parameter is given; "" for always."""

    def version(self, operator: str) -> str:
        """Return the installed version.

        Raises:
            RecipeError: it is not installed; says how to install it.
        """
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(self.distribution)
        except PackageNotFoundError:
            because = f"parameter {self.parameter} of {operator}" if self.parameter else operator
            raise RecipeError(
                f"{because} needs {self.distribution}, which is not installed",
                subject=self.distribution,
                hint="pip install 'forebay[text]'",
            ) from None


@dataclass(frozen=True, slots=True)
class OperatorUse:
    """An operator with its parameters: all that a plan needs, and a way to the computing class.

    Attributes:
        name: the operator's name.
        kind: what it does to a table.
        params: every parameter that can change the result, defaults filled in, in canonical form.
        reads: columns it reads; None for all.
        writes: columns it writes; None for any.
        key: everything its result depends on besides the rows.
        loader: imports and sets up the computing object; called in the worker.
        cache: whether its results may be stored; a native operator's always may.
        user: whether it is a user's function.
    """

    name: str
    kind: OperatorKind
    params: Mapping[str, JSON]
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] | None
    key: KeyTree
    loader: Callable[[], Any] = field(repr=False, compare=False)
    cache: bool = True
    user: bool = False

    def load(self) -> Any:
        """Return the computing object: a Mapper, Filter, FlatMapper or GlobalOperator, by `kind`."""
        return self.loader()


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """One operator of the catalogue.

    Attributes:
        name: as it is written in a recipe.
        kind: what it does to a table.
        target: module and class, ``package.module:Class``; its fields are the parameters that can change the result.
        version: raised whenever the results change.
        params: its parameters, its own first.
        reads: columns it reads; ``{p}`` stands for the column that parameter p names, ``{p}.`` for the top level of
            the dotted path that it holds.
        writes: columns it writes, likewise.
        doc: one line for people.
        needs: distributions that it computes with.
        unicode: whether results depend on Python's Unicode tables (`str.lower`, `str.isalnum`).
    """

    name: str
    kind: OperatorKind
    target: str
    version: int
    params: tuple[Param, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    doc: str
    needs: tuple[Need, ...] = ()
    unicode: bool = False

    refine: Callable[[str, dict[str, JSON]], dict[str, JSON]] | None = None
    """Given the operator's name and checked parameters, refuses what only several parameters together show to be wrong,
    and returns them in canonical form."""

    def bind(self, params: Mapping[str, object] | None = None) -> OperatorUse:
        """Check `params`, fill in defaults and return the operator ready to be planned.

        Raises:
            RecipeError: an unknown parameter, one that does not fit, or a distribution that is missing.
        """
        given = dict(params or {})
        self._refuse_unknown(given)
        checked = {p.name: p.check(given[p.name], self.name) if p.name in given else p.default for p in self.params}
        relevant = {p.name: checked[p.name] for p in self.params if p.in_key}
        if self.refine is not None:
            relevant = self.refine(self.name, relevant)
        return OperatorUse(
            name=self.name,
            kind=self.kind,
            params=MappingProxyType(relevant),
            reads=_columns(self.reads, relevant),
            writes=_columns(self.writes, relevant),
            key=self._key(relevant),
            loader=lambda: self.load(relevant),
        )

    def load(self, params: Mapping[str, JSON]) -> Any:
        """Import the computing class and set it up with parameters as `OperatorUse.params` holds them."""
        from importlib import import_module

        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)(**params)

    def _key(self, params: Mapping[str, JSON]) -> KeyTree:
        # A node's own label is no part of its digest, so the name stands among the parts.
        parts = [tree(self.name, label="operator"), tree(self.version, label="version")]
        parts += [tree(value, label=name) for name, value in params.items()]
        parts += [
            tree(need.version(self.name), label=need.distribution)
            for need in self.needs
            if not need.parameter or params[need.parameter] is not None
        ]
        if self.unicode:
            import unicodedata

            parts.append(tree(unicodedata.unidata_version, label="unicode"))
        return combine(self.name, "operator", parts)

    def _refuse_unknown(self, given: Mapping[str, object]) -> None:
        known = [param.name for param in self.params]
        for name in given:
            if name not in known:
                own = ", ".join(param.name for param in self.params if param.in_key)
                hint = nearest(str(name), known) or f"it takes {own}"
                raise RecipeError(f"{self.name} has no parameter {name!r}", subject=name, hint=hint)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``did you mean a, b?`` for the nearest known names, or "" where none is as near as `cutoff` (of 1)."""
    from difflib import get_close_matches  # slow to import, and only for a mistake

    close = get_close_matches(name, sorted(known), n=3, cutoff=cutoff)
    return f"did you mean {', '.join(close)}?" if close else ""


def _columns(templates: tuple[str, ...], params: Mapping[str, JSON]) -> tuple[str, ...]:
    """Name the columns: ``{p}`` is the one that parameter p names, ``{p}.`` the top level of its dotted path."""
    names: list[str] = []
    for template in templates:
        parameter, _, path = template.partition("}")
        named = str(params[parameter[1:]]) if template.startswith("{") else template
        names.append(named.split(".")[0] if path else named)
    return tuple(dict.fromkeys(name for name in names if name))
