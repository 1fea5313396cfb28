"""For tests of Forebay and of what stands on it: disks and hubs that fail on purpose, conformance suites to subclass.

Loaded lazily, so that a disk in memory can be had without pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy

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

__getattr__, __dir__ = lazy.names(
    __name__,
    __all__,
    {
        ".crashes": ["Crash", "each_crash"],
        ".fakehub": ["Exchange", "FakeHub", "HubFault", "HubFaults", "Repository"],
        ".faults": ["Fault", "FaultKind", "Operation", "WorldStopped"],
        ".faulty": ["FaultyFilesystem"],
        ".filesystem_tests": ["FilesystemTests"],
        ".memory": ["Clock", "MemoryFilesystem"],
        ".store_machine": ["StoreStateMachine"],
        ".store_tests": ["StoreTests"],
        ".turns": ["Turns", "Worker"],
    },
)
