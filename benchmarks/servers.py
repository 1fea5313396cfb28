"""Servers that hand out one large file, each in a process of its own: the mirror, olah, bare sendfile; and a reader."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.bench import REPOSITORY

_PATIENCE_SECONDS = 60.0
_SENDFILE = """
import asyncio, os, sys
path = sys.argv[1]
size = os.stat(path).st_size
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
    with open(path, "rb") as file:
        await asyncio.get_running_loop().sendfile(writer.transport, file)
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def read(url: str, start: int = 0) -> int:
    """Take all of an answer and throw it away; return its bytes.

    Raises:
        RuntimeError: the answer is an error, or shorter than it said.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=300)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request("GET", target, headers={"Range": f"bytes={start}-"} if start else {})
    answer, buffer, size = connection.getresponse(), bytearray(1 << 20), 0
    if answer.status in (302, 307):
        location = answer.getheader("Location") or ""
        connection.close()
        return read(location, start)
    if answer.status not in (200, 206):
        raise RuntimeError(f"{url} answered {answer.status}")
    while count := answer.readinto(buffer):
        size += count
    said = answer.getheader("Content-Length")
    connection.close()
    if said is not None and int(said) != size:
        raise RuntimeError(f"{url} gave {size} bytes and said {said}")
    return size


def resident(pid: int) -> int:
    """Return the resident set of a process in bytes, without pages that belong to files."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def mirror(home: Path, *arguments: str) -> Iterator[tuple[str, int]]:
    """Run `forebay mirror`; give its address and process id."""
    ready = home.parent / f"ready-{time.monotonic_ns()}"
    environ = {**os.environ, "FOREBAY_HOME": str(home), "PYTHONPATH": str(REPOSITORY / "src")}
    environ["FOREBAY_CONFIG"] = os.devnull
    command = [sys.executable, "-m", "forebay.cli", "mirror", "--port", "0", "--ready-file", str(ready), *arguments]
    with _running(command, home.parent / "mirror.log", environ) as process:
        _wait(process, ready.exists)
        yield ready.read_text().strip(), process.pid


@contextmanager
def olah(python: Path, folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    """Run olah over the same hub; give its address and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = f"127.0.0.1:{free.getsockname()[1]}"
    netloc = urlsplit(upstream).netloc
    told = {
        "host": "127.0.0.1", "port": own.rpartition(":")[2], "hf-scheme": "http", "hf-netloc": netloc,
        "hf-lfs-netloc": netloc, "mirror-scheme": "http", "mirror-netloc": own, "mirror-lfs-netloc": own,
        "repos-path": str(folder / "repos"), "log-path": str(folder / "logs"),
    }  # fmt: skip
    command = [str(python), "-m", "olah.server", *(f"--{name}={value}" for name, value in told.items())]
    with _running(command, folder / "olah.log", dict(os.environ), cwd=folder) as process:
        _wait(process, lambda: _answers(own))
        yield f"http://{own}", process.pid


@contextmanager
def sendfile(path: Path) -> Iterator[str]:
    """Serve one file by sendfile and nothing else."""
    process = subprocess.Popen([sys.executable, "-c", _SENDFILE, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/big"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def _running(
    command: list[str], log: Path, environ: dict[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environ, cwd=cwd, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield process
    except BaseException as error:
        error.add_note(f"{log.name} ends with: {log.read_text(errors='replace')[-800:]}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args!r} did not start")
        time.sleep(0.02)


def _answers(netloc: str) -> bool:
    host, _, port = netloc.partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True
