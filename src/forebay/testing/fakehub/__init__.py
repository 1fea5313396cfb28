"""A hub for tests: Hugging Face and ModelScope on the loopback interface, unmodified clients welcome.

`FakeHub` serves `Repository` objects, breaks on request (`HubFault`), and remembers every request (`Exchange`).
"""

from forebay.testing.fakehub.exchange import Host
from forebay.testing.fakehub.faults import HubFault, HubFaults, Rule
from forebay.testing.fakehub.repository import Commit, Content, File, Repository, RepositoryType
from forebay.testing.fakehub.server import Exchange, FakeHub

__all__ = [
    "Commit",
    "Content",
    "Exchange",
    "FakeHub",
    "File",
    "Host",
    "HubFault",
    "HubFaults",
    "Repository",
    "RepositoryType",
    "Rule",
]
