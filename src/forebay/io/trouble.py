"""What an `OSError` from a disk means for a cache: what to tell people, and whether to go on without it."""

from __future__ import annotations

import errno
from enum import StrEnum


class Trouble(StrEnum):
    """Kinds of trouble with a disk, in the words of the message to show."""

    FULL = "the disk is full"
    READ_ONLY = "the store may not be written"
    STALE = "the network file system lost the file; it was replaced or the server restarted"
    SPLIT = "the store lies on more than one file system"
    MISSING = "it is not there"
    IN_THE_WAY = "a file is in the way"
    OUT_OF_FILES = "this process has too many open files; raise `ulimit -n`"
    FAILING = "the disk fails"

    @staticmethod
    def of(error: OSError) -> Trouble:
        """Name the trouble behind `error`."""
        return _BY_ERRNO.get(error.errno or 0, Trouble.FAILING)


_BY_ERRNO = {
    errno.ENOSPC: Trouble.FULL,
    errno.EDQUOT: Trouble.FULL,
    errno.EFBIG: Trouble.FULL,
    errno.EROFS: Trouble.READ_ONLY,
    errno.EACCES: Trouble.READ_ONLY,
    errno.EPERM: Trouble.READ_ONLY,
    errno.ESTALE: Trouble.STALE,
    errno.EXDEV: Trouble.SPLIT,
    errno.ENOENT: Trouble.MISSING,
    errno.ENOTDIR: Trouble.MISSING,
    errno.EEXIST: Trouble.IN_THE_WAY,
    errno.EMFILE: Trouble.OUT_OF_FILES,
    errno.ENFILE: Trouble.OUT_OF_FILES,
}
