"""Small repositories laid out as well-known ones are, with rows made up here: real parquet, valid for `load_dataset`.

Ids, configurations, splits, paths and columns are those of the originals; the texts are not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from forebay.testing.fakehub import Repository

# Columns: the name of a type, [type] for a list, {name: type} for a record, ("A", "B") for labels kept as numbers.
Features = Mapping[str, Any]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MMLU_SUBJECTS = _names(
    "abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry"
    " college_computer_science college_mathematics college_medicine college_physics computer_security"
    " conceptual_physics econometrics electrical_engineering elementary_mathematics formal_logic global_facts"
    " high_school_biology high_school_chemistry high_school_computer_science high_school_european_history"
    " high_school_geography high_school_government_and_politics high_school_macroeconomics"
    " high_school_mathematics high_school_microeconomics high_school_physics high_school_psychology"
    " high_school_statistics high_school_us_history high_school_world_history human_aging human_sexuality"
    " international_law jurisprudence logical_fallacies machine_learning management marketing medical_genetics"
    " miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory professional_accounting"
    " professional_law professional_medicine professional_psychology public_relations security_studies sociology"
    " us_foreign_policy virology world_religions"
)

CEVAL_SUBJECTS = _names(
    "computer_network operating_system computer_architecture college_programming college_physics"
    " college_chemistry advanced_mathematics probability_and_statistics discrete_mathematics electrical_engineer"
    " metrology_engineer high_school_mathematics high_school_physics high_school_chemistry high_school_biology"
    " middle_school_mathematics middle_school_biology middle_school_physics middle_school_chemistry"
    " veterinary_medicine college_economics business_administration marxism mao_zedong_thought education_science"
    " teacher_qualification high_school_politics high_school_geography middle_school_politics"
    " middle_school_geography modern_chinese_history ideological_and_moral_cultivation logic law"
    " chinese_language_and_literature art_studies professional_tour_guide legal_professional high_school_chinese"
    " high_school_history middle_school_history civil_servant sports_science plant_protection basic_medicine"
    " clinical_medicine urban_and_rural_planner accountant fire_engineer environmental_impact_assessment_engineer"
    " tax_accountant physician"
)


def hellaswag(rows: int = 12, *, id: str = "Rowan/hellaswag") -> Repository:  # noqa: A002
    """Return a HellaSwag: three parquet files under data/, no named configuration."""
    features: Features = {
        "ind": "int32",
        **dict.fromkeys(("activity_label", "ctx_a", "ctx_b", "ctx"), "string"),
        "endings": ["string"],
        **dict.fromkeys(("source_id", "split", "split_type", "label"), "string"),
    }
    files: dict[str, bytes | str] = {}
    for split in ("train", "validation", "test"):
        made = [_hellaswag_row(split, n) for n in range(rows)]
        files[f"data/{split}-00000-of-00001.parquet"] = parquet(made, features)
    paths = {split: f"data/{split}-*" for split in ("train", "test", "validation")}
    sizes = dict.fromkeys(paths, rows)
    return Repository(
        id, files={"README.md": card({"default": paths}, features=features, splits={"default": sizes}), **files}
    )


def mmlu(rows: int = 4, *, id: str = "cais/mmlu", subjects: Sequence[str] = MMLU_SUBJECTS) -> Repository:  # noqa: A002
    """Return an MMLU: a configuration for each of 57 subjects, "all" and "auxiliary_train"."""
    features: Features = {
        "question": "string",
        "subject": "string",
        "choices": ["string"],
        "answer": ("A", "B", "C", "D"),
    }
    splits = {"test": rows, "validation": 2, "dev": 5}
    files: dict[str, bytes | str] = {}
    shown: dict[str, dict[str, str]] = {}
    sizes: dict[str, dict[str, int]] = {}
    for name in [*sorted(subjects), "all"]:
        for split, count in splits.items():
            told = subjects if name == "all" else [name]
            made = [_choice_row(subject, split, n) for subject in told for n in range(count)]
            files[f"{name}/{split}-00000-of-00001.parquet"] = parquet(made, features)
            sizes.setdefault(name, {})[split] = len(made)
        shown[name] = {split: f"{name}/{split}-*" for split in splits}
    made = [_choice_row("", "train", n) for n in range(rows)]
    files["auxiliary_train/train-00000-of-00001.parquet"] = parquet(made, features)
    shown["auxiliary_train"], sizes["auxiliary_train"] = {"train": "auxiliary_train/train-*"}, {"train": rows}
    return Repository(id, files={"README.md": card(shown, features=features, splits=sizes), **files})


def gsm8k(rows: int = 10, *, id: str = "openai/gsm8k") -> Repository:  # noqa: A002
    """Return a GSM8K: configurations main and socratic, train and test."""
    features: Features = {"question": "string", "answer": "string"}
    files: dict[str, bytes | str] = {}
    for name in ("main", "socratic"):
        for split in ("train", "test"):
            made = [_sum_row(name, split, n) for n in range(rows)]
            files[f"{name}/{split}-00000-of-00001.parquet"] = parquet(made, features)
    shown = {name: {split: f"{name}/{split}-*" for split in ("train", "test")} for name in ("main", "socratic")}
    sizes = {name: dict.fromkeys(splits, rows) for name, splits in shown.items()}
    return Repository(id, files={"README.md": card(shown, features=features, splits=sizes), **files}, former=["gsm8k"])


def arc(rows: int = 6, *, id: str = "allenai/ai2_arc") -> Repository:  # noqa: A002
    """Return an ARC: configurations ARC-Challenge and ARC-Easy; `choices` is a record of two lists."""
    choices = {"text": ["string"], "label": ["string"]}
    features: Features = {"id": "string", "question": "string", "choices": choices, "answerKey": "string"}
    files: dict[str, bytes | str] = {}
    shown: dict[str, dict[str, str]] = {}
    for name in ("ARC-Challenge", "ARC-Easy"):
        for split in ("train", "test", "validation"):
            made = [_arc_row(name, split, n) for n in range(rows)]
            files[f"{name}/{split}-00000-of-00001.parquet"] = parquet(made, features)
        shown[name] = {split: f"{name}/{split}-*" for split in ("train", "test", "validation")}
    sizes = {name: dict.fromkeys(splits, rows) for name, splits in shown.items()}
    return Repository(id, files={"README.md": card(shown, features=features, splits=sizes), **files})


def ceval(rows: int = 3, *, id: str = "evalscope/ceval", subjects: Sequence[str] = CEVAL_SUBJECTS) -> Repository:  # noqa: A002
    """Return a C-Eval as ModelScope has it for evalscope: 52 subsets; test, val and dev, CSV."""
    files: dict[str, bytes | str] = {}
    shown: dict[str, dict[str, str]] = {}
    for name in subjects:
        shown[name] = {}
        for split, count in {"test": rows, "val": rows, "dev": 5}.items():
            lines = ["id,question,A,B,C,D,answer,explanation"]
            for n in range(count):
                row = _choice_row(name, split, n)
                choices = [
                    f"选项{choice}" for choice in row["choices"]
                ]  # texts: a reader of CSV makes numbers of digits
                lines.append(",".join([str(n), row["question"], *choices, "ABCD"[row["answer"]], "因为如此"]))
            shown[name][split] = f"{split}/{name}_{split}.csv"
            files[shown[name][split]] = "\n".join(lines) + "\n"
    return Repository(id, files={"README.md": card(shown), **files})


def metric(name: str = "exact_match") -> Repository:
    """Return the space of a metric that `evaluate.load` runs: the share of predictions equal to their references."""
    return Repository(
        f"evaluate-metric/{name}", type="space", files={"README.md": "---\nsdk: static\n---\n", f"{name}.py": _METRIC}
    )


def every() -> tuple[Repository, ...]:
    """Return one of each."""
    return (hellaswag(), mmlu(), gsm8k(), arc(), ceval(), metric())


# Rows


def _hellaswag_row(split: str, n: int) -> dict[str, Any]:
    start = f"A person picks up tool number {n} and"
    endings = [f"{start} {verb} it ({split} {n})." for verb in ("uses", "eats", "paints", "sells")]
    told = {"ind": n, "activity_label": "Working", "ctx_a": f"Somebody stands in shop {n}.", "ctx_b": start}
    label = "" if split == "test" else str(n % 4)
    context = f"{told['ctx_a']} {start}"
    kind = {"source_id": f"made~{n}", "split": split, "split_type": "indomain"}
    return {**told, "ctx": context, "endings": endings, **kind, "label": label}


def _choice_row(subject: str, split: str, n: int) -> dict[str, Any]:
    choices = [str(n + step) for step in range(4)]
    question = f"What is {n} + {n % 4} in {subject or 'general'} ({split})?"
    return {"question": question, "subject": subject, "choices": choices, "answer": n % 4}


def _sum_row(name: str, split: str, n: int) -> dict[str, Any]:
    steps = f"{n} + 2 = <<{n}+2={n + 2}>>{n + 2}"
    answer = f"How many in all? ** {steps}" if name == "socratic" else steps
    question = f"Kim has {n} pens and buys 2 more ({split}). How many has she now?"
    return {"question": question, "answer": f"{answer}\n#### {n + 2}"}


def _arc_row(name: str, split: str, n: int) -> dict[str, Any]:
    choices = {"text": [f"stone {n}", f"water {n}", f"fire {n}", f"air {n}"], "label": ["A", "B", "C", "D"]}
    return {"id": f"{name}_{split}_{n}", "question": f"What falls down ({n})?", "choices": choices, "answerKey": "A"}


# Files


def parquet(rows: Sequence[Mapping[str, Any]], features: Features) -> bytes:
    """Return a parquet file as `datasets` uploads it: its features stand in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _arrow(kind)) for name, kind in features.items()])
    told = {"info": {"features": {name: _feature(kind) for name, kind in features.items()}}}
    table = pa.Table.from_pylist([dict(row) for row in rows], schema.with_metadata({"huggingface": json.dumps(told)}))
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def card(
    configurations: Mapping[str, Mapping[str, str]],
    *,
    features: Features | None = None,
    splits: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """Return a README whose YAML tells configurations (name -> split -> path), features and rows per split."""
    import yaml

    told: dict[str, Any] = {"license": "mit", "language": ["en"]}
    if features is not None and splits is not None:
        infos = [_dataset_info(name, features, splits[name]) for name in configurations]
        told["dataset_info"] = infos[0] if len(infos) == 1 else infos
    shown = [
        {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in paths.items()]}
        for name, paths in configurations.items()
    ]
    told["configs"] = shown
    return f"---\n{yaml.safe_dump(told, sort_keys=False)}---\n# A small dataset\n\nMade for tests.\n"


def _dataset_info(name: str, features: Features, splits: Mapping[str, int]) -> dict[str, Any]:
    told = [{"name": split, "num_bytes": 100 * rows, "num_examples": rows} for split, rows in splits.items()]
    listed = [{"name": column, **_in_card(kind)} for column, kind in features.items()]
    return {"config_name": name, "features": listed, "splits": told, "download_size": 1000, "dataset_size": 1000}


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    match kind:
        case str():
            return getattr(pa, kind)()
        case [inner]:
            return pa.list_(_arrow(inner))
        case dict():
            return pa.struct([(name, _arrow(inner)) for name, inner in kind.items()])
        case _:
            return pa.int64()


def _feature(kind: Any) -> Any:
    match kind:
        case str():
            return {"dtype": kind, "_type": "Value"}
        case list():
            return {"feature": _feature(kind[0]), "_type": "Sequence"}
        case dict():
            return {name: _feature(inner) for name, inner in kind.items()}
        case _:
            return {"names": list(kind), "_type": "ClassLabel"}


def _in_card(kind: Any) -> dict[str, Any]:
    match kind:
        case str():
            return {"dtype": kind}
        case list():
            return {"sequence": kind[0]}
        case dict():
            return {"struct": [{"name": name, **_in_card(inner)} for name, inner in kind.items()]}
        case _:
            return {"dtype": {"class_label": {"names": {str(n): name for n, name in enumerate(kind)}}}}


_METRIC = '''
import datasets
import evaluate


class ExactMatch(evaluate.Metric):
    """The share of predictions that are their reference."""

    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="exact match", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"exact_match": sum(map(str.__eq__, predictions, references)) / len(references)}
'''.lstrip()
