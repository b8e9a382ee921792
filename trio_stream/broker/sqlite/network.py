"""Whether a file lies on a network file system, where locks between machines are not to be had."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["network_of"]

_NETWORK = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "glusterfs"}
    | {"lustre", "nfs", "nfs4", "smb3", "smbfs"}
)

#: What is special in a name there.
_ESCAPE = re.compile(r"\\([0-7]{3})")


def network_of(path: str, mounts: str | None = None) -> str | None:
    """The kind of the network file system on which a file is, or would be; None if it is not.

    Args:
      mounts: as Linux tells them in ``/proc/self/mountinfo``; elsewhere nothing is known.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return None
    place = Path(path).resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, named = before.split(" "), after.split(" ")
        if len(fields) > 4 and named[0]:
            point = Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[4]))
            # The last of those at the same place lies above the others.
            if (place == point or point in place.parents) and len(point.parts) >= best:
                best, kind = len(point.parts), named[0]
    return kind if kind in _NETWORK else None
