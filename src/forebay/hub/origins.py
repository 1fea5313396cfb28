"""Where each hub's data comes from, as the settings say."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.fingerprint import FileMemo
from forebay.hub.http import Transport
from forebay.hub.huggingface import HuggingFace
from forebay.hub.local import Local
from forebay.hub.modelscope import ModelScope
from forebay.hub.objectstore import ObjectStore
from forebay.hub.origin import Origin
from forebay.hub.reference import HubName
from forebay.hub.web import Web


def by_hub(transport: Transport, memo: FileMemo) -> dict[HubName, Sequence[Origin]]:
    """Return the origins of each hub, in the order in which they are tried.

    Args:
        transport: sends requests; its settings name the endpoints.
        memo: digests of local files.
    """
    settings = transport.settings
    return {
        "hf": [HuggingFace(endpoint, transport) for endpoint in settings.hf_endpoints],
        "ms": [ModelScope(endpoint, transport) for endpoint in settings.ms_endpoints],
        "url": [Web(transport)],
        "store": [ObjectStore()],
        "local": [Local(memo)],
    }
