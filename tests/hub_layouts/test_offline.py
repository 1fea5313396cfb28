"""What fails today without network, with the unmodified library, and what a view mends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.hub import FetchOptions, Hub
from forebay.hub.adopt import adopt
from forebay.hub.views import lay
from forebay.store import Store
from forebay.testing import FakeHub, Repository, tinydata

from .conftest import QUIET, SUBJECTS, Client, World

LOAD = """
import datasets
loaded = datasets.load_dataset({arguments})
tell({{split: len(rows) for split, rows in loaded.items()}})
"""
NOBODY = 65534


def load(*arguments: str) -> str:
    return LOAD.format(arguments=", ".join(map(repr, arguments)))


@pytest.fixture(scope="module")
def views(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Hugging Face's programs: ``hub/``, ``datasets/``, and the same Arrow directly below it."""
    folder = tmp_path_factory.mktemp("views")
    with world.store() as store:
        laid = lay(store, "datasets", folder / "view")
        assert (laid.missing, laid.notes, laid.copied_bytes) == ([], [], 0)
        lay(store, "hf", folder / "view")
    return folder / "view"


def test_after_hf_download_a_hub_cache_alone(world: World, tmp_path: Path, client: Client) -> None:
    """`hf download` leaves only ``hub/``: `load_dataset` offline then fails; adopted and laid out, it works."""
    cache = tmp_path / "cache"
    code = "from huggingface_hub import snapshot_download; snapshot_download('openai/gsm8k', repo_type='dataset')"
    fetching = {**os.environ, "HF_HOME": str(cache), "HF_ENDPOINT": world.fake.hf_endpoint}
    subprocess.run([sys.executable, "-c", QUIET + code], env=fetching, check=True, capture_output=True)
    with pytest.raises(AssertionError, match="ConnectionError"):
        client(load("openai/gsm8k", "main"), HF_HOME=str(cache))
    with world.store(tmp_path / "store") as store:
        adopt(store, [cache])
        lay(store, "datasets", tmp_path / "view")
    assert client(load("openai/gsm8k", "main"), HF_DATASETS_CACHE=str(tmp_path / "view")) == {"train": 10, "test": 10}


def test_one_folder_as_home_and_as_cache_of_datasets(views: Path, client: Client) -> None:
    """Guides set HF_DATASETS_CACHE to HF_HOME, where the data is one folder further down."""
    told = client(load("Rowan/hellaswag"), HF_HOME=str(views), HF_DATASETS_CACHE=str(views))
    assert told == {"train": 12, "test": 12, "validation": 12}


def test_every_configuration(views: Path, client: Client) -> None:
    """A harness asks for each subject, where a cache of "all" does not help."""
    told = client(
        f"""
import datasets
tell([datasets.load_dataset("cais/mmlu", name)["test"].features["answer"].int2str(1) for name in {list(SUBJECTS)!r}]
     + [datasets.load_dataset("cais/mmlu", "all")["dev"].num_rows])
""",
        HF_DATASETS_CACHE=str(views),
    )
    assert told == ["B"] * len(SUBJECTS) + [5 * len(SUBJECTS)]


def test_bare_ids(views: Path, client: Client) -> None:
    """An id without namespace, under which the dataset was asked for, is laid out beside its full one."""
    assert client(load("gsm8k", "main"), HF_DATASETS_CACHE=str(views)) == {"train": 10, "test": 10}


@pytest.mark.parametrize("id", ["former/OldName", "org/roWs"])
def test_ids_that_end_otherwise_than_the_hubs_own(world: World, tmp_path: Path, client: Client, id: str) -> None:  # noqa: A002
    """The library looks for what it is asked for: a former name, or the same in other letters."""
    repository = Repository("org/rows", files={"data.csv": "a\n1\n"}, former=["former/OldName"])
    with FakeHub([repository]) as fake, world.store(tmp_path / "store") as store:
        with Hub(store, world.hub_settings(hf_endpoints=(fake.hf_endpoint,))) as hub:
            hub.fetch(f"hf://datasets/{id}")
        lay(store, "datasets", tmp_path / "view")
    for asked in ("org/rows", id):
        assert client(load(asked), HF_DATASETS_CACHE=str(tmp_path / "view")) == {"train": 1}


def test_read_only_and_as_another_user(views: Path, store: Store, open_folder: Path, client: Client) -> None:
    """The library locks a file in the cache's root; the view has it there for all."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    lay(store, "datasets", open_folder / "view", ["hf://datasets/Rowan/hellaswag"])
    told = client(
        f"""
import datasets, os
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
try:
    open(os.environ["HF_DATASETS_CACHE"] + "/new", "w")
except PermissionError:
    tell(len(datasets.load_dataset("Rowan/hellaswag", split="validation")))
""",
        HF_DATASETS_CACHE=str(open_folder / "view"),
    )
    assert told == 12


def test_a_view_works_where_it_was_moved_to(views: Path, tmp_path: Path, client: Client) -> None:
    shutil.copytree(views, tmp_path / "moved", symlinks=True)
    told = client(load("openai/gsm8k", "socratic"), HF_HOME=str(tmp_path / "moved"))
    assert told == {"train": 10, "test": 10}


def test_the_newest_commit_is_found(world: World, tmp_path: Path, client: Client) -> None:
    """Of two commits in one view the library takes the folder that changed last: what the branch means."""
    repository = Repository("org/rows", files={"data.csv": "a\n1\n"})
    with FakeHub([repository]) as fake, world.store(tmp_path / "store") as store:
        settings = world.hub_settings(hf_endpoints=(fake.hf_endpoint,), fresh_seconds=0.0)
        for rows in (2, 3):
            with Hub(store, settings) as hub:
                hub.fetch("hf://datasets/org/rows")
            lay(store, "datasets", tmp_path / "view")
            repository.commit({"data.csv": "a\n" + "1\n" * rows})
    assert len(list((tmp_path / "view" / "org___rows" / "default" / "0.0.0").iterdir())) == 2
    assert client(load("org/rows"), HF_DATASETS_CACHE=str(tmp_path / "view")) == {"train": 2}


def test_version_3_reads_what_version_5_prepared(
    views: Path, client: Client, client_environment: Callable[[str], Path]
) -> None:
    """The feature ``List`` of version 4 is unknown to 3: prepared Arrow says it in words that both know."""
    python = client_environment("datasets36") / "bin" / "python"
    told = client(
        """
import datasets
rows = datasets.load_dataset("cais/mmlu", "all", split="test")
tell([datasets.__version__, rows[0]["choices"], str(rows.features["choices"])[:8]])
""",
        python=str(python),
        HF_DATASETS_CACHE=str(views),
    )
    assert told[0].startswith("3.")
    assert len(told[1]) == 4


def test_modelscope_and_evalscope(
    store: Store, tmp_path: Path, client: Client, client_environment: Callable[[str], Path]
) -> None:
    """ModelScope's snapshot serves evalscope's loader, whatever split it asks for; so does a folder of that name."""
    python = str(client_environment("evalscope") / "bin" / "python")
    lay(store, "modelscope", tmp_path / "ms")
    lay(store, "evalscope", tmp_path / "es", ["ms://datasets/evalscope/ceval.v1"])
    code = """
from evalscope.api.dataset.hub import DatasetHub
with DatasetHub("evalscope/ceval.v1").load(split="test") as rows:
    tell(rows.num_rows)
"""
    nowhere = "http://127.0.0.1:9"
    assert client(code, python=python, MODELSCOPE_CACHE=str(tmp_path / "ms"), MODELSCOPE_ENDPOINT=nowhere) == 1
    empty = str(tmp_path / "none")
    assert client(code, python=python, cwd=tmp_path / "es", MODELSCOPE_CACHE=empty, MODELSCOPE_ENDPOINT=nowhere) == 1


def test_a_dataset_that_cannot_be_prepared_leaves_the_others_be(world: World, tmp_path: Path) -> None:
    """One without its README, and one that no library can load: told as missing, and the rest is laid out."""
    broken = Repository("org/broken", files={"README.md": "# text\n", "data.json": '{"a": 1}\n{"a": '})
    rows = Repository("org/rows", files={"README.md": "# rows\n", "data.csv": "a\n1\n"})
    repositories = [broken, tinydata.gsm8k(), rows]
    with FakeHub(repositories) as fake, world.store(tmp_path / "store") as store:
        with Hub(store, world.hub_settings(hf_endpoints=(fake.hf_endpoint,))) as hub:
            for one in ("org/broken", "org/rows"):
                hub.fetch(f"hf://datasets/{one}")
            hub.fetch("hf://datasets/openai/gsm8k", FetchOptions(exclude=["README.md"]))
        for references in ([], [f"hf://datasets/{each.id}" for each in repositories]):
            laid = lay(store, "datasets", tmp_path / "view", references)
            assert [path.name for path in (tmp_path / "view").iterdir() if path.is_dir()] == ["org___rows"]
            readme = "hf://datasets/openai/gsm8k: README.md"
            assert sorted(laid.missing) == [readme, "hf://datasets/org/broken#default: not prepared"]
            assert "cannot prepare hf://datasets/org/broken" in laid.notes[0]
            assert "DatasetGenerationError" not in laid.notes[0]  # it says that something went wrong, and not what


def test_what_a_store_that_may_not_be_written_lacks_is_not_fetched(world: World, tmp_path: Path) -> None:
    reference = "hf://datasets/Rowan/hellaswag"
    with world.store(tmp_path / "store") as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch(reference)
    with world.store(tmp_path / "store", read_only=True) as store:
        laid = lay(store, "datasets", tmp_path / "view", [reference])
    assert len(laid.missing) == 1
    assert laid.missing[0].startswith(f"{reference} is not prepared, and the store in ")
    assert not laid.wanted


def test_configurations_that_nobody_fetched_are_missing_only_where_they_are_asked_for(
    world: World, tmp_path: Path
) -> None:
    with world.store(tmp_path / "store") as store:
        with Hub(store, world.hub_settings()) as hub:
            chosen = FetchOptions(include=["README.md", f"{SUBJECTS[0]}/*", f"{SUBJECTS[1]}/test*"])
            hub.fetch("hf://datasets/cais/mmlu", chosen)
            hub.resolve("hf://datasets/openai/gsm8k")  # known, and nothing of it held
        laid = lay(store, "datasets", tmp_path / "view")
        assert laid.missing == [f"hf://datasets/cais/mmlu#{SUBJECTS[1]}: not prepared"]
        assert [path.name for path in (tmp_path / "view" / "cais___mmlu").iterdir()] == [SUBJECTS[0]]
        asked = lay(store, "datasets", tmp_path / "view", ["hf://datasets/cais/mmlu"])
        assert len(asked.missing) == len(SUBJECTS) + 1  # the other subjects, "all" and "auxiliary_train"
