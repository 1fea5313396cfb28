"""Running a command with a mirror of its own: `forebay exec`.

Three processes: this one, which waits; the mirror, in a session of its own so that Ctrl-C does not end it before the
command has ended; and the command, unmodified, in the foreground. The mirror ends with us: it reads its standard input.

With isolation the listening socket comes out of the command's network namespace (see `cell`), and the kernel's count of
packets that found no route tells how often the command tried to reach anything else.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, cast

from forebay.config import environment
from forebay.errors import InputError
from forebay.mirror import cell
from forebay.mirror.environment import check_server

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")
_MIRROR_SECONDS = 15.0
_CELL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it.

    Attributes:
        code: the command's exit code; 128 + N where signal N ended it.
        counts: what the mirror counted; empty if it died.
        isolated: whether no other address could be reached.
        attempts: packets that were meant for another address; None: not known.
        why_not: why there was no isolation, where it was asked for.
    """

    code: int
    counts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    isolated: bool = False
    attempts: int | None = None
    why_not: str = ""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Setting:
    """What a command runs in.

    Attributes:
        mirror: arguments of `forebay mirror` beside those that say where to listen.
        environ: makes the command's environment of the mirror's address.
        tidy: called once the command has ended, while its mirror ends.
        variables: set in the mirror's own environment.
    """

    mirror: Sequence[str]
    environ: Callable[[str], Mapping[str, str]]
    tidy: Callable[[], None] = _nothing
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how.

    Attributes:
        argv: the command.
        setting: makes what it runs in; called once, while the processes start.
        isolate: let the command reach the mirror and nothing else, where the system lets us.
        warn: told in a line what goes wrong.
    """

    argv: Sequence[str]
    setting: Callable[[], Setting]
    isolate: bool
    warn: Callable[[str], None]


def run(plan: Plan) -> Run:
    """Run a command to its end. To be called from the main thread: it takes the signals.

    Raises:
        InputError: it cannot be run.
        ConfigError: there can be no mirror for it.
    """
    check_server()
    with _Forwarding() as signals:
        return _run(plan, signals)


def _run(plan: Plan, signals: _Forwarding) -> Run:
    why_not = ""
    plan = replace(plan, setting=cache(plan.setting))
    if plan.isolate:
        try:
            return _run_isolated(plan, signals)
        except _NoCell as error:
            why_not = str(error)
            plan.warn(f"no proof that nothing else is contacted: {why_not}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        setting = plan.setting()
        environ = setting.environ(f"http://127.0.0.1:{listener.getsockname()[1]}")
        mirror = _Mirror(setting, plan.warn, listener, "user")
    with mirror:
        code = _run_here(plan, environ, signals)
        counts = mirror.finish(setting.tidy)
    return Run(code, counts, why_not=why_not)


class _NoCell(Exception):
    """There can be no network namespace here."""


def _run_here(plan: Plan, environ: Mapping[str, str], signals: _Forwarding) -> int:
    try:
        child = subprocess.Popen(list(plan.argv), env=dict(environ))
    except OSError as error:
        name = plan.argv[0]
        raise InputError(f"cannot run {name}: {error.strerror}", subject=name, hint=cell.advice(name, error)) from error
    signals.to(child.pid)
    return _code(child)


def _run_isolated(plan: Plan, signals: _Forwarding) -> Run:
    if sys.platform != "linux":
        raise _NoCell("only Linux has network namespaces")
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            program = [sys.executable, "-I", "-S", str(Path(cell.__file__)), str(theirs.fileno())]
            child = subprocess.Popen(program, pass_fds=[theirs.fileno()])
        try:
            setting = plan.setting()  # while the namespace is made
            listener, port = _from_cell(ours)
        except BaseException:
            child.kill()
            child.wait()
            raise
        with Path(f"/proc/{child.pid}/net/snmp").open("rb") as seen:  # stays readable when the namespace has gone
            with listener:
                mirror = _Mirror(setting, plan.warn, listener, "cell")
            with mirror:
                environ = dict(setting.environ(f"http://127.0.0.1:{port}"))
                ours.sendall(json.dumps({"argv": list(plan.argv), "environ": environ}).encode() + b"\n")
                signals.to(child.pid)
                code = _code(child)
                counts = mirror.finish(setting.tidy)
            return Run(code, counts, isolated=True, attempts=_attempts(seen))


def _from_cell(control: socket.socket) -> tuple[socket.socket, int]:
    control.settimeout(_CELL_SECONDS)
    try:
        data, fds, _, _ = socket.recv_fds(control, 4096, 1)
    except OSError as error:
        raise _NoCell(f"the isolated process does not answer: {error}") from error
    finally:
        control.settimeout(None)
    told = cast("dict[str, Any]", json.loads(data or b'{"error": "the isolated process ended"}'))
    if not fds:
        raise _NoCell(f"no network namespace here: {told.get('error')}")
    return socket.socket(fileno=fds[0]), int(told["port"])


def _attempts(seen: BinaryIO) -> int | None:
    """Return how many packets found no route, by the counters of a network namespace."""
    try:
        lines = [line.split() for line in seen.read().decode().splitlines() if line.startswith("Ip:")]
        return int(lines[1][lines[0].index("OutNoRoutes")])
    except (OSError, ValueError, IndexError):
        return None


class _Mirror:
    """The mirror's process; a context manager that ends it. `private`: see `MirrorOptions`."""

    def __init__(self, setting: Setting, warn: Callable[[str], None], listener: socket.socket, private: str) -> None:
        self._warn = warn
        fd = listener.fileno()
        program = [sys.executable, "-m", "forebay.cli", "mirror", *setting.mirror]
        self._process = subprocess.Popen(
            [*program, "--listen-fd", str(fd), "--stop-on-eof", "--json", "--private", private],
            env={**environment(), **setting.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[fd],
            start_new_session=True,
        )
        self._lines: list[bytes] = []
        self._ending = False
        self._reader = threading.Thread(target=self._read, name="mirror-output", daemon=True)
        self._reader.start()

    def __enter__(self) -> _Mirror:
        return self

    def __exit__(self, *_: object) -> None:
        self._ask_to_end()
        self._stop()

    def finish(self, meanwhile: Callable[[], None]) -> dict[str, Any]:
        """End the mirror and return what it counted."""
        self._ask_to_end()
        meanwhile()
        self._stop()
        for line in reversed(self._lines):
            try:
                return cast("dict[str, Any]", json.loads(line))["counts"]
            except (ValueError, KeyError, TypeError):
                continue
        return {}

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self._lines.extend(stream)
        if not self._ending:
            self._warn("the mirror has ended; what the command asks for now will fail")

    def _ask_to_end(self) -> None:
        self._ending = True
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _stop(self) -> None:
        try:
            self._process.wait(_MIRROR_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_MIRROR_SECONDS)


def _code(child: subprocess.Popen[bytes]) -> int:
    """Wait for the command; return its exit code as a shell tells it."""
    code = child.wait()
    return 128 - code if code < 0 else code


class _Forwarding:
    """Hands signals on to the command; one that comes before the command is there waits for it.

    Ctrl-C reaches the command from the terminal by itself; only without a terminal is it handed on.
    """

    def __init__(self) -> None:
        self._pid: int | None = None
        self._waiting: list[int] = []
        self._before: dict[int, Any] = {}

    def to(self, pid: int) -> None:
        """Hand on to this process from now on."""
        self._pid = pid
        for number in self._waiting:
            self._forward(number, None)

    def __enter__(self) -> _Forwarding:
        for name in _FORWARDED:
            if hasattr(signal, name):
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._forward)
        for number in (signal.SIGINT, signal.SIGQUIT):
            self._before[number] = signal.signal(number, self._forward_without_terminal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _forward(self, number: int, _: FrameType | None) -> None:
        if self._pid is None:
            self._waiting.append(number)
            return
        try:
            os.kill(self._pid, number)
        except ProcessLookupError:
            pass  # it has just ended

    def _forward_without_terminal(self, number: int, frame: FrameType | None) -> None:
        if not _in_foreground():
            self._forward(number, frame)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
