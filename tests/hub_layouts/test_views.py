"""What is laid out for each program, and how."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from forebay.errors import InputError, NotFoundError
from forebay.hub import Hub, Snapshot, SnapshotFile
from forebay.hub.holdings import Held
from forebay.hub.memory import Memory
from forebay.hub.origin import Listing
from forebay.hub.placing import Placer, Way
from forebay.hub.views import Kind, lay
from forebay.store import Store
from forebay.testing import FakeHub, Repository

from .conftest import SUBJECTS, Client, World

TRAIN = "data/train-00000-of-00001.parquet"
HELLASWAG = "hf://datasets/Rowan/hellaswag"


def test_huggingfaces_cache_shares_the_stores_files(world: World, store: Store, tmp_path: Path) -> None:
    laid = lay(store, "hf", tmp_path / "view", [HELLASWAG, "hf://org/model"])
    root = tmp_path / "view" / "hub" / "datasets--Rowan--hellaswag"
    commit = world.commit("Rowan/hellaswag")
    pointer = root / "snapshots" / commit / TRAIN
    blob = pointer.resolve()
    assert blob.name == world.repositories["Rowan/hellaswag"].file(TRAIN).sha256
    assert os.readlink(pointer) == f"../../../blobs/{blob.name}"
    assert blob.samefile(world.object(store, HELLASWAG, TRAIN))
    assert blob.stat().st_mode & 0o777 == 0o444
    assert (root / "refs" / "main").read_text() == commit
    assert (tmp_path / "view" / "hub" / "models--org--model" / "snapshots").is_dir()
    assert set(laid.files) == {"link"}
    assert laid.copied_bytes == 0
    assert laid.missing == []


def test_doing_it_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    def seen() -> dict[str, tuple[int, int]]:
        found = (path.lstat() for path in sorted(tmp_path.rglob("*")))
        return {str(n): (stat.st_ino, stat.st_mtime_ns) for n, stat in enumerate(found)}

    for kind in ("hf", "evalscope", "modelscope"):
        lay(store, kind, tmp_path / kind)
    before = seen()
    for kind in ("hf", "evalscope", "modelscope"):
        assert set(lay(store, kind, tmp_path / kind).files) == {"kept"}
    assert seen() == before


def test_what_somebody_else_put_there_is_replaced(world: World, store: Store, tmp_path: Path) -> None:
    lay(store, "evalscope", tmp_path, [HELLASWAG])
    path = tmp_path / "Rowan" / "hellaswag" / TRAIN
    path.unlink()
    path.write_bytes(b"cut")
    lay(store, "evalscope", tmp_path, [HELLASWAG])
    assert path.samefile(world.object(store, HELLASWAG, TRAIN))


@pytest.mark.parametrize("way", ["auto", "link", "symlink", "copy"])
@pytest.mark.parametrize("there", ["nothing", "other bytes", "as many bytes", "a link to nothing", "a link elsewhere"])
def test_whatever_lies_in_its_place_a_file_is_laid(
    world: World, store: Store, tmp_path: Path, way: Way, there: str
) -> None:
    with Hub(store) as hub:
        entry = hub.file(hub.resolve(HELLASWAG, offline=True), TRAIN)
    assert entry is not None
    ref, target, elsewhere = entry.objects[0], tmp_path / "in" / "file", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not ours")
    target.parent.mkdir()
    if there == "a link elsewhere":
        target.symlink_to(elsewhere)
    elif there == "a link to nothing":
        target.symlink_to(tmp_path / "gone")
    elif there != "nothing":
        target.write_bytes(b"x" * (ref.size if there == "as many bytes" else 3))
    placer = Placer(store, way)
    placer.place(ref, target)
    placer.place(ref, target.with_name("second"))  # in a folder that is known to be there
    assert target.read_bytes() == target.with_name("second").read_bytes() == bytes(store.read(ref.digest))
    assert target.is_symlink() == (way == "symlink")
    assert elsewhere.read_bytes() == b"not ours"
    assert sorted(path.name for path in target.parent.iterdir()) == ["file", "second"]  # nothing of ours beside them
    assert sum(placer.laid.files.values()) == 2


@pytest.mark.parametrize(("way", "how"), [("copy", "copy"), ("symlink", "symlink"), ("link", "link")])
def test_ways(world: World, store: Store, tmp_path: Path, way: Way, how: str) -> None:
    laid = lay(store, "evalscope", tmp_path, [HELLASWAG], way=way)
    path, source = tmp_path / "Rowan" / "hellaswag" / TRAIN, world.object(store, HELLASWAG, TRAIN)
    assert set(laid.files) == {how}
    assert path.read_bytes() == source.read_bytes()
    assert path.samefile(source) == (way != "copy")
    assert laid.copied_bytes == (laid.bytes["copy"] if way == "copy" else 0)
    again = lay(store, "evalscope", tmp_path, [HELLASWAG], way=way)
    assert set(again.files) == {"kept"}
    assert any("pin" in note for note in laid.notes) == (way == "symlink")


@contextmanager
def plain_disk() -> Iterator[None]:
    """As FAT, and most SMB shares: one name per file, no links, no modes."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("link", "symlink", "chmod", "fchmod"):
            patch.setattr(os, name, refused)
        yield


def test_a_disk_without_links_and_modes(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "hf" / "hub" / "models--org--model"
    with plain_disk():
        laid = lay(store, "hf", tmp_path / "hf", ["hf://org/model"])
        assert set(laid.files) == {"copy"}
        assert ["takes no symbolic links" in note for note in laid.notes] == [True]
        assert sorted(path.name for path in root.iterdir()) == ["refs", "snapshots"]
        assert set(lay(store, "hf", tmp_path / "hf", ["hf://org/model"]).files) == {"kept"}
        for kind in ("evalscope", "datasets"):
            assert set(lay(store, kind, tmp_path / kind, [HELLASWAG]).files) == {"copy"}
        with pytest.raises(InputError, match="takes no symbolic links; lay copies there: --by copy"):
            lay(store, "evalscope", tmp_path / "symlink", [HELLASWAG], way="symlink")
        with pytest.raises(InputError, match="the file system has no hard links, or is another one"):
            lay(store, "evalscope", tmp_path / "link", [HELLASWAG], way="link")
    assert not list(tmp_path.rglob(".forebay*"))


def test_huggingface_hub_and_datasets_read_it_there(store: Store, tmp_path: Path, client: Client) -> None:
    with plain_disk():
        lay(store, "hf", tmp_path / "hf", ["hf://org/model"])
        lay(store, "datasets", tmp_path / "datasets", [HELLASWAG])
    told = client(
        """
import datasets, huggingface_hub as hub
rows = len(datasets.load_dataset("Rowan/hellaswag", split="train"))
tell([hub.snapshot_download("org/model"), hub.hf_hub_download("org/model", "deep/er/w.safetensors"), rows])
""",
        HF_HOME=str(tmp_path / "hf"),
        HF_DATASETS_CACHE=str(tmp_path / "datasets"),
    )
    root = tmp_path / "hf" / "hub" / "models--org--model" / "snapshots"
    assert Path(told[0]).parent == root
    assert Path(told[1]).stat().st_size == 1 << 20
    assert told[2] > 0


def test_encoded_objects_are_decoded_into_copies_and_told(world: World, tmp_path: Path) -> None:
    with world.store(tmp_path / "zstd", codec="zstd") as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch("hf://org/model")
        laid = lay(store, "hf", tmp_path / "view")
        path = next((tmp_path / "view").rglob("w.safetensors"))
        assert path.read_bytes() == bytes(1 << 20)
        assert laid.bytes["decoded"] >= 1 << 20
        assert laid.copied_bytes == laid.bytes["decoded"]
        assert path.resolve().stat().st_mode & 0o222 == 0
        assert set(lay(store, "hf", tmp_path / "view").files) == {"kept"}
        with pytest.raises(InputError, match="encoded at rest"):
            lay(store, "hf", tmp_path / "other", way="link")


def test_a_damaged_object_is_not_given_away(world: World, tmp_path: Path) -> None:
    with world.store(tmp_path / "store") as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch("hf://org/model")
        path = world.object(store, "hf://org/model", "config.json")
        path.chmod(0o644)
        path.write_bytes(b'{"a": 2}')
    with world.store(tmp_path / "store") as store:
        laid = lay(store, "hf", tmp_path / "view")
    assert laid.missing == ["hf://org/model: config.json"]
    assert not list((tmp_path / "view").rglob("config.json"))


def test_what_was_not_fetched_is_told(world: World, tmp_path: Path) -> None:
    with world.store(tmp_path / "store") as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch(f"{HELLASWAG}/README.md")
        laid = lay(store, "hf", tmp_path / "view")
    assert len(laid.missing) == 3
    assert sum(laid.files.values()) == 1


def test_references_choose(world: World, store: Store, tmp_path: Path) -> None:
    commit = world.commit("openai/gsm8k")
    lay(store, "hf", tmp_path, [f"hf://datasets/openai/gsm8k@{commit[:10]}"])
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == ["datasets--gsm8k", "datasets--openai--gsm8k"]
    with pytest.raises(NotFoundError, match="fetch hf://datasets/openai/gsm8k@v9"):
        lay(store, "hf", tmp_path, ["hf://datasets/openai/gsm8k@v9"])
    with pytest.raises(InputError, match="not a repository"):
        lay(store, "hf", tmp_path, ["https://example.org/a"])
    with pytest.raises(InputError, match="known: hf"):
        lay(store, "torch", tmp_path)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", ["hf", "evalscope"])
def test_a_configuration_or_a_path_chooses_files(world: World, store: Store, tmp_path: Path, kind: Kind) -> None:
    mmlu, subject = "hf://datasets/cais/mmlu", SUBJECTS[0]
    laid = lay(store, kind, tmp_path / "one", [f"{mmlu}#{subject}"])
    names = {path.name for path in (tmp_path / "one").rglob("*.parquet")}
    assert names == {f"{split}-00000-of-00001.parquet" for split in ("test", "validation", "dev")}
    assert {path.parent.name for path in (tmp_path / "one").rglob("*.parquet")} == {subject}
    assert not laid.missing
    lay(store, kind, tmp_path / "two", [f"{mmlu}#{subject}", f"{mmlu}/all"])
    assert {path.parent.name for path in (tmp_path / "two").rglob("*.parquet")} == {subject, "all"}
    lay(store, kind, tmp_path / "all", [f"{mmlu}#{subject}", mmlu])
    assert {path.parent.name for path in (tmp_path / "all").rglob("*.parquet")} > {subject, "all"}
    with pytest.raises(NotFoundError, match="no configuration 'nope'"):
        lay(store, kind, tmp_path / "none", [f"{mmlu}#nope"])


def test_no_path_leads_out(world: World, tmp_path: Path) -> None:
    hostile = Snapshot("hf", "dataset", "a/b", "0" * 40, (SnapshotFile("../../x", 3, f"sha256:{'1' * 64}"),))
    with world.store(tmp_path / "store") as store:
        Memory(store).save(hostile.reference, Listing(hostile), 0.0)
        for kind in ("hf", "evalscope"):
            with pytest.raises(InputError, match="leads elsewhere"):
                lay(store, kind, tmp_path / "view")


def test_a_revision_with_a_slash_becomes_a_folder_and_a_hostile_one_nothing(store: Store, tmp_path: Path) -> None:
    from forebay.hub import views
    from forebay.hub.holdings import chosen

    [held] = chosen(store, [HELLASWAG])
    odd: Held = replace(held, revisions={"refs/pr/1", "../../../escape", "main"})
    views._hf_snapshot(store, Placer(store), tmp_path / "a" / "b" / "c", odd)  # pyright: ignore[reportPrivateUsage]
    refs = tmp_path / "a" / "b" / "c" / "refs"
    assert sorted(path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file()) == [
        "main",
        "refs/pr/1",
    ]
    assert not list(tmp_path.rglob("escape"))


def test_of_revisions_that_are_in_each_others_way_one_is_laid(world: World, tmp_path: Path) -> None:
    """A tag v1 and a branch v1/fixed are two things to git; as files they cannot be side by side."""
    repository = Repository("org/rows", files={"data.csv": "a\n1\n"})
    repository.tag("v1")
    repository.commit({"data.csv": "a\n2\n"}, branch="v1/fixed")
    with FakeHub([repository]) as fake, world.store(tmp_path / "store") as store:
        with Hub(store, world.hub_settings(hf_endpoints=(fake.hf_endpoint,))) as hub:
            for revision in ("v1", "v1%2Ffixed", "main"):
                hub.fetch(f"hf://datasets/org/rows@{revision}")
        laid = lay(store, "hf", tmp_path / "view")
    [told] = laid.missing
    assert "hf://datasets/org/rows: revision v1" in told
    assert told.endswith("is in its way")
    refs = tmp_path / "view" / "hub" / "datasets--org--rows" / "refs"
    assert (refs / "main").read_text() == repository.head
    assert len(list((refs.parent / "snapshots").glob("*/data.csv"))) == 2


def test_of_several_snapshots_the_one_that_is_laid_is_told(world: World, tmp_path: Path) -> None:
    repository = Repository("org/rows", files={"data.csv": "a\n0\n"})
    with FakeHub([repository]) as fake, world.store(tmp_path / "store") as store:
        for number in (1, 2, 3):
            with Hub(store, world.hub_settings(ms_endpoints=(fake.ms_endpoint,), fresh_seconds=0.0)) as hub:
                hub.fetch("ms://datasets/org/rows")
            laid = lay(store, "evalscope", tmp_path / "view")
            now = repository.head
            repository.commit({"data.csv": f"a\n{number}\n"})
    assert laid.notes == [f"org/rows: of several snapshots {now[:12]} is laid out"]
    assert (tmp_path / "view" / "org" / "rows" / "data.csv").read_text() == "a\n2\n"


@pytest.mark.parametrize(
    ("kind", "place"), [("evalscope", "org/rows"), ("modelscope", "datasets/org--rows/snapshots/master")]
)
def test_what_an_update_took_away_is_told_and_not_touched(world: World, tmp_path: Path, kind: Kind, place: str) -> None:
    """A program takes all files of the folder for data, and would have the rows of both."""
    repository = Repository("org/rows", files={"README.md": "rows", "data/old.csv": "a\n1\n"})
    with FakeHub([repository]) as fake, world.store(tmp_path / "store") as store:
        for _ in ("before", "after"):
            with Hub(store, world.hub_settings(ms_endpoints=(fake.ms_endpoint,), fresh_seconds=0.0)) as hub:
                hub.fetch("ms://datasets/org/rows")
            laid = lay(store, kind, tmp_path / "view")
            repository.commit({"data/new.csv": "a\n1\n2\n"}, delete=[*repository.at().files.keys() - {"README.md"}])
    folder = tmp_path / "view" / place
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["new.csv", "old.csv"]
    assert any(note.startswith(f"{folder} holds data/old.csv, which ms://datasets/org/rows") for note in laid.notes)


def test_modelscopes_cache(world: World, store: Store, tmp_path: Path) -> None:
    laid = lay(store, "modelscope", tmp_path)
    path = tmp_path / "datasets" / "evalscope--ceval.v1" / "snapshots" / "master" / "data" / "test.csv"
    assert path.read_text() == "a,b\n1,2\n"
    assert path.samefile(world.object(store, "ms://datasets/evalscope/ceval.v1", "data/test.csv"))
    assert any("another hub" in note and "hellaswag" in note for note in laid.notes)


def test_unmodified_huggingface_hub_reads_the_view(world: World, store: Store, tmp_path: Path, client: Client) -> None:
    lay(store, "hf", tmp_path / "view")
    told = client(
        """
from pathlib import Path
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
folder = Path(snapshot_download("Rowan/hellaswag", repo_type="dataset"))
tell([
    folder.name,
    len([path for path in folder.rglob("*") if path.is_file()]),
    Path(snapshot_download("org/model")).name,
    Path(hf_hub_download("org/model", "deep/er/w.safetensors")).stat().st_size,
    [str(warning) for warning in scan_cache_dir().warnings],
])
""",
        HF_HOME=str(tmp_path / "view"),
    )
    assert told == [world.commit("Rowan/hellaswag"), 4, world.commit("org/model"), 1 << 20, []]


def test_datasets_takes_the_folder_of_that_name(store: Store, tmp_path: Path, client: Client) -> None:
    """evalscope and scripts that are run in the view find the folder before they look for a hub."""
    lay(store, "evalscope", tmp_path / "view", ["hf://datasets/openai/gsm8k"])
    told = client(
        """
import datasets
tell(len(datasets.load_dataset("openai/gsm8k", "socratic", split="train")))
""",
        cwd=tmp_path / "view",
    )
    assert told == 10
