from pathlib import Path

import pytest

from nasrec_automl.search.folders import network_file_system

MOUNTS = r"""
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/me/local xfs rw 0 0
me@host:/x /mnt/my\040files fuse.sshfs rw 0 0
//server/share /mnt/share cifs rw 0 0
/dev/sdc1 /mnt/share ext4 rw 0 0
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/studies.db", None),
        ("/home/me/runs/studies.db", "nfs4"),
        ("/homework/studies.db", None),
        ("/home/me/local/studies.db", None),
        ("/mnt/my files/studies.db", "fuse.sshfs"),
        ("/mnt/share/studies.db", None),  # The later mount hides the earlier one.
    ],
)
def test_the_deepest_mount_decides(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_without_a_table_nothing_is_known() -> None:
    assert network_file_system(Path("/home/me"), "") is None
