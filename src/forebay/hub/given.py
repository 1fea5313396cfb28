"""Which bytes of a file a reader has been given, and whether they are those of the content."""

from __future__ import annotations

from blake3 import blake3

from forebay.hub.trail import Piece
from forebay.types import Digest


class Given:
    """The bytes from `start` to `at`, of which only a hash is kept. To be used from one thread at a time.

    Bytes of a `Trail` are not hashed again as long as all are of one attempt, for the next piece says what those before
    it hash to. All others are hashed here.
    """

    def __init__(self, start: int) -> None:
        self.start = self.at = start
        self._piece: Piece | None = None  # where the latest byte was, while all are of its attempt
        self._hash: blake3 | None = None  # else: of [_since, at)
        self._since = start

    def note(self, data: bytes, piece: Piece | None = None) -> None:
        """Take note of bytes that were given out.

        Args:
            data: what follows `at`.
            piece: where the last of them came from, if all came from one trail and one attempt.
        """
        joins = self._piece is None or (piece is not None and piece.attempt == self._piece.attempt)
        if piece is not None and self._hash is None and joins:
            self._piece = piece
        else:
            self._hashed().update(data)
        self.at += len(data)

    def hashed(self) -> tuple[int, blake3]:
        """Return from where on what is before `at` is known, and what that hashes to.

        It is the file's beginning if it can be: `start`, or what came before it in the same download.
        """
        hashed = self._hashed().copy()
        return self._since, hashed

    def ends(self, last: bytes, digest: Digest) -> bool:
        """Tell whether the content with this digest ends with what was given, and then `last`.

        False, too, where that cannot be told: of what began in the middle, only its own bytes may be known.
        """
        since, hashed = self.hashed()
        return since == 0 and hashed.update(last).hexdigest() == digest

    def is_in(self, data: memoryview, digest: Digest) -> bool:
        """Tell whether what was given is in a content, which has this digest, at its place."""
        if self.at == self.start:
            return True
        since, hashed = self.hashed()
        if since:
            return blake3(data[since : self.at]).digest() == hashed.digest()
        return hashed.update(data[self.at :]).hexdigest() == digest  # with the rest: no need to hash all again

    def _hashed(self) -> blake3:
        """Return the hash of [_since, at), which is kept here from now on."""
        if self._hash is None:
            if self._piece is None:
                self._hash = blake3()
            else:
                self._hash, self._since = self._piece.hash_until(self.at), 0
        return self._hash
