"""Every byte that reaches a disk: files that appear whole, leases without locks, mapping, room.

The seam is `Filesystem`; design/0002-leases-and-publishing.md tells the protocols and what they promise.
"""

from forebay.io.ahead import FlushedAhead
from forebay.io.filesystem import DiskSpace, FileStat, Filesystem, OpenFile
from forebay.io.heart import HEART, Beating, Heart
from forebay.io.lease import Lease, Progress
from forebay.io.leasing import LeaseFolder
from forebay.io.local import LocalFilesystem
from forebay.io.process import ProcessName
from forebay.io.publish import Staged, flush, link_staged, make_home, publish, stage
from forebay.io.space import Reservation, Room
from forebay.io.temporary import abandoned, owned_token, temporary, temporary_folder
from forebay.io.trouble import Trouble

__all__ = [
    "HEART",
    "Beating",
    "DiskSpace",
    "FileStat",
    "Filesystem",
    "FlushedAhead",
    "Heart",
    "Lease",
    "LeaseFolder",
    "LocalFilesystem",
    "OpenFile",
    "ProcessName",
    "Progress",
    "Reservation",
    "Room",
    "Staged",
    "Trouble",
    "abandoned",
    "flush",
    "link_staged",
    "make_home",
    "owned_token",
    "publish",
    "stage",
    "temporary",
    "temporary_folder",
]
