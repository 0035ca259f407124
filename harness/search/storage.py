"""Where a search's trials are kept: a file in the store, or a database for drivers on many machines.

Owns opening Optuna's storage. The rule: a kill at any instant leaves a storage that opens again, and no
kind of storage is used where it is known to lose trials: SQLite is for one driver on a local disk.
"""

from __future__ import annotations

import os
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from sqlalchemy.exc import SQLAlchemyError

from harness.errors import HarnessError

STORAGE_VARIABLE = "HARNESS_SEARCH_STORAGE"

_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "virtiofs",
    }
)
_DRIVERS = {
    # SQLAlchemy's own choice for the plain scheme, psycopg2, is no longer developed.
    "postgres": ("postgresql+psycopg", "postgres"),
    "postgresql": ("postgresql+psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "mysql"),
}


class SystemLock(BaseJournalFileLock):
    """A lock on a journal file that the system releases when its holder dies.

    Optuna's own locks are files, which a killed holder leaves behind. Whoever takes this one also cuts
    off a line that a killed writer left half written; the next one would be glued to it, and the file
    unreadable from there on.

    Args:
        path: The journal file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        """Wait for the lock, and see that the file ends with a whole line."""
        self._lock.acquire()
        drop_torn_line(self._path)
        return True

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


def drop_torn_line(path: Path) -> None:
    """Cut a text file behind its last whole line."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep > 0:
            start = max(0, keep - 4096)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep != end:
            file.truncate(keep)


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Return Optuna's storage.

    Args:
        url: Of a database; None for a journal file in `folder`.
        folder: The search's own folder.

    Raises:
        HarnessError: If the URL is of no database that can be used here, or none answers.
    """
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "optuna.log"
        lock = SystemLock(path)
        lock.acquire()
        lock.release()
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    return _open_database(url)


def is_for_one_driver(url: str | None) -> bool:
    """Return whether only one driver may use a storage at a time."""
    return url is not None and url.startswith("sqlite")


def network_file_system(path: Path, *, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the kind of the network file system that holds `path`; empty for a local disk."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    place = path.absolute()
    found = ("", "")
    for line in lines:
        _, mount, kind, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if place.is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1] if found[1] in _NETWORK_FILE_SYSTEMS else ""


def _open_database(url: str) -> BaseStorage:
    scheme, _, rest = url.partition("://")
    if scheme.startswith("sqlite"):
        _check_local(rest)
    elif scheme.partition("+")[0] not in _DRIVERS:
        raise HarnessError(
            f"no storage of the kind {scheme!r}",
            cure="postgresql://, mysql://, sqlite:///, or leave it out for a file in the store",
        )
    driver, extra = _DRIVERS.get(scheme, (scheme, "postgres"))
    try:
        return optuna.storages.RDBStorage(f"{driver}://{rest}", engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        raise HarnessError(
            f"{scheme} needs a package that is not installed",
            cure=f"pip install 'embedding-harness[{extra}]'",
        ) from error
    except SQLAlchemyError as error:
        # The address may hold a password: only the server's own words are told.
        reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        raise HarnessError(
            f"the {scheme} storage cannot be opened: {reason}",
            cure=f"check `search.storage`, PGPASSWORD and {STORAGE_VARIABLE}",
        ) from error


def _check_local(rest: str) -> None:
    path = Path(rest.removeprefix("/") or ".")
    kind = network_file_system(path)
    if kind:
        raise HarnessError(
            f"{path} is on a network file system ({kind}), where SQLite files break",
            cure="leave `search.storage` out, or name a PostgreSQL or MySQL database",
        )
