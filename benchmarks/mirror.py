"""The mirror: bytes per second warm and cold, many clients, memory; and what unmodified programs feel of it.

Every figure stands beside the floor of the same run: the same bytes by the same reader from a bare sendfile server, or
the same program against the hub itself. `python -m benchmarks.mirror [--quick] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from forebay.testing import FakeHub, HubFault, Repository
from forebay.testing.tinydata import MMLU_SUBJECTS, mmlu

SOURCE = Path(__file__).parents[1] / "src"
FILE = "/datasets/bench/big/resolve/main/big.bin"
LOAD_MMLU = f"""
import time
from datasets import load_dataset
began = time.perf_counter()
for subject in {MMLU_SUBJECTS!r}:
    load_dataset("cais/mmlu", subject, split="test")
print(time.perf_counter() - began)
"""


def read(url: str, start: int = 0) -> int:
    """Take all of an answer and throw it away; return its bytes."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=300)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request("GET", target, headers={"Range": f"bytes={start}-"} if start else {})
    answer, buffer, size = connection.getresponse(), bytearray(1 << 20), 0
    while answer.status in (302, 307):
        location = answer.getheader("Location") or ""
        connection.close()
        return read(location, start)
    while count := answer.readinto(buffer):
        size += count
    connection.close()
    return size


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def mirror(store: Path, *arguments: str) -> Iterator[tuple[str, int]]:
    """Run `forebay mirror`; give its address and process id."""
    ready = store.parent / f"ready-{time.monotonic_ns()}"
    environ = {**os.environ, "FOREBAY_HOME": str(store), "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", "forebay.cli", "mirror", "--port", "0", "--ready-file", str(ready), *arguments]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise SystemExit("the mirror did not start")
            time.sleep(0.01)
        yield ready.read_text().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def floor(path: Path) -> Iterator[str]:
    """Serve one file by sendfile and nothing else, from a process of its own."""
    code = f"""
import asyncio
size = {path.stat().st_size}
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
    with open({str(path)!r}, "rb") as file:
        await asyncio.get_running_loop().sendfile(writer.transport, file)
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/big"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def hub_process(folder: Path, latency_seconds: float = 0.0) -> FakeHub:
    hub = FakeHub([Repository("bench/big", files={"big.bin": folder / "big.bin"}), mmlu()])
    if latency_seconds:
        hub.faults.add(HubFault(latency_seconds=latency_seconds))
    return hub


def bytes_part(folder: Path, megabytes: int) -> dict[str, float]:
    """One large file: floor, direct, cold, warm, 64 clients, memory."""
    source = folder / "big.bin"
    with source.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
    size, told = source.stat().st_size, {}
    with floor(source) as bare, hub_process(folder) as hub:
        read(bare)
        told["sendfile_gb_s"] = size / min(timed(lambda: read(bare)) for _ in range(3)) / 1e9
        told["direct_seconds"] = min(timed(lambda: read(hub.hf_endpoint + FILE)) for _ in range(3))
        colds: list[float] = []
        for number in range(3):
            with mirror(folder / f"store{number}", "--upstream", hub.hf_endpoint) as (endpoint, _):
                read(f"{endpoint}/api/datasets/bench/big")
                colds.append(timed(lambda: read(endpoint + FILE)))
        told["cold_seconds"] = min(colds)
        with mirror(folder / "store0", "--upstream", hub.hf_endpoint) as (endpoint, pid):
            read(endpoint + FILE)
            before = rss_bytes(pid)
            told["warm_gb_s"] = size / min(timed(lambda: read(endpoint + FILE)) for _ in range(3)) / 1e9
            told["warm_range_gb_s"] = size / min(timed(lambda: read(endpoint + FILE, 1)) for _ in range(3)) / 1e9
            with ThreadPoolExecutor(64) as pool:
                seconds = timed(lambda: list(pool.map(lambda _: read(endpoint + FILE), range(64))))
            told["clients_64_gb_s"] = 64 * size / seconds / 1e9
            told["rss_growth_mb"] = (rss_bytes(pid) - before) / 1e6
            told["small_requests_s"] = small_requests(f"{endpoint}/api/datasets/bench/big")
        with ThreadPoolExecutor(64) as pool:
            told["sendfile_64_gb_s"] = 64 * size / timed(lambda: list(pool.map(lambda _: read(bare), range(64)))) / 1e9
    return told


def small_requests(url: str, count: int = 1000) -> float:
    """HEAD requests a second over one connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)

    def ask() -> None:
        for _ in range(count):
            connection.request("HEAD", parts.path)
            connection.getresponse().read()

    seconds = timed(ask)
    connection.close()
    return count / seconds


def load(home: Path, **variables: str) -> float:
    environ = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **variables}
    done = subprocess.run([sys.executable, "-c", LOAD_MMLU], env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def mmlu_part(folder: Path) -> dict[str, float]:
    """57 configurations of MMLU, datasets as installed here, a hub with 50 ms latency."""
    told: dict[str, float] = {}
    folder.mkdir()
    (folder / "big.bin").write_bytes(b"")
    with hub_process(folder, 0.05) as hub:
        told["direct_cold_s"] = load(folder / "direct", HF_ENDPOINT=hub.hf_endpoint)
        told["direct_warm_s"] = load(folder / "direct", HF_ENDPOINT=hub.hf_endpoint)
        told["flagged_offline_s"] = load(folder / "direct", HF_ENDPOINT=hub.hf_endpoint, HF_HUB_OFFLINE="1")
        with mirror(folder / "store", "--upstream", hub.hf_endpoint) as (endpoint, _):
            hub.forget()
            told["mirror_cold_s"] = load(folder / "one", HF_ENDPOINT=endpoint)
            told["mirror_cold_requests"] = hub.count()
            hub.forget()
            told["mirror_warm_s"] = load(folder / "one", HF_ENDPOINT=endpoint)
            told["mirror_new_machine_s"] = load(folder / "two", HF_ENDPOINT=endpoint)
            told["mirror_warm_requests"] = hub.count()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 MB, and no MMLU")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        told: dict[str, dict[str, float]] = {"bytes": bytes_part(folder, 50 if options.quick else 500)}
        if not options.quick:
            told["mmlu"] = mmlu_part(folder / "mmlu")
    for part, figures in told.items():
        for figure, value in figures.items():
            print(f"{part:6} {figure:22} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
