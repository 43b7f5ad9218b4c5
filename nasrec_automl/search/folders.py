"""Recognising network file systems, on which SQLite's files cannot be."""

from __future__ import annotations

from pathlib import Path

import psutil

_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "ocfs2", "gfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"),
}
"""File systems of several machines, whose locks SQLite cannot rely on."""


def network_file_system(path: Path) -> str | None:
    """The kind of network file system that a path lies on; None where it is local or not known.

    Args:
        path: a file or folder, which need not exist.
    """
    found, deepest = "", -1
    for mount in psutil.disk_partitions(all=True):
        depth = len(Path(mount.mountpoint).parts)
        # Of two mounts at one place the later hides the earlier.
        if path.is_relative_to(mount.mountpoint) and depth >= deepest:
            found, deepest = mount.fstype, depth
    return found if found in _NETWORK else None
