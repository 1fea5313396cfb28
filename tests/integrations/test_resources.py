"""NLTK data and metrics: where they are, how they are laid out, what their code tells."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from forebay.errors import InputError, NotFoundError
from forebay.integrations import metrics, nltk
from forebay.integrations.tasks import Metric


def zipped(**files: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return target.getvalue()


def test_nltk_packages_are_found_where_nltk_looks(tmp_path: Path) -> None:
    data = zipped(punkt_tab__english__a="1", punkt_tab__README="2")
    folder = nltk.lay_out([("punkt_tab", data)], tmp_path / "nltk")
    assert (folder / "tokenizers" / "punkt_tab" / "english" / "a").read_text() == "1"
    assert [path.name for path in (folder / "tokenizers").iterdir()] == ["punkt_tab"]
    nltk.lay_out([("punkt_tab", b"not looked at again")], folder)


@pytest.mark.parametrize(
    "data", [b"no zip", zipped(other__a="1"), zipped(**{"punkt_tab__..__..__x": "1"}), zipped(**{"__etc__x": "1"})]
)
def test_nltk_packages_that_lie_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError):
        nltk.lay_out([("punkt_tab", data)], tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_nltk_references() -> None:
    reference = nltk.reference("punkt_tab", "https://mirror.example/nltk/")
    assert reference.id == "https://mirror.example/nltk/tokenizers/punkt_tab.zip"
    assert nltk.package_of(reference.id) == "punkt_tab"
    assert nltk.package_of("https://host.example/corpora/punkt_tab.zip") is None
    with pytest.raises(NotFoundError, match="did you mean wordnet"):
        nltk.reference("wordnett")


def test_metrics_are_spaces() -> None:
    assert str(metrics.reference(Metric("rouge"))) == "hf://spaces/evaluate-metric/rouge"
    assert str(metrics.reference(Metric("org/mine"))) == "hf://spaces/org/mine"
    assert metrics.script(Metric("org/mine")) == "mine.py"


def test_what_a_metrics_code_tells() -> None:
    code = """
import nltk
from .nmt_bleu import compute_bleu  # From: https://github.com/tensorflow/nmt/blob/master/nmt/scripts/bleu.py


class Metric:
    def _download_and_prepare(self, dl_manager):
        nltk.download("wordnet")
        self.path = dl_manager.download_and_extract(URLS[self.config_name])
"""
    packages, gaps = metrics.told_by(code, "bleu.py")
    assert packages == ("wordnet",)
    assert [gap.why for gap in gaps] == [
        "takes in code from https://raw.githubusercontent.com/tensorflow/nmt/master/nmt/scripts/bleu.py",
        "fetches a checkpoint when it is used",
    ]
    assert metrics.told_by("def (", "x.py")[1]
