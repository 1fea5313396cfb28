"""Real processes: killed, resumed, competing. Bytes are counted where they leave the hub."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forebay import config
from forebay.testing import FakeHub, HubFault, Repository

from .conftest import FILES, LARGE, World  # pyright: ignore

_FETCH = """
import sys
from forebay.hub import Hub, FetchOptions
from forebay.store import Store
with Store.open() as store, Hub(store) as hub:
    snapshot = hub.fetch(sys.argv[1])
    print(sum(len(hub.read(snapshot, file.path)) for file in snapshot.files))
"""


def start(
    world: World, endpoint: str | None = None, reference: str = "hf://datasets/team/small"
) -> subprocess.Popen[str]:
    environment = {**os.environ, "FOREBAY_HOME": str(world.home), "PYTHONPATH": str(Path(config.__file__).parents[1])}
    environment |= {"HF_ENDPOINT": endpoint or world.fake.hf_endpoint, "FOREBAY_LEASE_SECONDS": "5"}
    command = [sys.executable, "-c", _FETCH, reference]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert int(out) == sum(map(len, FILES.values()))


def partial_bytes(world: World) -> int:
    return sum(path.stat().st_size for path in world.home.glob("partials-v1/*/*"))


def kill_in_the_middle(world: World, process: subprocess.Popen[str], at_least: int) -> int:
    """Kill a process as soon as so many bytes have come; return how many have."""
    deadline = time.monotonic() + 60
    while partial_bytes(world) < at_least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return partial_bytes(world)


def test_a_killed_download_is_resumed_by_the_next_process(world: World) -> None:
    slow = world.fake.faults.add(HubFault(bytes_per_second=4e6), "/cdn/*")
    came = kill_in_the_middle(world, start(world), 1_000_000)
    assert came < len(LARGE)
    world.fake.faults.remove(slow)
    world.fake.forget()
    finish(start(world))
    assert world.sent_bytes() == len(LARGE) - came


def test_a_killed_download_is_resumed_at_another_mirror(world: World, second_hub, repository: Repository) -> None:
    first: FakeHub = second_hub(repository)
    first.faults.add(HubFault(bytes_per_second=4e6), "/cdn/*")
    came = kill_in_the_middle(world, start(world, first.hf_endpoint), 1_000_000)
    first.stop()
    finish(start(world))
    assert world.sent_bytes() == len(LARGE) - came


def test_a_download_of_one_repository_is_resumed_for_another_that_has_the_file_too(world: World) -> None:
    world.fake.shelf.add(Repository("other/fork", files=FILES))
    slow = world.fake.faults.add(HubFault(bytes_per_second=4e6), "/cdn/*")
    came = kill_in_the_middle(world, start(world), 1_000_000)
    world.fake.faults.remove(slow)
    world.fake.forget()
    finish(start(world, reference="hf://datasets/other/fork"))
    assert world.sent_bytes() == len(LARGE) - came


def test_what_a_power_cut_has_spoilt_is_fetched_again(world: World) -> None:
    slow = world.fake.faults.add(HubFault(bytes_per_second=4e6), "/cdn/*")
    kill_in_the_middle(world, start(world), 1_000_000)
    (segment,) = world.home.glob("partials-v1/*/*")
    spoilt = bytearray(segment.read_bytes())
    spoilt[77] ^= 1
    segment.write_bytes(spoilt)
    world.fake.faults.remove(slow)
    finish(start(world))


@pytest.mark.parametrize("count", [4])
def test_processes_that_want_the_same_fetch_it_once(world: World, count: int) -> None:
    world.fake.faults.add(HubFault(bytes_per_second=8e6), "/cdn/*")
    for process in [start(world) for _ in range(count)]:
        finish(process)
    assert world.sent_bytes() == len(LARGE)
    for path, content in FILES.items():
        if content:
            assert world.sent_bytes(path) == len(content)
    assert world.fake.count("*/tree/*") == world.fake.count("*/revision/*") == 1


def test_when_the_one_that_downloads_is_killed_another_takes_over(world: World) -> None:
    world.fake.faults.add(HubFault(bytes_per_second=2e6), "/cdn/*")
    first = start(world)
    while partial_bytes(world) < 200_000:
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second = start(world)
    time.sleep(0.5)
    came = kill_in_the_middle(world, first, 400_000)
    assert came < len(LARGE)
    finish(second)
    # What was on its way to the one that was killed may have left the hub, and not arrived.
    rest = [one for one in world.fake.log if one.path.startswith("/cdn/") and "range" in one.headers]
    assert len(rest) == 1
    assert rest[0].headers["range"] == f"bytes={came}-"
    assert rest[0].sent_bytes == len(LARGE) - came
