"""What bytecode tells: the names that code refers to, and a normal form for code that has no source.

Names are read from bytecode, not from source, because the compiler has settled there what is local, free or global.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, cast

from forebay.fingerprint.syntax import constant_text

_NOISE = frozenset({"PUSH_NULL", "PRECALL", "CACHE", "EXTENDED_ARG", "COPY_FREE_VARS", "NOP", "RESUME", "NOT_TAKEN"})
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_FREE = ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_STORES = ("STORE_FAST", "STORE_DEREF", "STORE_NAME", "STORE_GLOBAL")


@dataclass(frozen=True, slots=True)
class Argument:
    """A value that code hands on right after a name: a constant, or the global of that name."""

    constant: Any = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """A name that code reads, with the attributes it takes from it: ``os.environ.get`` is root ``os``, chain of two.

    Attributes:
        scope: ``global``, ``free`` (of the outermost function) or ``import`` (bound by an import statement inside).
        root: the name; for an import the module's absolute name, or ``level dots + name`` for a relative one.
        chain: attributes taken, first to last.
        line: line number in the source file.
        arguments: what is loaded right after, or tested for membership right before; at most two.
        empty: whether it is called without any argument.
        keywords: names of the keyword arguments that it is called with.
        bound: how many of the chain's first attributes belong to the import that bound the name.
    """

    scope: str
    root: str
    chain: tuple[str, ...]
    line: int
    arguments: tuple[Argument, ...] = ()
    empty: bool = False
    keywords: tuple[str, ...] = ()
    stored: bool = False
    """Whether an item of it is only assigned: ``os.environ["X"] = "1"``."""
    bound: int = 0

    @property
    def bare(self) -> Load:
        """The name alone, without what comes after it."""
        return Load(self.scope, self.root, self.chain[: self.bound], self.line, bound=self.bound)


@dataclass(frozen=True, slots=True)
class References:
    """All that a code object and the code nested in it refer to."""

    loads: tuple[Load, ...]
    attributes: frozenset[str]
    """Every attribute name read, from whatever object."""


@dataclass(slots=True)
class _Scan:
    free: frozenset[str]
    loads: dict[Load, None] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)


def references(code: CodeType) -> References:
    """Return what `code` refers to."""
    scan = _Scan(frozenset(code.co_freevars))
    _scan(code, scan, {})
    return References(tuple(scan.loads), frozenset(scan.attributes))


def _scan(code: CodeType, scan: _Scan, outer: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    steps = [step for step in dis.get_instructions(code) if step.opname not in _NOISE]
    imported = dict(outer)
    for at, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            imported.update(_bindings(steps, at))  # what is imported and never used does not matter
        elif step.opname in _ATTRIBUTES:
            scan.attributes.add(str(step.argval))
        else:
            for name, last in _names(step):
                load = _load(code, scan, imported, steps, at, name)
                if load is not None:
                    scan.loads[load if last else load.bare] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _scan(constant, scan, imported)


def _names(step: dis.Instruction) -> Iterator[tuple[str, bool]]:
    """Yield the names that an instruction loads, each with whether attributes may be taken from it next."""
    if isinstance(step.argval, tuple) and "LOAD_FAST" in step.opname:  # two steps in one, from Python 3.13 on
        first, second = cast("tuple[str, str]", step.argval)
        if step.opname.startswith("LOAD"):
            yield first, False
        yield second, True
    elif step.opname.startswith("LOAD_") and step.opname != "LOAD_CONST" and isinstance(step.argval, str):
        yield step.argval, True


def _load(
    code: CodeType,
    scan: _Scan,
    imported: dict[str, tuple[str, tuple[str, ...]]],
    steps: list[dis.Instruction],
    at: int,
    name: str,
) -> Load | None:
    opname = steps[at].opname
    if "LOAD_FAST" in opname or opname in _FREE:
        if name in imported:
            scope, (root, before) = "import", imported[name]
        elif opname in _FREE and name in scan.free:
            scope, root, before = "free", name, ()
        else:
            return None
    elif opname in _GLOBALS:
        scope, (root, before) = ("import", imported[name]) if name in imported else ("global", (name, ()))
    else:
        return None
    chain: list[str] = []
    following = at + 1
    while following < len(steps) and steps[following].opname in _ATTRIBUTES:
        chain.append(str(steps[following].argval))
        following += 1
    arguments, empty = _call(steps, at, following)
    stored = [step.opname for step in steps[following + 1 : following + 2]] == ["STORE_SUBSCR"]
    keywords = _keywords(code, steps, at, following)
    return Load(scope, root, (*before, *chain), _line(steps[at], code), arguments, empty, keywords, stored, len(before))


def _keywords(code: CodeType, steps: list[dis.Instruction], at: int, following: int) -> tuple[str, ...]:
    """Return the keywords of the call whose text begins where the name does."""
    begin = steps[at].positions
    for number in range(following, len(steps)):
        step = steps[number]
        place = step.positions
        if step.opname.startswith("CALL") and begin is not None and place is not None:
            if (place.lineno, place.col_offset) != (begin.lineno, begin.col_offset):
                continue
            before = steps[number - 1]
            # Python 3.11 and 3.12 name them in KW_NAMES, later ones in a constant before CALL_KW.
            named = before.opname == "KW_NAMES" or step.opname == "CALL_KW"
            names = _constant(code, before) if named else ()
            return tuple(map(str, names)) if isinstance(names, tuple) else ()
    return ()


def _constant(code: CodeType, step: dis.Instruction) -> Any:
    # dis does not look up the constant of KW_NAMES.
    return code.co_consts[step.arg] if step.opname == "KW_NAMES" and step.arg is not None else step.argval


def _call(steps: list[dis.Instruction], at: int, following: int) -> tuple[tuple[Argument, ...], bool]:
    if following < len(steps):
        step = steps[following]
        if step.opname.startswith("CALL"):
            return (), step.arg == 0
        if step.opname == "CONTAINS_OP" and at and steps[at - 1].opname == "LOAD_CONST":
            return (Argument(steps[at - 1].argval),), False
    arguments: list[Argument] = []
    for step in steps[following : following + 2]:
        if step.opname == "LOAD_CONST" and not isinstance(step.argval, CodeType):
            arguments.append(Argument(step.argval))
        elif step.opname == "LOAD_GLOBAL":
            arguments.append(Argument(name=str(step.argval)))
        else:
            break
    closing = [step for step in steps[following + 1 : following + 3] if step.opname != "KW_NAMES"][:1]
    none = arguments == [Argument(None)] and [step.arg for step in closing if step.opname.startswith("CALL")] == [1]
    return tuple(arguments), none


def _bindings(steps: list[dis.Instruction], at: int) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    """Yield the local names that an import statement binds, each with module and attributes."""
    level = steps[at - 2].argval if at >= 2 and isinstance(steps[at - 2].argval, int) else 0
    wanted = steps[at - 1].argval
    module = "." * level + str(steps[at].argval)
    if wanted:
        for number in range(at + 1, len(steps) - 1, 2):
            if steps[number].opname != "IMPORT_FROM":
                break
            yield _stored(steps[number + 1]), (module, (str(steps[number].argval),))
        return
    attribute = at + 1 < len(steps) and steps[at + 1].opname == "IMPORT_FROM"
    for step in steps[at + 1 :]:
        if step.opname.startswith(_STORES):
            # `import a.b` binds a, `import a.b as c` binds a.b.
            yield _stored(step), (module if attribute else module.partition(".")[0] or module, ())
            return


def _stored(step: dis.Instruction) -> str:
    return str(step.argval[0] if isinstance(step.argval, tuple) else step.argval)


def _line(step: dis.Instruction, code: CodeType) -> int:
    positions = step.positions
    return (positions.lineno if positions is not None else None) or code.co_firstlineno


def code_text(code: CodeType) -> str:
    """Return a normal form of bytecode: no names of files and functions, no line numbers, sets sorted, no docstring."""
    out = [f"{code.co_argcount},{code.co_posonlyargcount},{code.co_kwonlyargcount},{code.co_flags & 0x2AC}"]
    out.append(",".join(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]))
    for step in dis.get_instructions(code):
        if step.opname in ("CACHE", "RESUME", "NOP"):
            continue
        value = _constant(code, step)
        if isinstance(value, CodeType):
            out.append(f"{step.opname} ({code_text(value)})")
        elif step.opname.startswith(("LOAD_CONST", "KW_NAMES", "RETURN_CONST")):
            out.append(f"{step.opname} {constant_text(value)}")
        else:
            out.append(f"{step.opname} {value!r}")
    out.append(code.co_exceptiontable.hex())
    return "\n".join(out)


def same_code(one: CodeType, other: CodeType) -> bool:
    """Tell whether two code objects do the same, wherever they stand."""
    return _shape(one) == _shape(other)


def _shape(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_code,
        code.co_exceptiontable,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags & 0xFFFF,  # above are the `from __future__` imports in force, which show in the code itself
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        tuple(_shape(item) if isinstance(item, CodeType) else constant_text(item) for item in code.co_consts),
    )
