"""Becomes a command that has no network, and, where that may be, that belongs to somebody else.

    python away.py UID GID FOLDER:FOLDER… COMMAND [ARGUMENT]…

The folders are those that somebody must be able to read. It ends with code 97 if it cannot; then nothing has been run.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

import doors

from forebay.mirror.cell import leave_network

REFUSED = 97
_NOWHERE = ("192.0.2.1", 9)  # an address for documents; to connect a datagram socket sends nothing, but needs a route


def main(uid: int, gid: int, folders: list[Path], command: list[str]) -> None:
    """Leave the network, make sure of it, become that user, run the command."""
    try:
        leave_network()
        if _finds_a_route():
            raise OSError("there is a network still")
        if os.getuid() != uid:
            here = Path.cwd()
            doors.show([*folders, here])
            os.chdir(here)  # the same folder, as it is seen now
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
    except OSError as error:
        _refuse(str(error))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        _refuse(f"user {uid} cannot run {os.path.realpath(command[0])}: {error.strerror}")


def _finds_a_route() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return any_socket.connect_ex(_NOWHERE) != errno.ENETUNREACH


def _refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)  # noqa: T201
    sys.exit(REFUSED)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), list(map(Path, sys.argv[3].split(os.pathsep))), sys.argv[4:])
