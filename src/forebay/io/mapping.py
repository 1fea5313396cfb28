"""Mapping files into memory without spending a descriptor per mapping.

Python's `mmap` keeps a duplicate of the descriptor for as long as the mapping lives (until 3.13's ``trackfd=False``). A
table of ten thousand mapped shards would then hit the usual limit of 1024 open files. So we ask the C library
ourselves, and fall back to `mmap` where there is none to ask.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

Mapper = Callable[[int, int], memoryview]


def map_file(descriptor: int, size: int) -> memoryview:
    """Map the first `size` bytes (more than 0) of a file for reading; the descriptor may be closed afterwards.

    The mapping goes when the last view of it goes. As with any mapping, touching pages beyond the end of a file that
    was cut meanwhile kills the process (SIGBUS): map published files only, which are never changed.

    Raises:
        OSError: the system cannot map it.
    """
    return _mapper()(descriptor, size)


@cache
def _mapper() -> Mapper:
    if sys.version_info >= (3, 13):
        return lambda descriptor, size: memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, trackfd=False))
    if sys.platform not in ("linux", "darwin"):
        return _map_keeping_descriptor
    try:
        return _c_mapper()
    except (ImportError, OSError, AttributeError):  # no ctypes, or no C library in reach
        return _map_keeping_descriptor


def _map_keeping_descriptor(descriptor: int, size: int) -> memoryview:
    return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))


def _c_mapper() -> Mapper:
    import ctypes
    import weakref

    library = ctypes.CDLL(None, use_errno=True)
    map_pages, unmap_pages = library.mmap, library.munmap
    map_pages.restype = ctypes.c_void_p
    map_pages.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
    unmap_pages.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    failed = ctypes.c_void_p(-1).value

    @cache
    def pages_type(bits: int) -> Any:
        # One array type per power of two, as making a type costs more than mapping does. Views are cut to the true
        # size before anyone sees them, so no one reads past the mapping.
        return ctypes.c_ubyte * (1 << bits)

    def map_file(descriptor: int, size: int) -> memoryview:
        address = map_pages(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address == failed:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        pages = pages_type((size - 1).bit_length()).from_address(address)
        # `pages` is what every view of the mapping keeps alive. At exit the system unmaps by itself.
        weakref.finalize(pages, unmap_pages, address, size).atexit = False
        return memoryview(pages).cast("B")[:size].toreadonly()

    return map_file
