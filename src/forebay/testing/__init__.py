"""For tests of Forebay and of what stands on it: disks and hubs that fail on purpose, conformance suites to subclass.

Loaded lazily, so that a disk in memory can be had without pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.testing.crashes import Crash, each_crash
    from forebay.testing.fakehub import Exchange, FakeHub, HubFault, HubFaults, Repository
    from forebay.testing.faults import Fault, FaultKind, Operation, WorldStopped
    from forebay.testing.faulty import FaultyFilesystem
    from forebay.testing.filesystem_tests import FilesystemTests
    from forebay.testing.memory import Clock, MemoryFilesystem
    from forebay.testing.store_machine import StoreStateMachine
    from forebay.testing.store_tests import StoreTests
    from forebay.testing.turns import Turns, Worker

__all__ = [
    "Clock",
    "Crash",
    "Exchange",
    "FakeHub",
    "Fault",
    "FaultKind",
    "FaultyFilesystem",
    "FilesystemTests",
    "HubFault",
    "HubFaults",
    "MemoryFilesystem",
    "Operation",
    "Repository",
    "StoreStateMachine",
    "StoreTests",
    "Turns",
    "Worker",
    "WorldStopped",
    "each_crash",
]

_MODULES = {
    "Clock": "memory",
    "Crash": "crashes",
    "Exchange": "fakehub",
    "FakeHub": "fakehub",
    "Fault": "faults",
    "FaultKind": "faults",
    "FaultyFilesystem": "faulty",
    "FilesystemTests": "filesystem_tests",
    "HubFault": "fakehub",
    "HubFaults": "fakehub",
    "MemoryFilesystem": "memory",
    "Operation": "faults",
    "Repository": "fakehub",
    "StoreStateMachine": "store_machine",
    "StoreTests": "store_tests",
    "Turns": "turns",
    "Worker": "turns",
    "WorldStopped": "faults",
    "each_crash": "crashes",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
