"""Describers of models and tokenizers: by content, not by state that changes as they are used."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from forebay.fingerprint.containers import attributes
from forebay.fingerprint.digests import bulk_digest
from forebay.fingerprint.graph import Node
from forebay.fingerprint.keytree import Concern
from forebay.fingerprint.objects import derived
from forebay.fingerprint.walk import Walk, describes

# What torch keeps in a module for itself. Forward hooks may change a result and are looked at below.
_TORCH_OWN = frozenset(
    """_parameters _buffers _modules _non_persistent_buffers_set _backward_pre_hooks _backward_hooks _forward_hooks
    _is_full_backward_hook _forward_hooks_with_kwargs _forward_hooks_always_called _forward_pre_hooks _state_dict_hooks
    _forward_pre_hooks_with_kwargs _state_dict_pre_hooks _load_state_dict_pre_hooks _load_state_dict_post_hooks
    _compiled_call_impl _is_torch_compile""".split()  # noqa: SIM905
)
_RUNNING = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_PATHS = frozenset(
    """name_or_path _name_or_path _commit_hash cache_dir tokenizer_file vocab_file merges_file added_tokens_file
    special_tokens_map_file tokenizer_config_file transformers_version""".split()  # noqa: SIM905
)
_CALL_STATE = frozenset({"_tokenizer", "deprecation_warnings", "_in_target_context_manager", "verbose", "init_inputs"})


@describes("torch.nn.modules.module.Module", whole=True)
def _torch_module(walk: Walk, node: Node, value: Any) -> None:
    state = vars(value)
    compiled = state["_modules"].get("_orig_mod")
    if compiled is not None:  # torch.compile() makes it faster, not other
        if id(value) in walk.entries:
            walk.entries[id(compiled)] = walk.entries[id(value)]
        _torch_module(walk, node, compiled)
        return
    cls: type = type(value)
    node.kind, node.detail = "model", cls.__qualname__
    walk.child(node, "class", cls)
    if cls.__module__ == "torch.nn.modules.dropout" and value.training and value.p > 0:
        name = f"torch.nn.{cls.__qualname__}"
        text = "draws in training mode; call .eval() on the model, or seed torch in the function"
        walk.random.draws.append((node, "torch", Concern("random", name, "", False, text), 0))
    skip = set(_TORCH_OWN) | derived(walk, node, value, state)
    attributes(walk, node, state, skip)
    for name, parameter in state["_parameters"].items():
        walk.child(node, name, parameter)
    # In training, normalisation uses the batch's own statistics and only keeps the running ones, which every
    # forward changes.
    keeps = bool(value.training) and "running_mean" in state["_buffers"]
    for name, buffer in state["_buffers"].items():
        if not (keeps and name in _RUNNING):
            walk.child(node, name, buffer)
    for name, module in state["_modules"].items():
        walk.child(node, name, module)
    for name in ("_forward_pre_hooks", "_forward_hooks"):
        if hooks := state.get(name):
            walk.child(node, name, list(hooks.values()))


@describes("torch.jit._script.ScriptModule", "torch.jit._script.RecursiveScriptModule", whole=True)
def _torch_script(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "model", "ScriptModule"
    walk.child(node, "training", bool(value.training))
    for name, module in value.named_modules():
        walk.child(node, f"code.{name}", str(getattr(module, "code", "")))
    for name, tensor in value.state_dict().items():
        walk.child(node, name, tensor)


@describes("torch.Tensor", "torch._tensor.Tensor", whole=True)
def _tensor(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "tensor", f"{value.dtype} {tuple(value.shape)}"
    node.content = node.detail.encode()
    try:
        plain = value.detach()
        plain = plain.to_dense() if str(plain.layout) != "torch.strided" else plain
        plain = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        node.content += bulk_digest(plain.view(importlib.import_module("torch").uint8).numpy())
    except Exception as error:  # noqa: BLE001 - torch raises many kinds; a tensor without readable data has no key
        walk.fail(node, f"the tensor's data cannot be read ({error})")


@describes("torch.dtype", "torch.device", "torch.layout", "torch.memory_format")
def _torch_word(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail, node.content = type(value).__name__, str(value), str(value).encode()


@describes("tokenizers.Tokenizer")
def _tokenizer(walk: Walk, node: Node, value: Any) -> None:
    settings = _backend(walk, node, value)
    walk.deferred.append(_call_settings(walk, node, settings))


def _backend(walk: Walk, node: Node, value: Any) -> dict[str, Any]:
    """Describe all of a tokenizer but its truncation and padding, which are returned."""
    node.kind, node.detail = "tokenizer", f"{value.get_vocab_size()} tokens"
    try:
        data: dict[str, Any] = json.loads(value.to_str())
    except Exception as error:  # noqa: BLE001 - the library raises bare Exceptions, for parts written in Python for instance
        walk.fail(node, f"the tokenizer does not give its content ({error})")
    settings = {name: data.pop(name, None) for name in ("truncation", "padding")}
    walk.child(node, "class", type(value))
    for name in sorted(data):
        content = json.dumps(data[name], sort_keys=True, separators=(",", ":")).encode()
        walk.link(node, name, walk.leaf(node, name, "setting", content))
    return settings


def _call_settings(walk: Walk, node: Node, settings: dict[str, Any]) -> Callable[[], None]:
    """Let truncation and padding count, unless the code that is keyed sets them with every call."""

    def settle() -> None:
        for name, setters in (
            ("truncation", {"enable_truncation", "no_truncation"}),
            ("padding", {"enable_padding", "no_padding"}),
        ):
            if not walk.named & setters:
                walk.child(node, name, settings[name])

    return settle


@describes("transformers.tokenization_utils_base.PreTrainedTokenizerBase", whole=True)
def _transformers_tokenizer(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "tokenizer", type(value).__qualname__
    state = dict(vars(value))
    state["init_kwargs"] = {name: item for name, item in state.get("init_kwargs", {}).items() if name not in _PATHS}
    walk.child(node, "class", type(value))
    attributes(walk, node, state, skip=_CALL_STATE | _PATHS)
    if state.get("_tokenizer") is not None:
        # Each call sets truncation and padding anew from its own arguments.
        walk.part(node, "backend", _without_settings, state["_tokenizer"])


def _without_settings(walk: Walk, node: Node, value: Any) -> None:
    _backend(walk, node, value)


@describes(
    "transformers.configuration_utils.PretrainedConfig", "transformers.configuration_utils.PreTrainedConfig", whole=True
)  # fmt: skip
def _transformers_config(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "object", type(value).__qualname__
    walk.child(node, "class", type(value))
    attributes(walk, node, vars(value), skip=_PATHS)
