"""Nothing that happens to a bundle's bytes goes unnoticed, and nothing of a damaged one is installed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from bundling import bundle, content, fill, fill_small, nothing_came, small_bundle

from forebay.bundle import CreateOptions, install, make_key, open_source, verify
from forebay.bundle.frames import Coders
from forebay.bundle.installing import install_from
from forebay.bundle.source import open_bytes
from forebay.bundle.verifying import first_fault
from forebay.config import Settings
from forebay.errors import BundleError
from forebay.store import Store

DAMAGES = int(os.environ.get("FOREBAY_TEST_DAMAGES", "100000"))
"""How many random damages are tried in all."""
_CHUNKS = 4


def is_sound(data: bytes | bytearray, coders: Coders) -> bool:
    try:
        with open_bytes(data) as source:
            return first_fault(source, coders) is None
    except BundleError:
        return False


def test_each_byte_of_a_bundle_matters(tmp_path: Path) -> None:
    data = bytearray(small_bundle(tmp_path))
    with Coders() as coders:
        assert is_sound(data, coders)
        for at in range(len(data)):
            was = data[at]
            data[at] ^= 1 << at % 8
            assert not is_sound(data, coders), f"byte {at} changed and nobody noticed"
            data[at] = was
        assert is_sound(data, coders)


def test_each_byte_of_a_signed_head_matters(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    data = bytearray(small_bundle(tmp_path, CreateOptions(sign=tmp_path / "key")))
    with open_bytes(data) as source:
        end = source.members[1].end
    with Coders() as coders:
        assert is_sound(data, coders)
        for at in range(end):
            data[at] ^= 0x20
            assert not is_sound(data, coders), f"byte {at} changed and nobody noticed"
            data[at] ^= 0x20


def test_each_length_but_the_right_one_is_noticed(tmp_path: Path) -> None:
    data = small_bundle(tmp_path)
    with Coders() as coders:
        for length in range(0, len(data), 7):
            assert not is_sound(data[:length], coders)
        for more in (b"\0", b"x", bytes(512), bytes(10240), data):
            assert not is_sound(data + more, coders)


def one_damage(data: bytes, chance: random.Random) -> bytes:
    """What a bad disk, a bad copy or a bad person might make of it."""
    at = chance.randrange(len(data))
    length = min(chance.choice((1, 1, 1, 2, 16, 511, 512, 513, 4096)), len(data) - at)
    match chance.randrange(8):
        case 0 | 1 | 2:
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 3:
            return data[:at] + bytes(length) + data[at + length :]
        case 4:
            return data[:at] + data[at + length :]
        case 5:
            return data[:at] + chance.randbytes(length) + data[at:]
        case 6:
            return data[:at]
        case _:
            there = chance.randrange(len(data))
            return data[:at] + data[there : there + length] + data[at + length :]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(_CHUNKS))
def test_random_damage_is_noticed(tmp_path: Path, chunk: int) -> None:
    with Store.open(Settings(home=tmp_path / "store")) as store:
        fill(store, count=3, size=20_000)
        bundle(store, tmp_path / "large.tar")
    data = (tmp_path / "large.tar").read_bytes()
    chance = random.Random(chunk)
    with Coders() as coders:
        for number in range(DAMAGES // _CHUNKS):
            damaged = one_damage(data, chance)
            if damaged != data:
                assert not is_sound(damaged, coders), f"damage {number} of chunk {chunk} went unnoticed"


def test_nothing_of_a_damaged_bundle_is_installed(tmp_path: Path) -> None:
    data = small_bundle(tmp_path)
    chance = random.Random(7)
    for number in range(40):
        damaged = one_damage(data, chance)
        if damaged == data:
            continue
        with Store.open(Settings(home=tmp_path / f"s{number}")) as store:
            with pytest.raises(BundleError), open_bytes(damaged) as source:
                install_from(store, source)
            assert nothing_came(store)


def test_a_store_that_refused_takes_the_sound_one_then(tmp_path: Path, other: Store) -> None:
    data = small_bundle(tmp_path)
    damaged = bytearray(data)
    damaged[-1500] ^= 1  # in the last object
    (tmp_path / "bad.tar").write_bytes(damaged)
    with pytest.raises(BundleError, match=r"bad\.tar|objects/"):
        install(other, tmp_path / "bad.tar")
    report = install(other, tmp_path / "small.tar")
    assert report.entries == 2
    with Store.open(Settings(home=tmp_path / "small")) as store:
        assert content(other) == content(store)


def test_verify_names_every_damaged_object_and_goes_on(tmp_path: Path, store: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    data = bytearray((tmp_path / "b.tar").read_bytes())
    with open_source(tmp_path / "b.tar") as source:
        hit = source.members[-1], source.members[-4]
        for member in hit:
            data[member.content] ^= 1
    (tmp_path / "b.tar").write_bytes(data)
    report = verify(tmp_path / "b.tar")
    assert not report.ok
    assert set(report.damaged) == {member.what.digest for member in hit}  # type: ignore[union-attr]
    assert report.to_json()["damaged"] == list(report.damaged)


def test_a_damaged_volume_is_named(tmp_path: Path, store: Store) -> None:
    fill_small(store)
    report = bundle(store, tmp_path / "v.tar", options=CreateOptions(volume_bytes=4096))
    assert verify(tmp_path / "v.tar").ok
    volume = bytearray(report.paths[-2].read_bytes())
    volume[-1] ^= 1
    report.paths[-2].write_bytes(volume)
    faults = verify(tmp_path / "v.tar").faults
    assert [fault.what for fault in faults if "volume" in fault.what] == [
        f"volume {len(report.paths) - 2:03d} is damaged"
    ]
    report.paths[-2].unlink()
    with pytest.raises(BundleError, match="is not there"):
        verify(tmp_path / "v.tar")


def test_each_byte_of_a_list_of_volumes_matters(tmp_path: Path, store: Store) -> None:
    fill_small(store)
    listing = bundle(store, tmp_path / "v.tar", options=CreateOptions(volume_bytes=8192)).paths[-1]
    data = bytearray(listing.read_bytes())
    for at in range(len(data)):
        data[at] ^= 1
        listing.write_bytes(data)
        with pytest.raises(BundleError, match="list of volumes"):
            verify(tmp_path / "v.tar")
        data[at] ^= 1
