"""What bytecode tells: the names that code refers to, and a normal form for code that has no source.

Names are read from bytecode, not from source, because the compiler has settled there what is local, free or global.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import cast

from forebay.fingerprint.arguments import Call, call_of, constant_of
from forebay.fingerprint.syntax import constant_text

# LOAD_FAST_AND_CLEAR keeps a variable of the same name aside while an inlined comprehension runs.
_NOISE = frozenset(
    """PUSH_NULL PRECALL CACHE EXTENDED_ARG COPY_FREE_VARS NOP RESUME NOT_TAKEN LOAD_FAST_AND_CLEAR""".split()  # noqa: SIM905
)
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_SUPER = "LOAD_SUPER_ATTR"  # from Python 3.12 on: ``super().name`` in one step
_FREE = ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_OPENERS = frozenset({"open"})
_BY_TEXT = frozenset({"getattr", "hasattr", "attrgetter", "methodcaller", "vars", "__dict__", "__getattribute__"})
_NOTES = ("__firstlineno__", "__static_attributes__")  # what a class's body notes from Python 3.13 on, for tools
_STORES = ("STORE_FAST", "STORE_DEREF", "STORE_NAME", "STORE_GLOBAL")


@dataclass(frozen=True, slots=True)
class Load:
    """A name that code reads, with the attributes it takes from it: ``os.environ.get`` is root ``os``, chain of two.

    Attributes:
        scope: ``global``, ``free`` (of the outermost function) or ``import`` (bound by an import statement inside).
        root: the name; for an import the module's absolute name, or ``level dots + name`` for a relative one.
        chain: attributes taken, first to last.
        line: line number in the source file.
        call: how it is called or subscripted.
        bound: how many of the chain's first attributes belong to the import that bound the name.
    """

    scope: str
    root: str
    chain: tuple[str, ...]
    line: int
    call: Call = Call()  # noqa: RUF009 - it is frozen
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
    load_ticks: tuple[int, ...] = ()
    """Of each load, when it comes, by a clock that attributes go by, too."""
    ticks: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of each attribute, when it is first read."""
    named: frozenset[str] = frozenset()
    """Beside those, what code that finds attributes by text (``getattr``) may mean; ``*`` if it does."""


@dataclass(slots=True)
class _Scan:
    free: frozenset[str]
    loads: dict[Load, int] = field(default_factory=dict[Load, int])
    attributes: dict[str, int] = field(default_factory=dict[str, int])
    clock: int = 0
    named: set[str] = field(default_factory=set)


def references(code: CodeType) -> References:
    """Return what `code` refers to."""
    scan = _Scan(frozenset(code.co_freevars))
    _scan(code, scan, {})
    loads = tuple(scan.loads)
    ticks = tuple(scan.loads.values())
    return References(loads, frozenset(scan.attributes), ticks, scan.attributes, frozenset(scan.named))


def _scan(code: CodeType, scan: _Scan, outer: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    steps = [step for step in dis.get_instructions(code) if step.opname not in _NOISE]
    imported = dict(outer)
    for at, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            imported.update(_bindings(steps, at))  # what is imported and never used does not matter
        elif step.opname in _ATTRIBUTES or step.opname == _SUPER:
            if not (step.argval in _OPENERS and _writes(steps, at)):
                scan.clock += 1
                scan.attributes.setdefault(str(step.argval), scan.clock)
        else:
            for name, last in _names(step):
                load = _load(code, scan, imported, steps, at, name)
                if load is not None:
                    scan.clock += 1
                    scan.loads.setdefault(load if last else load.bare, scan.clock)
    by_text = not _BY_TEXT.isdisjoint(code.co_names)
    if by_text:
        scan.named.add("*")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _scan(constant, scan, imported)
        elif by_text and isinstance(constant, str):
            scan.named.add(constant)


def _writes(steps: list[dis.Instruction], at: int) -> bool:
    """Tell whether a method called ``open`` is handed, first of all, a mode for writing."""
    mode = steps[at + 1].argval if at + 1 < len(steps) and steps[at + 1].opname == "LOAD_CONST" else None
    return isinstance(mode, str) and is_writing(mode)


def is_writing(mode: str) -> bool:
    """Tell whether this is a mode in which a file is opened to be written."""
    return len(mode) <= 4 and set(mode) <= set("rwaxbt+") and not set("wax+").isdisjoint(mode)


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
    if "LOAD_FAST" in opname and (name in code.co_cellvars or name in code.co_freevars):
        return None  # from Python 3.13 on: the cell is handed to nested code, where what is made of it is seen
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
    call = call_of(code, steps, at, following)
    return Load(scope, root, (*before, *chain), _line(steps[at], code), call, len(before))


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
    for step in _placeless(code):
        if step.opname in ("CACHE", "RESUME", "NOP"):
            continue
        value = constant_of(code, step)
        if isinstance(value, CodeType):
            out.append(f"{step.opname} ({code_text(value)})")
        elif step.opname.startswith(("LOAD_CONST", "KW_NAMES", "RETURN_CONST")):
            out.append(f"{step.opname} {constant_text(value)}")
        else:
            out.append(f"{step.opname} {value!r}")
    out.append(code.co_exceptiontable.hex())
    return "\n".join(out)


def _placeless(code: CodeType) -> Iterator[dis.Instruction]:
    """Yield all instructions, but for those by which a class notes where it stands."""
    steps = list(dis.get_instructions(code))
    notes = {at for at, step in enumerate(steps) if step.opname == "STORE_NAME" and step.argval in _NOTES}
    yield from (step for at, step in enumerate(steps) if at not in notes and at + 1 not in notes)


def same_code(one: CodeType, other: CodeType) -> bool:
    """Tell whether two code objects do the same, wherever they stand."""
    return _shape(one) == _shape(other)


def _shape(code: CodeType) -> tuple[object, ...]:
    if _NOTES[0] in code.co_names:
        return (code_text(code),)  # the number of a line is among its constants
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
