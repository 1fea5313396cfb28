"""The harness's own answers, told by its own classes: run by its interpreter, prints JSON.

``python harness_answers.py FOLDER|- ASKED…``: FOLDER holds tasks that stand in for its own; ``-``: its own. Nothing is
downloaded: where the harness would make a task of a configuration, the configuration is noted instead.
"""

import json
import sys
from pathlib import Path

from lm_eval.tasks import TaskManager, _factory, _index

SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
noted: dict = {}


def note(config):
    told = dict(config.get("dataset_kwargs") or {})
    told.pop("trust_remote_code", None)
    few = config.get("fewshot_config")
    splits = [config.get(name) for name in SPLITS] + [few.get("split") if isinstance(few, dict) else None]
    noted[str(config["task"])] = {
        "path": config.get("dataset_path"),
        "name": config.get("dataset_name"),
        "options": told,
        "splits": sorted({split for split in splits if split}),
        "code": bool("class" in config or config.get("custom_dataset")),
        "hf_metrics": sorted(
            each["metric"] for each in config.get("metric_list") or [] if each.get("hf_evaluate") is True
        ),
    }


class Noted:
    def __init__(self, config):
        note(config)
        self.task_name = config["task"]


def build_task(self, entry, overrides):
    return Noted(self._load_full_config(entry, overrides))


load_yaml = _factory.load_yaml
_factory.load_yaml = lambda path, **_: load_yaml(path, resolve_func=False)
_factory.ConfigurableTask = Noted
_factory.TaskFactory._build_task = build_task

folder, *asked = sys.argv[1:]
own = folder == "-"
manager = TaskManager(include_path=None if own else folder, include_defaults=own)
root = Path(_index.__file__).parent if own else Path(folder)
names = {
    name: [entry.kind.name, str(entry.yaml_path.relative_to(root)) if entry.yaml_path else None, sorted(entry.tags)]
    for name, entry in manager.task_index.items()
}
answers = {}
for name in asked:
    noted.clear()
    try:
        manager._load_spec(name)
    except ValueError as error:  # some of its own groups are not what it expects
        print(name, error, file=sys.stderr)
        continue
    answers[name] = dict(noted)
json.dump({"names": names if not own else len(names), "index": names, "asked": answers}, sys.stdout, sort_keys=True)
