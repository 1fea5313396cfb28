"""The first 32 bits of SHA-1 of very many short messages at once.

SHA-1 (FIPS 180-4, section 6.1) takes messages in blocks of 64 bytes; here its 80 steps are done on columns, one lane a
message, some thousand lanes at once. Python's own SHA-1 spends most of its time
between messages of thirty bytes; this spends it on the arithmetic.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Bytes

    Words = npt.NDArray[np.uint32]

LANES = 16384
"""Messages hashed at once: enough that a step costs more than calling it, few enough for the second-level cache."""
_ONE_BLOCK = 55
"""Longest message, in bytes, whose padding fits the same block."""
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_CONSTANTS = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)


def first_words(data: Bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Words:
    """Hash slices of `data`.

    Args:
        data: uint8.
        starts: where each message begins.
        lengths: bytes in each.

    Returns:
        uint32, one a message: the first four bytes of its SHA-1, read as a little-endian number.
    """
    result = np.empty(len(starts), np.uint32)
    padded = np.concatenate([data, np.zeros(64, np.uint8)])
    short = np.flatnonzero(lengths <= _ONE_BLOCK)
    for first in range(0, len(short), LANES):
        lanes = short[first : first + LANES]
        result[lanes] = _one_block(padded, starts[lanes], lengths[lanes])
    view = np.ascontiguousarray(data).data
    for lane in np.flatnonzero(lengths > _ONE_BLOCK).tolist():
        message = view[int(starts[lane]) : int(starts[lane] + lengths[lane])]
        result[lane] = int.from_bytes(hashlib.sha1(message, usedforsecurity=False).digest()[:4], "little")
    return result


def _one_block(padded: Bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Words:
    """Hash messages of at most 55 bytes, each within 64 bytes of the end of `padded` at most."""
    windows = np.lib.stride_tricks.as_strided(padded, (len(padded) - 63, 64), (1, 1), writeable=False)
    block = windows[starts]
    block *= np.arange(64) < lengths[:, None]
    block[np.arange(len(starts)), lengths] = 0x80
    words = np.ascontiguousarray(block.view(">u4").T).astype(np.uint32)
    words[15] = lengths * 8
    return _compress(words).byteswap()


def _compress(w: Words) -> Words:
    """Run the 80 steps on one block a lane; returns the first word of the digest.

    Args:
        w: (16, lanes), the message's words; overwritten as the schedule goes on.
    """
    lanes = w.shape[1]
    a, b, c, d, e = (np.full(lanes, start, np.uint32) for start in _START)
    scratch, mixed = np.empty(lanes, np.uint32), np.empty(lanes, np.uint32)
    for step in range(80):
        word = w[step % 16]
        if step >= 16:
            _next_word(w, step, scratch)
        # e becomes rotl(a, 5) + f(b, c, d) + e + k + w, and then the new a
        np.left_shift(a, 5, out=mixed)
        np.right_shift(a, 27, out=scratch)
        mixed |= scratch
        e += mixed
        _choose(step, (b, c, d), mixed, scratch)
        e += mixed
        e += word
        e += np.uint32(_CONSTANTS[step // 20])
        np.left_shift(b, 30, out=scratch)
        b >>= np.uint32(2)
        b |= scratch
        a, b, c, d, e = e, a, b, c, d
    return a + np.uint32(_START[0])


def _next_word(w: Words, step: int, scratch: Words) -> None:
    """Advance the schedule in place: rotl(w[t-3] ^ w[t-8] ^ w[t-14] ^ w[t-16], 1)."""
    word = w[step % 16]
    word ^= w[(step - 3) % 16]
    word ^= w[(step - 8) % 16]
    word ^= w[(step - 14) % 16]
    np.right_shift(word, 31, out=scratch)
    word <<= np.uint32(1)
    word |= scratch


def _choose(step: int, bcd: tuple[Words, Words, Words], out: Words, scratch: Words) -> None:
    """Put the step's function of b, c, d into `out`."""
    b, c, d = bcd
    if step < 20:  # where b then c else d
        np.bitwise_xor(c, d, out=out)
        out &= b
        out ^= d
    elif 40 <= step < 60:  # the majority
        np.bitwise_or(b, c, out=out)
        out &= d
        np.bitwise_and(b, c, out=scratch)
        out |= scratch
    else:
        np.bitwise_xor(b, c, out=out)
        out ^= d
