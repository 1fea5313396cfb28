"""Whose connection is it? The kernel knows which user has made each socket of this machine.

A mirror that `forebay exec` starts serves one user, but a port on the loopback interface can be reached by all of them.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

_TABLES = {4: ("/proc/net/tcp", "/proc/net/tcp6"), 6: ("/proc/net/tcp6",)}
_OPEN = ("01", "04", "05", "08")
"""States in which a process holds the socket (established, or half closed); others are told as root's."""


def is_ours(client: tuple[str, int], server_port: int) -> bool:
    """Tell whether the other end of a connection was made on this machine by the user that we are.

    Args:
        client: address and port of the other end.
        server_port: of this end.

    Returns:
        False also where the system does not say: it is Linux that does.
    """
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    wanted = {_written(address, client[1])}
    if isinstance(address, ipaddress.IPv4Address):  # a socket of both families is listed with the other one
        wanted.add(_written(ipaddress.IPv6Address(f"::ffff:{address}"), client[1]))
    return any(
        local in wanted and remote.endswith(f":{server_port:04X}") and state in _OPEN and uid == os.getuid()
        for table in _TABLES[address.version]
        for local, remote, state, uid in _rows(Path(table))
    )


def _rows(table: Path) -> list[tuple[str, str, str, int]]:
    """Return the sockets of a table: this end, the other end, state, user."""
    try:
        lines = table.read_text("ascii").splitlines()[1:]
    except OSError:
        return []
    rows = (line.split() for line in lines)
    return [(row[1], row[2], row[3], int(row[7])) for row in rows if len(row) > 7]


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> str:
    """Return an address as the kernel writes it: words of four bytes, each in the machine's own order."""
    words = [address.packed[at : at + 4] for at in range(0, len(address.packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
