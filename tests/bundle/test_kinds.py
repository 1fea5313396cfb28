"""Deltas, differences, repairs and signatures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from bundling import bundle, content, fill, fill_small, key, names, noise, nothing_came, put, small_bundle

from forebay.bundle import (
    CreateOptions,
    InstallOptions,
    create,
    diff,
    install,
    make_key,
    open_source,
    public_key,
    repair,
    verify,
    wanted,
)  # fmt: skip
from forebay.bundle.closures import objects_only
from forebay.bundle.comparing import diff_store, read_manifest
from forebay.bundle.repairing import read_request, write_request
from forebay.config import Settings
from forebay.errors import BundleError, InputError, NotFoundError
from forebay.store import Store

# Deltas


def changed(store: Store, tmp_path: Path) -> CreateOptions:
    """A bundle, then a change: one new entry, one that now has other objects; and how to make the delta."""
    fill(store)
    bundle(store, tmp_path / "first.tar")
    since = read_manifest(tmp_path / "first.tar")
    put(store, "e3", {"noise": noise("new", 5000)})
    put(store, "new", {"shared": noise("shared1", 500), "fresh": noise("fresh", 900)}, inputs=(key("e11"),))
    store.names.set("runs/last", "delta", key("new"))
    return CreateOptions(since=since)


def test_a_delta_holds_what_changed_and_works_on_top(tmp_path: Path, store: Store, other: Store) -> None:
    options = changed(store, tmp_path)
    report = bundle(store, tmp_path / "delta.tar", options=options)
    assert {each.key for each in report.manifest.entries} == {key("e3"), key("new")}
    assert {each.size for each in report.manifest.objects} == {5000, 900}
    assert 500 in [size for _, size in report.manifest.needs.objects]
    assert len(report.manifest.needs.entries) == 11
    assert verify(tmp_path / "delta.tar").ok
    with pytest.raises(BundleError, match=r"a delta to .* not here"):
        install(other, tmp_path / "delta.tar")
    assert nothing_came(other)
    install(other, tmp_path / "first.tar")
    done = install(other, tmp_path / "delta.tar")
    assert done.objects == 2
    assert done.names == ("runs/last",)
    assert names(other) == names(store)
    assert other.get("delta", key("new")) is not None
    assert done.differing == (("delta", key("e3")),)  # the store had another result, and keeps it


def test_a_delta_to_what_lost_an_object_names_it(tmp_path: Path, store: Store, other: Store) -> None:
    options = changed(store, tmp_path)
    report = bundle(store, tmp_path / "delta.tar", options=options)
    install(other, tmp_path / "first.tar")
    gone = report.manifest.needs.objects[0][0]
    (other.home / "objects-v1" / gone[:2] / gone[2:]).unlink()
    with pytest.raises(BundleError, match=f"{gone[:12]}|whose entry"):
        install(other, tmp_path / "delta.tar")


def test_deltas_of_deltas(tmp_path: Path, store: Store, other: Store) -> None:
    bundle(store, tmp_path / "0.tar", options=changed(store, tmp_path))
    since = read_manifest(tmp_path / "0.tar")
    put(store, "newest", {"a": noise("shared1", 500), "b": noise("fresh", 900), "c": noise("c", 99)})
    report = bundle(store, tmp_path / "1.tar", options=CreateOptions(since=since))
    assert {each.size for each in report.manifest.objects} == {99}
    for name in ("first", "0", "1"):
        install(other, tmp_path / f"{name}.tar")
    assert other.get("delta", key("newest")) is not None


def test_a_delta_of_nothing_new(tmp_path: Path, store: Store, other: Store) -> None:
    fill_small(store)
    bundle(store, tmp_path / "a.tar")
    options = CreateOptions(since=read_manifest(tmp_path / "a.tar"))
    report = bundle(store, tmp_path / "b.tar", options=options)
    assert not report.manifest.entries
    assert not report.manifest.objects
    install(other, tmp_path / "a.tar")
    other.names.remove("runs/demo")
    assert install(other, tmp_path / "b.tar").names == ("runs/demo",)


# Differences


def test_what_two_bundles_differ_in(tmp_path: Path, store: Store) -> None:
    bundle(store, tmp_path / "delta.tar", options=changed(store, tmp_path))
    bundle(store, tmp_path / "second.tar")
    first, second = (read_manifest(tmp_path / name)[1] for name in ("first.tar", "second.tar"))
    found = diff(first, second)
    assert found.entries.added == (f"delta:{key('new')}",)
    assert found.entries.changed == (f"delta:{key('e3')}",)
    assert found.entries.removed == ()
    assert found.names.changed == ("runs/last",)
    assert found.added_bytes == 5900
    assert len(found.objects.removed) == 2
    assert diff(second, second).same
    back = diff(second, first)
    assert (back.added_bytes, back.removed_bytes) == (found.removed_bytes, found.added_bytes)
    assert not diff(first, read_manifest(tmp_path / "delta.tar")[1]).entries.added[1:]


def test_what_a_store_lacks_of_a_bundle(tmp_path: Path, store: Store, other: Store) -> None:
    fill(store)
    manifest = bundle(store, tmp_path / "b.tar").manifest
    assert diff_store(store, manifest).same
    lacking = diff_store(other, manifest)
    assert len(lacking.entries.added) == 12
    assert lacking.added_bytes == manifest.bytes
    install(other, tmp_path / "b.tar")
    assert diff_store(other, manifest).same


def test_a_manifest_by_itself_is_read_too(tmp_path: Path) -> None:
    data = small_bundle(tmp_path)
    with open_source(tmp_path / "small.tar") as source:
        alone, found = source.manifest_bytes, (source.id, source.manifest)
    (tmp_path / "MANIFEST.json").write_bytes(alone)
    assert read_manifest(tmp_path / "MANIFEST.json") == found
    (tmp_path / "MANIFEST.json").write_bytes(alone[:-2] + b"x\n")
    with pytest.raises(BundleError, match="MANIFEST"):
        read_manifest(tmp_path / "MANIFEST.json")
    assert data
    with pytest.raises(NotFoundError):
        read_manifest(tmp_path / "nothing")


# Repairs


def spoiled(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for at in places:
        data[at] ^= 0xFF
    path.write_bytes(data)


def test_a_bundle_is_mended_from_another_or_a_store(tmp_path: Path, store: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "good.tar").write_bytes(whole)
    with open_source(tmp_path / "b.tar") as source:
        last, header, middle = source.members[-1], source.members[-2].offset, source.members[-9]
        end = source.members[-1].end
    places = (last.content, header, middle.content + middle.size - 1, end + 3)
    for donors, from_store in (([tmp_path / "good.tar"], None), ([], store)):
        spoiled(tmp_path / "b.tar", *places)
        report = repair(tmp_path / "b.tar", donors, from_store)
        assert len(report.mended) == 4
        assert report.mended[-1] == "the end"
        assert report.missing == ()
        assert report.bytes < len(whole) / 3
        assert (tmp_path / "b.tar").read_bytes() == whole


@pytest.mark.parametrize("volume_bytes", [None, 20_000])
def test_a_head_a_tail_and_lost_volumes_are_mended(tmp_path: Path, store: Store, volume_bytes: int | None) -> None:
    make_key(tmp_path / "key")
    fill(store)
    options = CreateOptions(volume_bytes=volume_bytes, sign=tmp_path / "key")
    paths = bundle(store, tmp_path / "b.tar", options=options).paths
    before = [path.read_bytes() for path in paths]
    bundle(store, tmp_path / "good.tar", options=CreateOptions(sign=tmp_path / "key"))
    spoiled(paths[0], 700, 5000)
    cut = paths[-2] if volume_bytes else paths[0]
    cut.write_bytes(cut.read_bytes()[:-4000])
    if volume_bytes:
        paths[2].unlink()
    with pytest.raises(BundleError):
        repair(tmp_path / "b.tar", [])
    assert repair(tmp_path / "b.tar", [tmp_path / "good.tar"]).missing == ()
    assert [path.read_bytes() for path in paths] == before


def test_only_what_is_damaged_is_asked_for(tmp_path: Path, store: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    with open_source(tmp_path / "b.tar") as source:
        hit = source.members[-1], source.members[-3]
    spoiled(tmp_path / "b.tar", *(member.content for member in hit))
    asked = wanted(tmp_path / "b.tar")
    assert set(asked) == {member.what.digest for member in hit}  # type: ignore[union-attr]
    write_request(tmp_path / "ask.json", asked)
    patch = create(store, objects_only(store, read_request(tmp_path / "ask.json")), tmp_path / "patch.tar")
    assert len(patch.manifest.objects) == 2
    with pytest.raises(BundleError, match="objects only"):
        install(store, tmp_path / "patch.tar")
    assert repair(tmp_path / "b.tar", [tmp_path / "patch.tar"]).missing == ()
    assert (tmp_path / "b.tar").read_bytes() == whole
    with Store.open(Settings(home=tmp_path / "empty")) as empty, pytest.raises(NotFoundError, match="2 of 2 objects"):
        objects_only(empty, asked)


def test_what_nobody_has_stays_missing(tmp_path: Path, store: Store, other: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    with open_source(tmp_path / "b.tar") as source:
        member = source.members[-1]
    spoiled(tmp_path / "b.tar", member.content)
    (tmp_path / "worse.tar").write_bytes((tmp_path / "b.tar").read_bytes())
    report = repair(tmp_path / "b.tar", [tmp_path / "worse.tar"], other)
    assert report.missing == (member.what.digest,)  # type: ignore[union-attr]
    assert verify(tmp_path / "b.tar").damaged == report.missing


@pytest.mark.parametrize("text", ["", "{}", '{"wanted":[]}', '{"wanted":{"x":1}}', '{"wanted":7}', "[" * 100_000])
def test_what_is_no_request(tmp_path: Path, text: str) -> None:
    (tmp_path / "ask.json").write_text(text)
    with pytest.raises(InputError, match="no request"):
        read_request(tmp_path / "ask.json")


# Signatures


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """Two public keys; their private ones are in `mine` and `theirs`."""
    return make_key(tmp_path / "mine"), make_key(tmp_path / "theirs")


def test_a_trusted_key_makes_signatures_a_must(tmp_path: Path, store: Store, keys: tuple[str, str]) -> None:
    fill_small(store)
    mine, theirs = keys
    for name in ("mine", "theirs"):
        bundle(store, tmp_path / f"{name}.tar", options=CreateOptions(sign=tmp_path / name))
    bundle(store, tmp_path / "unsigned.tar")
    with Store.open(Settings(home=tmp_path / "s", trusted_keys=(mine,))) as there:
        for name, said in (("unsigned", "not signed"), ("theirs", theirs)):
            with pytest.raises(BundleError, match=said):
                install(there, tmp_path / f"{name}.tar")
            assert nothing_came(there)
        assert install(there, tmp_path / "mine.tar").signer == mine.removeprefix("ed25519:")
        install(there, tmp_path / "unsigned.tar", InstallOptions(untrusted=True))
        install(there, tmp_path / "theirs.tar", InstallOptions(trusted=(mine, theirs)))
        with pytest.raises(BundleError, match="not one of trusted_keys"):
            install(there, tmp_path / "mine.tar", InstallOptions(trusted=(theirs,)))


def test_a_signature_of_another_bundle_or_none_at_all(tmp_path: Path, store: Store, keys: tuple[str, str]) -> None:
    fill_small(store)
    options = CreateOptions(sign=tmp_path / "mine")
    bundle(store, tmp_path / "a.tar", options=options)
    put(store, "more", {"a": b"b"})
    bundle(store, tmp_path / "b.tar", options=options)
    with open_source(tmp_path / "a.tar") as a, open_source(tmp_path / "b.tar") as b:
        (there, here) = (source.members[1] for source in (a, b))
    whole = bytearray((tmp_path / "b.tar").read_bytes())
    taken = (tmp_path / "a.tar").read_bytes()[there.content : there.content + there.size]
    whole[here.content : here.content + here.size] = taken
    (tmp_path / "b.tar").write_bytes(whole)
    with pytest.raises(BundleError, match="signature does not fit"):
        verify(tmp_path / "b.tar")
    del whole[here.offset : here.end]
    (tmp_path / "b.tar").write_bytes(whole)
    with pytest.raises(BundleError):
        verify(tmp_path / "b.tar")


def test_keys_are_kept_with_care(tmp_path: Path, keys: tuple[str, str]) -> None:
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "mine.pub").read_text() == keys[0] + "\n"
    assert public_key(tmp_path / "mine") == keys[0] != keys[1]
    with pytest.raises(InputError, match="there already"):
        make_key(tmp_path / "mine")
    (tmp_path / "bad").write_text("no key")
    for name in ("bad", "nothing", "mine.pub"):
        with pytest.raises(InputError, match="key"):
            public_key(tmp_path / name)


def test_the_standard_says_the_same_of_a_signature(tmp_path: Path, store: Store, keys: tuple[str, str]) -> None:
    """As someone without Forebay would check it, from design/0010-bundles.md alone."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    fill_small(store)
    bundle(store, tmp_path / "a.tar", options=CreateOptions(sign=tmp_path / "mine"))
    (tmp_path / "un").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "a.tar", "-C", tmp_path / "un"], check=True)
    manifest = (tmp_path / "un" / "MANIFEST.json").read_bytes()
    _, public, signature = (tmp_path / "un" / "MANIFEST.sig").read_text().split("\n")[:3]
    assert public == keys[0]
    assert json.loads(manifest)["signer"] == public.removeprefix("ed25519:")
    known = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public.removeprefix("ed25519:")))
    known.verify(bytes.fromhex(signature), b"forebay-bundle-v1\n" + manifest)
    with Store.open(Settings(home=tmp_path / "s", trusted_keys=(public,))) as there:
        install(there, tmp_path / "un")
        assert content(there) == content(store)
