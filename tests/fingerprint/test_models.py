"""Models and tokenizers: by content, not by what a call leaves behind."""

from __future__ import annotations

import sys
import types

import pytest
from tokenizers import AddedToken, Tokenizer, models

from forebay.errors import UnhashableError
from forebay.fingerprint import tree


def digest(value):
    return tree(value).digest


def tokenizer(**more):
    return Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2, **more}, unk_token="?"))


def test_tokenizers_by_content():
    base = tokenizer()
    assert digest(base) == digest(tokenizer())
    base.encode("a b")
    assert digest(base) == digest(tokenizer())
    assert digest(base) != digest(tokenizer(c=3))
    base.add_special_tokens([AddedToken("<s>")])
    assert digest(base) != digest(tokenizer())
    assert {child.label for child in tree(base).children} >= {
        "model",
        "added_tokens",
        "normalizer",
        "truncation",
        "padding",
    }


def test_truncation_set_up_beforehand_counts_and_set_by_the_code_does_not(load):
    ops = load(
        """
        def keeps(tok): return lambda x: tok.encode(x)
        def sets(tok): return lambda x: (tok.enable_truncation(4), tok.no_padding(), tok.encode(x))
        def truncates(tok): return lambda x: (tok.no_truncation(), tok.encode(x))
        """
    )
    used = tokenizer()
    used.enable_truncation(7)
    padded = tokenizer()
    padded.enable_padding(length=7)
    assert len({digest(ops.keeps(tok)) for tok in (tokenizer(), used, padded)}) == 3
    assert len({digest(ops.sets(tok)) for tok in (tokenizer(), used, padded)}) == 1
    assert len({digest(ops.truncates(tok)) for tok in (tokenizer(), used, padded)}) == 2


def test_tokenizer_with_parts_in_python_has_no_key():
    from tokenizers.pre_tokenizers import PreTokenizer

    custom = tokenizer()
    custom.pre_tokenizer = PreTokenizer.custom(types.SimpleNamespace(pre_tokenize=lambda text: None))
    with pytest.raises(UnhashableError, match="does not give its content"):
        tree(custom)


@pytest.fixture
def transformers(monkeypatch):
    """Classes with the names and attributes of transformers' own."""
    module = types.ModuleType("transformers.tokenization_utils_base")

    class PreTrainedTokenizerBase:
        def __init__(self, backend, **attributes):
            self._tokenizer = backend
            self.deprecation_warnings = {}
            self.init_kwargs = {"name_or_path": "/a/b", "model_max_length": 8}
            self.name_or_path = "/a/b"
            self.__dict__.update(attributes)

    class PretrainedConfig:
        def __init__(self, **attributes):
            self.__dict__.update(attributes)

    PreTrainedTokenizerBase.__module__, PreTrainedTokenizerBase.__qualname__ = (
        module.__name__,
        "PreTrainedTokenizerBase",
    )
    PretrainedConfig.__module__, PretrainedConfig.__qualname__ = "transformers.configuration_utils", "PretrainedConfig"
    module.PreTrainedTokenizerBase, module.PretrainedConfig = PreTrainedTokenizerBase, PretrainedConfig
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_transformers_tokenizers_without_what_a_call_leaves(transformers):
    make = transformers.PreTrainedTokenizerBase
    base = digest(make(tokenizer()))
    used = make(tokenizer(), deprecation_warnings={"Asking-to-pad": True}, name_or_path="/elsewhere")
    used.init_kwargs["name_or_path"] = "/elsewhere"
    used._tokenizer.enable_truncation(3)
    assert digest(used) == base
    assert digest(make(tokenizer(c=3))) != base
    assert digest(make(tokenizer(), padding_side="left")) != base
    assert digest(make(None, vocab={"a": 1})) != digest(make(None, vocab={"a": 2}))


def test_transformers_configurations_without_paths(transformers):
    make = transformers.PretrainedConfig
    assert digest(make(size=3, _name_or_path="/a")) == digest(make(size=3, _name_or_path="/b"))
    assert digest(make(size=3)) != digest(make(size=4))


def test_real_torch():
    torch = pytest.importorskip("torch")

    def make(seed=0, training=True):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)).train(training)

    model = make()
    base = digest(model)
    model(torch.ones(4, 3)).sum().backward()
    assert digest(model) == base == digest(make())
    assert digest(make(1)) != base
    assert digest(make(training=False)) != base
    model.eval()
    assert digest(model) != digest(make(training=False))
    tensor = torch.arange(6.0)
    assert digest(tensor.reshape(2, 3)) == digest(tensor.reshape(3, 2).t().contiguous().t().reshape(2, 3))
    assert digest(tensor.reshape(2, 3).t()) == digest(tensor.reshape(2, 3).t().contiguous())
    kinds = [tensor, tensor.double(), tensor.bfloat16(), tensor.int(), tensor.bool(), tensor[:3], tensor.reshape(2, 3)]
    assert len({digest(kind) for kind in kinds}) == len(kinds)
    assert digest(torch.nn.Parameter(tensor)) == digest(tensor)
    assert digest(tensor.to_sparse()) != digest(tensor.flip(0).to_sparse())
    dropping = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5))
    assert not tree(dropping).cacheable
    assert tree(dropping.eval()).cacheable
    assert digest(torch.compile(make())) == base
    script = torch.jit.script(torch.nn.Linear(2, 2))
    assert digest(script) == digest(script)
    assert digest(script) != digest(torch.jit.script(torch.nn.Linear(2, 2, bias=False)))
    with pytest.raises(UnhashableError, match="cannot be read"):
        tree(torch.empty(3, device="meta"))
