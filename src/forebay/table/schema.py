"""Column names and types as plain data, and their union over shards; no pyarrow, so that planning stays light.

A type is JSON: a name (``"string"``, ``"int64"``, ``"null"`` …, as Arrow spells them) or an object with one key::

    {"list": T}, {"fixed_list": [T, n]}, {"struct": [[name, T], …]}, {"map": [K, V]}, {"timestamp": [unit, zone]},
    {"time32": unit}, {"time64": unit}, {"duration": unit}, {"decimal": [bits, precision, scale]}, {"fixed_binary": n}

``large_`` variants do not appear: they are a width of storage, not a type.

The union (`union`) of two types is the narrowest that holds both: null is below everything, integers widen, an integer
and a float give a float, structs and lists merge inside; a field or column that one side misses is null there. Whatever
has no union (a string and a number, say) is a conflict, which is an error that names both places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from forebay.errors import SourceError
from forebay.types import JSON

_SIGNED = ("int8", "int16", "int32", "int64")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
_FLOATS = ("halffloat", "float", "double")
_UNITS = ("s", "ms", "us", "ns")


class TypeConflictError(ValueError):
    """Two types have no union; `path` leads to where, below the column (``""``, ``.meta``, ``[]``)."""

    def __init__(self, path: str, left: JSON, right: JSON) -> None:
        self.path, self.left, self.right = path, left, right
        super().__init__(f"{type_text(left)} and {type_text(right)}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: its name.
        type: its type in JSON.
        seen: for errors only, where its type was first seen: a row number within the shard, from 0, or, once located, a
            place in words. None: unknown.
    """

    name: str
    type: JSON
    seen: int | str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns in order."""

    columns: tuple[Column, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column | None:
        """Return the column of this name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def only(self, names: Iterable[str]) -> Schema:
        """Return the named columns, in that order; what does not exist is left out."""
        by_name = {column.name: column for column in self.columns}
        return Schema(tuple(by_name[name] for name in names if name in by_name))

    def located(self, path: str, first_line: int) -> Schema:
        """Return the schema with row numbers turned into places: ``data.jsonl:17``."""
        return Schema(
            tuple(
                Column(it.name, it.type, f"{path}:{first_line + it.seen}") if isinstance(it.seen, int) else it
                for it in self.columns
            )
        )

    def gap(self, shard: Schema, columns: Iterable[str] | None = None) -> JSON:
        """What casting a shard of schema `shard` to this one changes, over `columns` (None: all); None for nothing.

        Belongs into the key of an operator that sees cast rows: ``[[name, type], …]``, all columns where their order
        changes too.
        """
        if columns is None and shard.names != self.names:
            return [[it.name, it.type] for it in self.columns]
        wanted = self.columns if columns is None else self.only(columns).columns
        own = {column.name: column.type for column in shard.columns}
        changed: list[JSON] = [[it.name, it.type] for it in wanted if it.name not in own or own[it.name] != it.type]
        return changed or None

    def to_json(self) -> JSON:
        """Return the schema as JSON: ``[[name, type, seen], …]``; `seen` is left out where it is unknown."""
        return [
            [it.name, it.type, _told(it.seen)] if it.seen is not None else [it.name, it.type] for it in self.columns
        ]

    @classmethod
    def from_json(cls, data: JSON) -> Schema:
        """Return the schema that `to_json` wrote.

        Raises:
            ValueError: it is not one.
        """
        if not isinstance(data, list):
            raise ValueError(f"not a schema: {data!r}")
        return cls(tuple(_column(item) for item in data))


def _column(item: JSON) -> Column:
    match item:
        case [str(name), kind]:
            return Column(name, kind)
        case [str(name), kind, int(seen) | str(seen)]:
            return Column(name, kind, seen)
        case _:
            raise ValueError(f"not a column: {item!r}")


def _told(seen: int | str) -> int | str:
    """A path's bytes need not be UTF-8, what is kept must be: shown as a terminal shows them."""
    return seen.encode("utf-8", "replace").decode() if isinstance(seen, str) else seen


def union(schemas: Iterable[Schema]) -> Schema:
    """Return the schema that every shard can be cast to; columns in first-seen order.

    Raises:
        SourceError: two shards disagree; it names both places.
    """
    found, conflicts = union_keeping(schemas)
    if conflicts:
        raise conflicts[0].error
    return found


@dataclass(frozen=True, slots=True)
class Conflict:
    """Shard number `shard` does not fit what those before it agreed on."""

    shard: int
    error: SourceError


def union_keeping(schemas: Iterable[Schema]) -> tuple[Schema, list[Conflict]]:
    """Like `union`, but leave shards that do not fit out, and return one conflict for each."""
    merged: dict[str, Column] = {}
    conflicts: list[Conflict] = []
    last: Schema | None = None
    for number, schema in enumerate(schemas):
        if last is not None and schema.columns == last.columns:  # the usual case: nothing new
            continue
        try:
            updates = {column.name: _merge_column(merged.get(column.name), column) for column in schema.columns}
        except SourceError as error:
            conflicts.append(Conflict(number, error))
            continue
        merged.update(updates)
        last = schema
    return Schema(tuple(merged.values())), conflicts


def _merge_column(known: Column | None, new: Column) -> Column:
    if known is None:
        return new
    if known.type == new.type:
        return known
    try:
        kind = merge_types(known.type, new.type)
    except TypeConflictError as error:
        raise SourceError(
            f"column {new.name + error.path!r} is {type_text(error.left)} in {known.seen or 'an earlier shard'} but "
            f"{type_text(error.right)} in {new.seen or 'a later one'}",
            subject=new.name,
            hint="make them one type",
        ) from None
    return Column(new.name, kind, new.seen if known.type == "null" else known.seen)


def merge_types(left: JSON, right: JSON, path: str = "") -> JSON:
    """Return the narrowest type that holds both.

    Raises:
        TypeConflictError: there is none.
    """
    if left == right or right == "null":
        return left
    if left == "null":
        return right
    if isinstance(left, str) and isinstance(right, str):
        merged = _merge_numbers(left, right)
        if merged is not None:
            return merged
    elif isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        ((kind, one),), ((_, other),) = left.items(), right.items()
        if kind in ("struct", "list", "fixed_list", "map"):
            return {kind: _merge_nested(kind, one, other, path)}
        if kind in ("time64", "time32", "duration") and isinstance(one, str) and isinstance(other, str):
            return {kind: max(one, other, key=_UNITS.index)}
        if kind == "timestamp" and _parts(one)[1] == _parts(other)[1]:
            return {kind: [max(str(_parts(one)[0]), str(_parts(other)[0]), key=_UNITS.index), _parts(one)[1]]}
    raise TypeConflictError(path, left, right)


def _merge_nested(kind: str, one: JSON, other: JSON, path: str) -> JSON:
    if kind == "list":
        return merge_types(one, other, f"{path}[]")
    if kind == "struct":
        return _merge_fields(_parts(one), _parts(other), path)
    (first, second), (third, fourth) = _parts(one), _parts(other)
    if kind == "map":
        return [merge_types(first, third, f"{path}.key"), merge_types(second, fourth, f"{path}.value")]
    if second != fourth:  # lists of fixed, different lengths
        raise TypeConflictError(path, {kind: one}, {kind: other})
    return [merge_types(first, third, f"{path}[]"), second]


def _merge_fields(one: Sequence[JSON], other: Sequence[JSON], path: str) -> JSON:
    fields = {str(_parts(field)[0]): _parts(field)[1] for field in one}
    for field in other:
        name, kind = str(_parts(field)[0]), _parts(field)[1]
        fields[name] = merge_types(fields[name], kind, f"{path}.{name}") if name in fields else kind
    return [[name, kind] for name, kind in fields.items()]


def _merge_numbers(left: str, right: str) -> str | None:
    for family in (_SIGNED, _UNSIGNED, _FLOATS):
        if left in family and right in family:
            return max(left, right, key=family.index)
    whole = (*_SIGNED, *_UNSIGNED)
    if (left in whole and right in _FLOATS) or (left in _FLOATS and right in whole):
        return "double"
    if left in whole and right in whole:  # one signed, one not
        unsigned = left if left in _UNSIGNED else right
        signed = right if unsigned == left else left
        wider = _UNSIGNED.index(unsigned) + 1
        return None if wider == len(_SIGNED) else max(signed, _SIGNED[wider], key=_SIGNED.index)
    return None


def _parts(item: JSON) -> Sequence[JSON]:
    if not isinstance(item, list):
        raise ValueError(f"not a type: {item!r}")
    return item


def depth(kind: JSON) -> int:
    """Return how deeply a type is nested: 0 for a plain one."""
    if not isinstance(kind, dict):
        return 0
    ((name, inner),) = kind.items()
    if name == "list":
        return 1 + depth(inner)
    if name == "struct":
        return 1 + max((depth(_parts(field)[1]) for field in _parts(inner)), default=0)
    if name in ("fixed_list", "map"):
        return 1 + max(depth(part) for part in _parts(inner))
    return 0


def leaves(kind: JSON, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the plain types inside a type of JSON's, each with where it is: ``("column.field[]", "double")``."""
    if not isinstance(kind, dict):
        yield path, str(kind)
        return
    ((name, inner),) = kind.items()
    if name == "list":
        yield from leaves(inner, f"{path}[]")
    elif name == "struct":
        for field in _parts(inner):
            yield from leaves(_parts(field)[1], f"{path}.{_parts(field)[0]}")


def type_text(kind: JSON) -> str:
    """Spell a type for people: ``list<struct<a: int64>>``."""
    if not isinstance(kind, dict):
        return {"double": "float"}.get(str(kind), str(kind))
    ((name, inner),) = kind.items()
    if name == "list":
        return f"list<{type_text(inner)}>"
    if name == "struct":
        fields = [_parts(field) for field in _parts(inner)]
        return f"struct<{', '.join(f'{field[0]}: {type_text(field[1])}' for field in fields)}>"
    if name == "map":
        return f"map<{type_text(_parts(inner)[0])}, {type_text(_parts(inner)[1])}>"
    if name == "fixed_list":
        return f"list<{type_text(_parts(inner)[0])}>[{_parts(inner)[1]}]"
    values = inner if isinstance(inner, list) else [inner]
    return f"{name}[{', '.join(str(value) for value in values if value is not None)}]"
