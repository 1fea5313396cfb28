"""A small package laid out as lm-eval is, with every shape of task file that we know of; its code must never run."""

from __future__ import annotations

from pathlib import Path

EXPLODES = "raise SystemExit('task code was run')\n"

FILES: dict[str, str] = {
    "lm_eval-0.4.99.dist-info/METADATA": "Metadata-Version: 2.4\nName: lm_eval\nVersion: 0.4.99\n",
    "evaluate-0.4.6.dist-info/METADATA": "Metadata-Version: 2.4\nName: evaluate\nVersion: 0.4.6\n",
    "lm_eval/__init__.py": EXPLODES,
    "lm_eval/api/metrics.py": """
@register_metric(metric="acc", higher_is_better=True)
def acc_fn(items):
    return items


@register_metric(metric="exact_match", higher_is_better=True)
def exact_match_fn(**kwargs):
    return kwargs
""",
    "lm_eval/config/group.py": """
class GroupConfig:
    group: str
    group_alias: str | None = None
    task: list | None = None
    aggregate_metric_list: list | None = None
    metadata: dict | None = None
""",
    # plain, with a comment behind the name, and what looks like a name within a text
    "lm_eval/tasks/plain/plain.yaml": """
task: plain_task # the name
dataset_path: org/plain
training_split: train
validation_split: validation
description: |
  task: not_this_one
  group: nor_this
doc_to_text: "{{question}}"
""",
    "lm_eval/tasks/plain/twice.yaml": "task: plain_task\ndataset_path: org/wrong\n",
    "lm_eval/tasks/plain/quoted.yaml": "tag: ['tag_a', \"tag_b\"]\n\"task\": 'quoted-task'\ndataset_path: org/quoted\n"
    "test_split: test\n",
    "lm_eval/tasks/plain/broken.yaml": "task: broken_task\ndataset_path: [org/broken\n",
    "lm_eval/tasks/plain/readme.yaml": "nothing: here\n",
    # includes: a template without suffix, overridden, two at once, in a circle, met twice
    "lm_eval/tasks/family/_base": """
tag: family_tag
dataset_path: org/family
dataset_name: base
test_split: test
fewshot_split: dev
metric_list:
  - metric: acc
""",
    "lm_eval/tasks/family/_more": "fewshot_split: train\nnum_fewshot: 3\ndataset_kwargs:\n  revision: v2\n",
    "lm_eval/tasks/family/one.yaml": "include: _base\ntask: family_one\ndataset_name: one\n",
    "lm_eval/tasks/family/two.yaml": "include:\n- _base\n- _more\ntask: family_two\ntag:\n- tag_a\n- family_second\n",
    "lm_eval/tasks/family/deep.yaml": "include: two.yaml\ntask: family_deep\ndataset_name: null\n",
    "lm_eval/tasks/family/circle.yaml": "include: circle.yaml\ntask: circle\n",
    "lm_eval/tasks/family/_left": "include: _base\n",
    "lm_eval/tasks/family/diamond.yaml": "include: [_base, _left]\ntask: diamond\n",
    # groups: of names, with overrides, of tags, nested and inline
    "lm_eval/tasks/family/_group.yaml": """
group: family
group_alias: The family
task:
  - family_one
  - task: family_two
    dataset_name: overridden
    num_fewshot: 0
  - group: inline
    task:
      - plain_task
      - task: made_here
        dataset_path: org/inline
        test_split: test
aggregate_metric_list:
  - metric: acc
metadata:
  version: 1.0
""",
    "lm_eval/tasks/family/_outer.yaml": "group: outer\ndataset_name: from_outer\ntask:\n  - family_tag\n  - family\n",
    # loads of other shapes
    "lm_eval/tasks/files/far.yaml": """
task: far_files
dataset_path: json
dataset_kwargs:
  data_files:
    test: hf://datasets/org/files/data/part-*.jsonl
    train: https://host.example/train.jsonl
test_split: test
""",
    "lm_eval/tasks/files/near.yaml": "task: near_files\ndataset_path: csv\ndataset_kwargs: {data_files: data/x.csv}\n",
    "lm_eval/tasks/files/within.yaml": "task: files_within\ndataset_path: org/within\ntest_split: train\n"
    "dataset_kwargs:\n  trust_remote_code: true\n  data_files: {train: a/x.json}\n",
    "lm_eval/tasks/files/bare.yaml": "task: bare_name\ndataset_path: xnli\ndataset_name: de\n",
    "lm_eval/tasks/files/local.yaml": "task: local_path\ndataset_path: /data/mine\n",
    # code: metrics, NLTK, tokenizers, data sets that it makes
    "lm_eval/tasks/code/utils.py": EXPLODES
    + """
import datasets
import evaluate as hf_evaluate
from nltk import download
from transformers import AutoTokenizer
from lm_eval.tasks.code import deeper

ROUGE = "rouge"


def score(doc, results):
    helper()
    return deeper.THING


def helper():
    return hf_evaluate.load(ROUGE)


def unused():
    return hf_evaluate.load("bleurt", "tiny"), datasets.load_dataset("org/unused", "x")


def make(**kwargs):
    tokenizer = AutoTokenizer.from_pretrained(kwargs["tokenizer"])
    return datasets.load_dataset("org/chosen", name=kwargs["name"]), tokenizer


def make_plainly(**kwargs):
    return datasets.load_dataset("org/told", "sub", split="train[:10]")


class Loader(Base):
    DATASET_PATH = "org/class"
    DATASET_NAME = "cls"


class Own(Loader):
    def download(self, *args):
        pass
""",
    "lm_eval/tasks/code/deeper.py": EXPLODES
    + """
import nltk


def ensure():
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        nltk.download("punkt_tab")


ensure()
THING = 1
if __name__ == "__main__":
    nltk.download("words")
""",
    "lm_eval/tasks/code/scored.yaml": "task: scored\ndataset_path: org/scored\ntest_split: test\n"
    "process_results: !function utils.score\nmetric_list:\n  - metric: bleu\n",
    "lm_eval/tasks/code/metrics.yaml": """
task: metrics
dataset_path: org/metrics
test_split: test
metric_list:
  - metric: exact_match
    hf_evaluate: true
  - metric: exact_match
  - metric: chrf
  - metric: !function utils.score
""",
    "lm_eval/tasks/code/makes.yaml": "task: makes\ndataset_path: ''\ncustom_dataset: !function utils.make\n",
    "lm_eval/tasks/code/plainly.yaml": "task: plainly\ncustom_dataset: !function utils.make_plainly\n",
    "lm_eval/tasks/code/class.yaml": "task: of_class\nclass: !function utils.Loader\n",
    "lm_eval/tasks/code/own.yaml": "task: of_own_class\nclass: !function utils.Own\n",
    "lm_eval/tasks/code/shots.yaml": "task: shots\ndataset_path: org/shots\ntest_split: test\n"
    "fewshot_config:\n  sampler: first_n\n  split: dev\n",
    "lm_eval/tasks/__pycache__/hidden.yaml": "task: hidden\ndataset_path: org/hidden\n",
}

ASKED = (
    "plain_task", "quoted-task", "family", "family_tag", "tag_a", "outer", "far_files", "near_files", "files_within",
    "bare_name", "scored", "metrics", "makes", "plainly", "of_class", "shots", "family_deep",
)  # fmt: skip


def make(folder: Path) -> Path:
    """Write the package below a folder; return the folder of the package itself."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder / "lm_eval"
