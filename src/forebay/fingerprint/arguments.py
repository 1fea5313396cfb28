"""What code hands to a name that it calls or subscripts, where the bytecode shows it.

``open("words.txt")`` and ``os.environ[PREFIX + "_LIMIT"]`` say what they read; ``open(path)`` does not. An argument is
known only as a whole: what is loaded first may be the beginning of something longer. Where an argument begins and
ends is told by the columns that the compiler keeps for each instruction; without them, no argument is known.
"""

from __future__ import annotations

import dis
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import CodeType
from typing import Any

_CALLS = ("CALL", "KW_NAMES")
_SUBSCRIPTS = ("BINARY_SUBSCR", "STORE_SUBSCR", "DELETE_SUBSCR")
_CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT")
_OPERATORS = ("+", "/", "%")
_Span = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument made of constants and globals: one of them, or an operation on others.

    Attributes:
        constant: its value, where it is a constant.
        name: of the global, where it is one.
        operation: ``+``, ``/``, ``%``, ``join`` (an f-string), ``format`` (a part of one), or "".
        parts: what the operation is done on.
    """

    constant: Any = None
    name: str = ""
    operation: str = ""
    parts: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """How a name is called or subscripted.

    Attributes:
        arguments: some of them, each with its place, a number or a keyword: the first ones, up to one that is not made
            of constants and globals alone, and the last ones if they are constants.
        keywords: names of the keyword arguments.
        empty: whether it is called without any argument, or with None alone.
        stored: whether an item of it is only assigned: ``os.environ["X"] = "1"``.
    """

    arguments: tuple[tuple[str, Argument], ...] = ()
    keywords: tuple[str, ...] = ()
    empty: bool = False
    stored: bool = False


def call_of(code: CodeType, steps: list[dis.Instruction], at: int, following: int) -> Call:
    """Return how the name loaded at `at`, whose attributes end before `following`, is used."""
    if following >= len(steps):
        return Call()
    if steps[following].opname == "CONTAINS_OP":
        # `"X" in os.environ`; a jump to here means that the constant is one of several that may be tested.
        literal = at and steps[at - 1].opname in _CONSTANTS and not steps[at].is_jump_target
        return Call((("0", Argument(steps[at - 1].argval)),)) if literal else Call()
    closing = _closing(steps, at, following)
    if closing is None:
        return Call()
    step = steps[closing]
    if step.opname in _SUBSCRIPTS or step.argrepr == "[]":
        index = tuple(("0", item) for item in _arguments(steps, following, closing)[:1])
        return Call(index, stored=step.opname == "STORE_SUBSCR")
    if step.opname == "CALL_FUNCTION_EX":
        return Call()
    keywords = _keywords(code, steps, closing)
    count = next((later.arg or 0 for later in steps[closing:] if later.opname.startswith("CALL")), 0)
    arguments = _arguments(steps, following, closing)
    places = [*map(str, range(count - len(keywords))), *keywords]
    placed = list(zip(places, arguments, strict=False))
    inner = [inner for inner in steps[following:closing] if inner.opname != "KW_NAMES"]
    if not any("JUMP" in step.opname for step in inner):  # else the last constant may be one of several
        for place in reversed(places[len(placed) :]):
            if not inner or inner[-1].opname not in _CONSTANTS:
                break
            placed.append((place, Argument(inner.pop().argval)))
    return Call(tuple(placed), keywords, not count or (count == 1 and arguments == [Argument(None)]))


def evaluated(argument: Argument, names: Mapping[str, Any]) -> Any:
    """Return an argument's value; None where it is not made of plain text, numbers and paths."""
    if not argument.operation:
        return names.get(argument.name) if argument.name else argument.constant
    parts = [evaluated(part, names) for part in argument.parts]
    texts = [str(part) for part in parts if type(part) in (str, int) or _is_plain_path(part)]
    if len(texts) < len(parts):
        return None
    if argument.operation in ("join", "format"):
        return "".join(texts)
    left, right = parts
    try:
        if argument.operation == "/":
            return left / right
        return left % right if argument.operation == "%" else left + right
    except (TypeError, ValueError):
        return None  # the code will meet the same


def _is_plain_path(value: Any) -> bool:
    return isinstance(value, PurePath) and type(value).__module__.partition(".")[0] == "pathlib"


def _span(step: dis.Instruction) -> _Span | None:
    place = step.positions
    if place is None or None in (place.lineno, place.col_offset, place.end_lineno, place.end_col_offset):
        return None
    return (place.lineno or 0, place.col_offset or 0), (place.end_lineno or 0, place.end_col_offset or 0)


def _closing(steps: list[dis.Instruction], at: int, following: int) -> int | None:
    """Return the number of the first instruction of the call or subscription whose text begins where the name does."""
    first, last = _span(steps[at]), _span(steps[following - 1])
    if first is None or last is None:
        return None
    for number in range(following, len(steps)):
        step = steps[number]
        span = _span(step)
        # A method called on another line than its object's is said to begin with its own name.
        if span is None or span[0] not in (first[0], last[0]) or span[1] <= last[1]:
            continue
        named = step.opname == "LOAD_CONST" and number + 1 < len(steps) and steps[number + 1].opname == "CALL_KW"
        if step.opname.startswith(_CALLS) or step.opname in _SUBSCRIPTS or step.argrepr == "[]" or named:
            return number
        return None  # something else is done with the name: `os.environ | more`
    return None


def _arguments(steps: list[dis.Instruction], begin: int, end: int) -> list[Argument]:
    """Return the arguments, from the first up to the first that is not made of constants and globals."""
    stack: list[tuple[Argument, int]] = []
    for number in range(begin, end):
        step = steps[number]
        if step.opname in _CONSTANTS and not isinstance(step.argval, CodeType):
            stack.append((Argument(step.argval), number))
        elif step.opname == "LOAD_GLOBAL":
            stack.append((Argument(name=str(step.argval)), number))
        elif (operation := _operation(step)) is not None and len(stack) >= operation[1]:
            parts = tuple(part for part, _ in stack[len(stack) - operation[1] :])
            stack[len(stack) - operation[1] :] = [(Argument(operation=operation[0], parts=parts), number)]
        else:
            break
    found: list[Argument] = []
    for argument, number in stack:
        if _goes_on(steps, number, end):
            break
        found.append(argument)
    return found


def _operation(step: dis.Instruction) -> tuple[str, int] | None:
    if step.opname == "BINARY_OP" and step.argrepr in _OPERATORS:
        return step.argrepr, 2
    if step.opname == "FORMAT_SIMPLE" or (step.opname == "FORMAT_VALUE" and step.arg == 0):
        return "format", 1
    return ("join", step.arg or 0) if step.opname == "BUILD_STRING" else None


def _goes_on(steps: list[dis.Instruction], number: int, end: int) -> bool:
    """Tell whether what is loaded at `number` is only a part of an argument: a later step spans it."""
    span = _span(steps[number])
    if span is None:
        return True
    for step in steps[number + 1 : end]:
        other = _span(step)
        if other is None or (other[0] <= span[0] and span[1] <= other[1]):
            return True
    return False


def _keywords(code: CodeType, steps: list[dis.Instruction], closing: int) -> tuple[str, ...]:
    # Python 3.11 and 3.12 name them in KW_NAMES, later ones in a constant before CALL_KW.
    named = [step for step in steps[closing - 1 : closing + 1] if step.opname == "KW_NAMES"]
    if not named and steps[closing].opname in ("LOAD_CONST", "CALL_KW"):
        named = [steps[closing] if steps[closing].opname == "LOAD_CONST" else steps[closing - 1]]
    names = constant_of(code, named[0]) if named else ()
    return tuple(map(str, names)) if isinstance(names, tuple) else ()


def constant_of(code: CodeType, step: dis.Instruction) -> Any:
    """Return the constant of an instruction; dis does not look up that of KW_NAMES."""
    return code.co_consts[step.arg] if step.opname == "KW_NAMES" and step.arg is not None else step.argval
