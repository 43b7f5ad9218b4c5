"""Recognising network file systems, on which SQLite's files cannot be."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")
"""Linux's table of mounts; nothing is known where there is none."""

_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "ocfs2", "gfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"),
}
"""File systems of several machines, whose locks SQLite cannot rely on."""


def network_file_system(path: Path, mounts: str) -> str | None:
    """The kind of network file system that a path lies on; None where it is local or not known.

    Args:
        path: a file or folder, which need not exist.
        mounts: a table of mounts in the form of `/proc/mounts`.
    """
    found, deepest = "", -1
    for line in mounts.splitlines():
        columns = line.split()
        if len(columns) < 3:
            continue
        # A blank in the path stands there as \\040. Of two mounts at one place the later hides the earlier.
        place = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), columns[1]))
        if path.is_relative_to(place) and len(place.parts) >= deepest:
            found, deepest = columns[2], len(place.parts)
    return found if found in _NETWORK else None
