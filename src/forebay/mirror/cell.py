"""Runs a command where the loopback interface is the only network there is. Stands alone: only the standard library.

Started as a program by `forebay.mirror.running`, with the number of one end of a socket pair. It makes a network
namespace of its own, opens a listening socket in it, and sends that out over the pair: whoever accepts connections on
it may be anywhere, so a mirror outside is the one address that can be reached from inside. Then it is told what to run,
and becomes that.

::

    cell  -> runner   {"port": 40713} + the listening socket      or {"error": "…"}, and the end
    runner -> cell    {"argv": […], "environ": {…}}
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_CAP_SYS_ADMIN = 21
_BACKLOG = 1024


def main(control_fd: int) -> None:
    """Run what the other end of the socket pair says; does not return where that begins."""
    control = socket.socket(fileno=control_fd)
    try:
        leave_network()
        listener = _listen()
    except OSError as error:
        control.sendall(json.dumps({"error": f"{error.strerror or error}"}).encode() + b"\n")
        return
    told = json.dumps({"port": listener.getsockname()[1]}).encode() + b"\n"
    control.sendmsg([told], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener.fileno()]))])
    with control.makefile("r", encoding="utf-8") as stream:
        line = stream.readline()
    if not line:
        return
    run = json.loads(line)
    try:
        os.execvpe(run["argv"][0], run["argv"], run["environ"])
    except OSError as error:
        name = run["argv"][0]
        print(f"forebay: cannot run {name}: {error.strerror}; {advice(name, error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def advice(name: str, error: OSError) -> str:
    """Return what to do where a command cannot be run."""
    if isinstance(error, PermissionError):
        return "make it executable, or name the interpreter that runs it"
    if error.errno == errno.ENOEXEC:
        return "it needs a first line that names its interpreter (#!/bin/sh)"
    return "is that where it lies?" if os.sep in name else "is it on PATH?"


def leave_network() -> None:
    """Move into an empty network namespace; an ordinary user needs one of users for that, and stays who they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    privileged = _may_administer()
    if libc.unshare(_CLONE_NEWNET if privileged else _CLONE_NEWNET | _CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if not privileged:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))


def _may_administer() -> bool:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 (this program loads as little as it can)
        effective = next((line.split()[1] for line in file if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_SYS_ADMIN & 1)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(text)


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener


if __name__ == "__main__":
    main(int(sys.argv[1]))
