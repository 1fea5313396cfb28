"""Evaluation without network, on one screen: alice fetches what lm-eval's tasks need, bob runs them where nothing is.

The data are real and travel in packages (HumanEval, BFCL, WritingBench, SWE-Lancer); a hub on the loopback interface
serves them as Hugging Face would. lm-eval is unmodified, its model guesses. All that is made lies in ``demo/work``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline import material
from offline.people import Done, Person, elsewhere

import forebay

PLACE = material.WORK / "offline"
BUNDLE = PLACE / "carried" / "eval.forebay"
TASKS = "humaneval,offline_demo"
LIMIT = 20
FOLDER = str(material.TASK_FOLDER)
ASKED = ("--lm-eval", TASKS, "--include-path", FOLDER)
WIDTH = 80


class Broken(Exception):
    """A step did not do what it promises."""


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the screen."""

    happened: str
    requests: int
    bytes: int
    seconds: float


def main() -> int:
    """Prepare, go through the steps, print one table."""
    client = material.lm_eval_environment()
    shutil.rmtree(PLACE, ignore_errors=True)
    BUNDLE.parent.mkdir(parents=True)
    data = material.wheels()
    path = (client / "bin",)
    bob, notes = elsewhere(PLACE / "bob", path, needs(), "lm_eval")
    say("Tasks of lm-eval over real data: alice, who has a network, fetches and bundles")
    say("what they need; bob, who has none, installs it and runs lm-eval, unmodified.")
    say()
    say(f"{'step':<24}{'what happened':<30}{'requests':>9}{'bytes':>9}{'seconds':>8}")
    with material.hub(data) as hub:
        alice = Person(PLACE / "alice", path, {"HF_ENDPOINT": hub.hf_endpoint})
        alice.move_in()
        show("1 alice: fetch", fetch(hub, alice, again=False))
        show("2 alice: fetch again", fetch(hub, alice, again=True))
        show("3 alice: bundle create", create(hub, alice))
        show("4 alice: bundle verify", verify(hub, alice))
        hub.die()
    say(f"  {gap(alice, bob)}")
    show("5 bob: bundle install", install(bob))
    show("6 bob: check", check(bob))
    step, told, results = evaluate(bob)
    show("7 bob: exec lm_eval", step)
    say()
    for line in results:
        say(line)
    say()
    for line in [f"exec: {told}", *(f"Not as far apart as could be: {note}" for note in notes)]:
        say(textwrap.fill(line, WIDTH, subsequent_indent="  "))
    return 0


def needs() -> tuple[Path, ...]:
    """Return the folders that bob reads: the archive's, the tasks', and Forebay's own."""
    return BUNDLE.parent, PLACE / "bob", material.TASK_FOLDER, material.HERE, Path(forebay.__file__).parent


# Steps


def fetch(hub: material.FakeHub, alice: Person, *, again: bool) -> Step:
    """Fetch what the tasks need; the second time there must be nothing to ask anybody for."""
    hub.forget()
    done = alice.forebay("fetch", *ASKED, "--json")
    told = parsed(done)
    sure(told["harnesses"][0]["complete"], "the tasks have gaps", done)
    if again:
        sure(not hub.log and not told["network_bytes"], "what is there was fetched again", done)
        return Step(f"all {told['reused']} files are there", 0, 0, done.seconds)
    sure(told["fetched"] and told["network_bytes"], "nothing was fetched", done)
    happened = f"{told['files']} files of {len(told['snapshots'])} repositories"
    return Step(happened, len(hub.log), told["network_bytes"], done.seconds)


def create(hub: material.FakeHub, alice: Person) -> Step:
    """Pack it into one archive."""
    hub.forget()
    done = alice.forebay("bundle", "create", str(BUNDLE), *ASKED, "--json")
    told = parsed(done)
    sure(not hub.log, "the hub was asked for what is in the store", done)
    BUNDLE.chmod(0o644)
    happened = f"{len(told['paths'])} archive, {told['objects']} objects"
    return Step(happened, 0, BUNDLE.stat().st_size, done.seconds)


def verify(hub: material.FakeHub, alice: Person) -> Step:
    """Compare every byte of the archive with what it should be."""
    done = alice.forebay("bundle", "verify", str(BUNDLE))
    sure(done.code == 0 and "all sound" in done.out, "the bundle is not sound", done)
    return Step("all sound", 0, BUNDLE.stat().st_size, done.seconds)


def gap(alice: Person, bob: Person) -> str:
    """Make sure of what is between them; return it in words."""
    if bob.uid == alice.uid:
        who = "bob has a home and a store of his own"
    else:
        code = f"import os; os.listdir({str(alice.home)!r})"
        looked = bob.run(sys.executable, "-c", code)
        sure(re.search("PermissionError|FileNotFoundError", looked.err), "bob sees alice's files", looked)
        who = f"bob is user {bob.uid}, alice's files are shut"
    return f"the hub dies, {'the network is cut; ' if bob.cut else ''}{who}"


def install(bob: Person) -> Step:
    """Take the archive into a fresh store."""
    done = bob.forebay("bundle", "install", str(BUNDLE), "--json")
    told = parsed(done)
    sure(told["entries"] and not told["kept"], "the store was not fresh", done)
    happened = f"{told['entries']} entries, {told['objects']} objects"
    return Step(happened, 0, told["bytes"], done.seconds)


def check(bob: Person) -> Step:
    """Load all that the tasks load, in lm-eval's own interpreter."""
    done = bob.forebay("check", *ASKED, "--json")
    told = parsed(done)["harnesses"][0]
    sure(told["complete"] and told["tried"], "something does not load", done)
    rows = sum(each["rows"] for each in told["tried"])
    return Step(f"{len(told['tried'])} of {len(told['tried'])} load: {rows:,} rows", 0, 0, done.seconds)


def evaluate(bob: Person) -> tuple[Step, str, list[str]]:
    """Run lm-eval; return the step, what `exec` said in the end, and lm-eval's results."""
    results = bob.home / "results"
    command = ["lm_eval", "run", "--model", "dummy", "--tasks", TASKS, "--include_path", FOLDER]
    options = ["--limit", str(LIMIT), "--confirm_run_unsafe_code", "--output_path", str(results)]
    done = bob.forebay("exec", "--offline", "--", *command, *options)
    sure(done.code == 0, "lm_eval failed", done)
    told = done.err.strip().splitlines()[-1].removeprefix("forebay: ")
    sent = re.match(r"\d+ files? from the store, 0 read through, (\S+ \S+) sent, 0 requests upstream", told)
    if sent is None:
        raise broken("exec did not count 0 requests upstream", done)
    sure(not bob.cut or "no other address could be reached" in told, "other addresses could be reached", done)
    files = list(results.rglob("results_*.json"))
    sure(len(files) == 1, "lm_eval wrote no results", done)
    found = json.loads(files[0].read_text("utf-8"))
    lines = list(table(found))
    asked = sum(each["effective"] for each in found["n-samples"].values())
    happened = f"{len(found['n-samples'])} tasks, {asked} questions answered"
    return Step(happened, 0, in_bytes(sent[1]), done.seconds), told, lines


def table(found: dict[str, Any]) -> list[str]:
    """Return the results as lm-eval has them, in a table of our own."""
    program = f"lm-eval {found['lm_eval_version']}, its dummy model"
    lines = [f"{program:<34}{'metric':<10}{'value':>7}{'questions':>18}"]
    for task, counts in found["n-samples"].items():
        for name, value in found["results"][task].items():
            metric = name.partition(",")[0]
            if isinstance(value, float) and not metric.endswith("_stderr"):
                questions = f"{counts['effective']} of {counts['original']:,}"
                lines.append(f"{task:<34}{metric:<10}{value:>7.2f}{questions:>18}")
    return lines


# Telling


def parsed(done: Done) -> Any:
    """Return a command's JSON."""
    sure(done.code == 0, f"a command ended with code {done.code}", done)
    return json.loads(done.out)


def sure(promise: object, otherwise: str, done: Done) -> None:
    """Go on only if the promise is kept."""
    if not promise:
        raise broken(otherwise, done)


def broken(what: str, done: Done) -> Broken:
    """Return the error, with the end of what the command said."""
    return Broken(f"{what}\n{done.out[-2000:]}{done.err[-4000:]}")


def in_bytes(size: str) -> int:
    """Return what is meant by 23.6 MB."""
    number, unit = size.split()
    return int(float(number) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit])


def show(name: str, step: Step) -> None:
    """Print one line of the table."""
    size = f"{step.bytes / 1e6:.1f} MB" if step.bytes else "-"
    say(f"{name:<24}{step.happened:<30}{step.requests:>9}{size:>9}{step.seconds:>8.2f}")


def say(text: str = "") -> None:
    """Print now, so that the table grows as the steps go."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as error:
        say()
        sys.exit(f"demo: {error}")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"demo: {' '.join(map(str, failed.cmd))} ended with code {failed.returncode}")
    except KeyboardInterrupt:
        say()
        sys.exit(130)
