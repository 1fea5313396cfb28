"""JSON documents as rows: an array of objects, or objects one after another, streamed whatever the layout.

The parser is the standard library's, element by element over a buffer that grows only while an element is incomplete,
so that memory is bounded by the largest element. A file that is JSON Lines under another name never comes here.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xxhash import xxh3_64_intdigest

from forebay.errors import SourceError
from forebay.table.chunking import Chunker
from forebay.table.options import ReadOptions
from forebay.table.reading import Aside, Parsed, Rows, assemble, json_kind
from forebay.table.streams import BLOCK_BYTES, Stream

_SPACE = " \t\r\n"
_PORTION = 256
_LITERAL = 16
"""A literal, number or escape that the buffer's end cuts is shorter: an error before that is a real one."""


@dataclass(slots=True)
class _Element:
    value: Any
    text: bytes
    line: int  # from 0


def read_document(stream: Stream, path: str, options: ReadOptions) -> Iterator[Rows]:
    """Yield the shards of a JSON document.

    Raises:
        SourceError: it is not JSON (then nothing after that place can be told apart, so it is never skipped), or a row
            is malformed and not to be skipped.
    """
    chunker = Chunker(options.shard_bytes)
    pending: list[_Element] = []
    fresh: list[_Element] = []

    def push() -> list[tuple[int, int]]:
        done = chunker.push([xxh3_64_intdigest(it.text) for it in fresh], [len(it.text) + 1 for it in fresh])
        pending.extend(fresh)
        fresh.clear()
        return done

    for element in _Parser(stream, path).elements():
        fresh.append(element)
        if len(fresh) == _PORTION:
            for rows, _ in push():
                yield _shard(pending, rows, path, options)
    for rows, _ in push() + chunker.finish():
        yield _shard(pending, rows, path, options)


def _shard(pending: list[_Element], rows: int, path: str, options: ReadOptions) -> Rows:
    elements = pending[:rows]
    del pending[:rows]
    aside = Aside(options, path)
    objects: list[_Element] = []
    for element in elements:
        if isinstance(element.value, dict):
            objects.append(element)
        else:
            aside.add(element.line, f"a JSON {json_kind(element.value)}, not an object", element.text)
    parsed = Parsed([it.value for it in objects], [it.line for it in objects], [it.text for it in objects])
    return assemble(parsed, options, aside)


class _Parser:
    def __init__(self, stream: Stream, path: str) -> None:
        self._stream = stream
        self._path = path
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 0  # of self._counted
        self._counted = 0
        self._ended = False

    def elements(self) -> Iterator[_Element]:
        first = self._next_character()
        if first == "[":
            yield from self._array()
        elif first == "{":
            while self._next_character():
                yield self._element()
        elif first:
            raise self._error(f"neither an array nor an object, but {first!r}")

    def _array(self) -> Iterator[_Element]:
        self._at += 1
        if self._next_character() != "]":
            yield self._element()
            while (character := self._next_character()) == ",":
                self._at += 1
                self._next_character()
                yield self._element()
            if character != "]":
                raise self._error(f"expected ',' or ']', found {character!r}" if character else "the array never ends")
        self._at += 1
        if extra := self._next_character():
            raise self._error(f"{extra!r} after the array's end")

    def _element(self) -> _Element:
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _LITERAL
                if cut and self._fill():
                    continue
                self._at = min(error.pos, len(self._text))
                raise self._error(f"not JSON: {error.msg}") from None
            except RecursionError:
                raise self._error("nested too deeply") from None
            except ValueError:  # Python reads no integer of more than 4300 digits
                raise self._error("an integer of thousands of digits (write it as a string)") from None
            if end == len(self._text) and not isinstance(value, dict | list | str) and self._fill():
                continue  # a number may go on
            break
        line = self._line_number()
        text = self._text[self._at : end].encode("utf-8", "surrogatepass")
        self._at = end
        return _Element(value, text, line)

    def _next_character(self) -> str:
        """Skip white space; return the character there without taking it, "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._fill():
                return ""

    def _fill(self) -> bool:
        """Read on; forget what is done with. Each time twice as much as is kept, so that growing stays linear."""
        if self._ended:
            return False
        self._line_number()
        kept = self._text[self._at :]
        data = self._stream.read(max(BLOCK_BYTES, len(kept)))
        self._ended = not data
        try:
            self._text = kept + self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8: {error.reason} (0x{error.object[error.start]:02x})") from None
        self._at = self._counted = 0
        return bool(data)

    def _line_number(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _error(self, what: str) -> SourceError:
        where = f"{self._path}:{self._line_number() + 1}"
        return SourceError(f"{where}: {what}", subject=self._path, hint="mend the file; JSON Lines can skip bad rows")
