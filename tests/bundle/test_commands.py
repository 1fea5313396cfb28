"""`forebay bundle …` as people give it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bundling import content, fill, key, noise, put
from click.testing import CliRunner, Result

from forebay.bundle import open_source
from forebay.cli.app import forebay
from forebay.config import Settings
from forebay.store import Store

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Give a command in an empty folder; it must end with the code that is expected."""
    monkeypatch.chdir(tmp_path)

    def give(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(forebay, ["bundle", *arguments])
        assert result.exit_code == code, result.output
        return result

    return give


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of a filled store, which commands find by themselves."""
    home = tmp_path / "store"
    with Store.open(Settings(home=home)) as store:
        fill(store)
    monkeypatch.setenv("FOREBAY_HOME", str(home))
    return home


def test_there_and_back(tmp_path: Path, home: Path, call: Call) -> None:
    said = call("create", "b.tar", "runs/last").stdout
    assert said.startswith("wrote b.tar: ")
    assert "12 entries, 27 objects" in said
    assert "name  runs/last" in said
    call("verify", "b.tar")
    said = call("install", "b.tar", "--home", "there").stdout
    assert "installed 12 entries and 27 objects" in said
    with Store.open(Settings(home=home)) as store, Store.open(Settings(home=tmp_path / "there")) as there:
        assert content(there) == content(store)
    again = json.loads(call("install", "b.tar", "--home", "there", "--json").stdout)
    assert (again["entries"], again["kept"], again["present"]) == (0, 12, 27)


def test_a_run_is_named_as_its_recipe_names_it(home: Path, call: Call) -> None:
    with Store.open(Settings(home=home)) as store:
        put(store, "mine", {"a": noise("mine", 100)})
        store.names.set("runs/my-project", "delta", key("mine"))
    assert "name  runs/my-project" in call("create", "b.tar", "runs/my project").stdout
    assert "runs/no project" in call("create", "c.tar", "runs/no project", code=2).stderr
    assert "13 entries" in call("create", "d.tar", "runs").stdout


def test_every_answer_as_json(home: Path, call: Call) -> None:
    made = json.loads(call("create", "b.tar", "demo", "--volume-size", "50kB", "--json").stdout)
    assert made["paths"][-1] == "b.tar.volumes.json"
    looked = json.loads(call("inspect", "b.tar", "--json").stdout)
    assert looked["id"] == made["id"]
    assert len(looked["manifest"]["entries"]) == made["entries"] == 12
    assert json.loads(call("verify", "b.tar", "--json").stdout)["ok"]
    assert json.loads(call("diff", "b.tar", "--json").stdout)["same"]
    assert json.loads(call("keygen", "key", "--json").stdout)["public"].startswith("ed25519:")
    assert json.loads(call("repair", "b.tar", "--json").stdout) == {"mended": [], "missing": {}, "damaged": []}


def test_a_delta_and_what_it_is_a_delta_to(home: Path, call: Call) -> None:
    call("create", "a.tar", "demo")
    with Store.open(Settings(home=home)) as store:
        put(store, "new", {"a": noise("new", 100)})
    call("create", "b.tar", "demo", "--since", "a.tar")
    assert "a delta to" in call("inspect", "b.tar").stdout
    told = call("diff", "a.tar", "b.tar", code=1).stdout
    assert told == f"+ entry  delta:{key('new')[:12]}\n1 object (100 B) more, 0 objects (0 B) less\n"
    assert "install that one first" in call("install", "b.tar", "--home", "there", code=2).stderr
    call("install", "a.tar", "--home", "there")
    assert "1 entry and 1 object" in call("install", "b.tar", "--home", "there").stdout
    assert call("diff", "b.tar", "--home", "there").stdout == "the same\n"


def test_damage_is_found_asked_for_and_mended(tmp_path: Path, home: Path, call: Call) -> None:
    call("create", "b.tar", "demo")
    data = bytearray((tmp_path / "b.tar").read_bytes())
    data[-1100] ^= 1
    (tmp_path / "b.tar").write_bytes(data)
    assert "damaged: b.tar: objects/" in call("verify", "b.tar", code=1).stdout
    refused = call("install", "b.tar", "--home", "there", code=2).stderr
    assert refused.count("\n") == 1
    assert "nothing was installed" in refused
    assert "1 object missing, asked for in ask.json" in call("repair", "b.tar", "--request", "ask.json", code=1).stdout
    call("create", "patch.tar", "--wanted", "ask.json")
    assert "1 mended, 0 objects missing" in call("repair", "b.tar", "--from", "patch.tar").stdout
    call("verify", "b.tar")
    (tmp_path / "b.tar").write_bytes(data)
    call("repair", "b.tar", "--from-store")
    call("verify", "b.tar")


def test_many_faults_are_counted(tmp_path: Path, home: Path, call: Call) -> None:
    call("create", "b.tar", "runs/last")
    whole = (tmp_path / "b.tar").read_bytes()
    with open_source(tmp_path / "b.tar") as source:
        cut = source.members[4].offset
    (tmp_path / "b.tar").write_bytes(whole[:cut])
    told = call("verify", "b.tar", code=1).stdout.splitlines()
    assert sum(line.startswith("damaged: ") for line in told) == 11
    faults = json.loads(call("verify", "b.tar", "--json", code=1).stdout)["faults"]
    assert told[10] == f"damaged: … {len(faults) - 10} more"
    assert f": {len(faults)} faults, not signed" in told[11]


def test_the_list_of_volumes_names_the_bundle(home: Path, call: Call) -> None:
    call("create", "b.tar", "runs/last", "--volume-size", "10kB")
    assert call("inspect", "b.tar.volumes.json").stdout == call("inspect", "b.tar").stdout
    assert call("diff", "b.tar.volumes.json", "b.tar.000").stdout == "the same\n"


def test_a_folder_without_a_bundle_is_told(tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("verify", "install", "inspect"):
        told = call(command, "empty", code=2).stderr
        assert told == "forebay: no bundle in empty; give an archive, or where one was unpacked\n"


def test_signatures(home: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    public = call("keygen", "key").stdout.strip()
    call("create", "signed.tar", "demo", "--sign", "key")
    call("create", "plain.tar", "demo")
    assert f"signed by {public}" in call("inspect", "signed.tar").stdout
    assert "not signed" in call("install", "plain.tar", "--trust", public, "--home", "there", code=2).stderr
    call("install", "signed.tar", "--trust", public, "--home", "there")
    monkeypatch.setenv("FOREBAY_TRUSTED_KEYS", public)
    assert "not signed" in call("install", "plain.tar", "--home", "else", code=2).stderr
    call("install", "plain.tar", "--untrusted", "--home", "else")
    assert "not a public key" in call("install", "plain.tar", "--trust", "me", code=2).stderr
    for nothing in ("", " "):  # as of a variable that is not set; no key at all would trust everybody
        assert "--trust is empty" in call("install", "plain.tar", "--trust", nothing, "--home", "x", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create", "b.tar"], 2, "give entries"),
        (["create", "b.tar", "nothing"], 2, "no entry, name or dataset 'nothing'"),
        (["create", "b.tar", "demo", "--since", "nothing"], 2, "no bundle nothing"),
        (["create", "b.tar", "demo", "--sign", "nothing"], 2, "cannot read the key"),
        (["create", "b.tar", "demo", "--volume-size", "7"], 2, "too small"),
        (["create", "b.tar", "demo", "--level", "99"], 2, "99"),
        (["create", "no/such/b.tar", "demo"], 1, "cannot write"),
        (["create", ".", "demo"], 2, ". is a folder; name the archive: data.tar"),
        (["create", "..", "demo", "--replace"], 2, ".. is a folder"),
        (["install", "nothing"], 2, "no bundle nothing"),
        (["verify", "store"], 2, "no bundle in store"),
        (["inspect", "store/index.sqlite"], 2, "it is no bundle"),
        (["repair", "store", "--from-store"], 2, "is a folder"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    home: Path, call: Call, arguments: list[str], code: int, said: str
) -> None:
    told = call(*arguments, code=code).stderr
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("path", ["two\nlines", "back\\slash"])
def test_what_the_other_side_would_refuse_is_not_written(home: Path, call: Call, path: str) -> None:
    with Store.open(Settings(home=home)) as store:
        put(store, "odd", {f"file:{path}": b"x"}, dataset="odd")
    told = call("create", "odd.tar", "odd", code=2).stderr
    assert f"no bundle takes {path!r} of odd" in told
    assert told.count("\n") == 1
    assert not [*Path().glob("odd.tar*")]


def test_a_key_is_written_where_there_is_no_folder_yet(call: Call, tmp_path: Path) -> None:
    call("keygen", "home/.config/forebay/key")
    folder = tmp_path / "home/.config/forebay"
    assert {path.name for path in folder.iterdir()} == {"key", "key.pub"}
    assert folder.stat().st_mode & 0o077 == 0
    Path("file").touch()
    assert "cannot write file/key" in call("keygen", "file/key", code=2).stderr


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom forebay.cli.app import forebay\n"
        "forebay(['bundle', '--help'], standalone_mode=False)\n"
        "print([name for name in ('cryptography', 'zstandard', 'forebay.store', 'forebay.hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "keygen" in done.stdout


def test_importing_bundles_is_cheap() -> None:
    script = (
        "import sys, forebay.bundle\n"
        "print([n for n in sys.modules if n.startswith(('forebay.bundle.', 'cryptography'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def flipped(path: Path, *names: str) -> bytes:
    """Flip a bit in the content of members ("": in the end); return the bytes from before."""
    whole = path.read_bytes()
    data = bytearray(whole)
    with open_source(path) as source:
        places = {member.name: member.content for member in source.members} | {"": source.members[-1].end}
    for name in names:
        data[places[name]] ^= 1
    path.write_bytes(data)
    return whole


def test_what_a_bundle_says_of_itself_is_mended_without_a_donor(tmp_path: Path, home: Path, call: Call) -> None:
    call("create", "b.tar", "demo")
    whole = flipped(tmp_path / "b.tar", "README.txt", "setup.sh", "setup.ps1", "FILES.tsv", "")
    call("verify", "b.tar", code=1)
    said = call("repair", "b.tar", "--request", "ask.json").stdout
    assert said.endswith("5 mended, 0 objects missing\n")
    assert "mended   FILES.tsv" in said
    assert (tmp_path / "b.tar").read_bytes() == whole
    assert not (tmp_path / "ask.json").exists()
    (tmp_path / "b.tar").write_bytes(whole + b"more")
    assert "mended   the end" in call("repair", "b.tar").stdout
    assert (tmp_path / "b.tar").read_bytes() == whole


def test_a_damaged_entry_is_told_and_comes_from_a_copy_or_the_store(tmp_path: Path, home: Path, call: Call) -> None:
    call("create", "b.tar", "demo")
    entry = f"entries/delta/{key('e3')}.json"
    whole = flipped(tmp_path / "b.tar", entry, "FILES.tsv")
    damaged = (tmp_path / "b.tar").read_bytes()
    said = call("repair", "b.tar", "--request", "ask.json", code=1).stdout
    assert entry in said
    assert "0 mended, 0 objects missing; 2 damaged beside, for which another copy is needed (--from)" in said
    told = json.loads(call("repair", "b.tar", "--json", code=1).stdout)
    assert (told["missing"], sorted(told["damaged"])) == ({}, ["FILES.tsv", entry])
    assert (tmp_path / "b.tar").read_bytes() == damaged
    (tmp_path / "good.tar").write_bytes(whole)
    for way in (["--from", "good.tar"], ["--from-store"]):
        (tmp_path / "b.tar").write_bytes(damaged)
        assert "2 mended, 0 objects missing" in call("repair", "b.tar", *way).stdout
        assert (tmp_path / "b.tar").read_bytes() == whole


def test_what_is_cut_off_keeps_its_size_until_somebody_has_the_rest(tmp_path: Path, home: Path, call: Call) -> None:
    call("create", "b.tar", "demo")
    whole = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[:-3000])
    call("repair", "b.tar", "--request", "ask.json", code=1)
    assert (tmp_path / "b.tar").stat().st_size == len(whole) - 3000
    call("create", "patch.tar", "--wanted", "ask.json")
    call("repair", "b.tar", "--from", "patch.tar")
    assert (tmp_path / "b.tar").read_bytes() == whole
