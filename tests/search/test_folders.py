from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from nasrec_automl.search.folders import network_file_system

MOUNTS = {
    "/": "ext4",
    "/proc": "proc",
    "/home": "nfs4",
    "/home/me/local": "xfs",
    "/mnt/my files": "fuse.sshfs",
    "/media/me/caf\udce9": "cifs",
}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/studies.db", None),
        ("/home/me/runs/studies.db", "nfs4"),
        ("/homework/studies.db", None),
        ("/home/me/local/studies.db", None),
        ("/mnt/my files/studies.db", "fuse.sshfs"),
        ("/media/me/caf\udce9/studies.db", "cifs"),
    ],
)
def test_the_deepest_mount_decides(path: str, kind: str | None, mounted: Callable[..., None]) -> None:
    mounted(*MOUNTS.items())
    assert network_file_system(Path(path)) == kind


def test_the_later_of_two_mounts_hides_the_earlier(mounted: Callable[..., None]) -> None:
    for kinds in (("nfs", "ext4"), ("ext4", "nfs")):
        mounted(("/", "ext4"), *(("/mnt/share", kind) for kind in kinds))
        assert network_file_system(Path("/mnt/share/studies.db")) == (kinds[1] if kinds[1] == "nfs" else None)


def test_this_machine_has_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {mount.fstype for mount in psutil.disk_partitions(all=True)}
    monkeypatch.setattr("nasrec_automl.search.folders._NETWORK", kinds)
    assert network_file_system(Path("/")) in kinds


def test_without_a_table_nothing_is_known(mounted: Callable[..., None]) -> None:
    mounted()
    assert network_file_system(Path("/home/me")) is None
