"""Repositories of the Hugging Face hub into a mirror, for machines without a network.

Owns the download. The rule: a repository appears in the mirror whole, at the revision that was asked
for, or not at all; every file is compared with what the hub says of it; a file that is there already is
not fetched again, whoever put it there; and neither code nor pickles are fetched. A kill loses the file
in flight at most, of which the next try fetches the rest.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

from filelock import FileLock
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from harness.data.mirrors import (
    MODEL_FILES,
    PARTIAL,
    Entry,
    FileEntry,
    Needed,
    digest_of,
    read_manifest,
    write_manifest,
)
from harness.errors import DataError

_NEVER = (".git*", "*.py", "*.pkl", "*.pickle", "*.pt", "*.pth")
"""What is left of a dataset, besides all the rest."""

# The hub's errors derive from those of its HTTP client, whose others are faults of the network.
_HTTP_ERROR = cast("type[Exception]", HfHubHTTPError.__mro__[1])
_FAULTS = (_HTTP_ERROR, HFValidationError, OfflineModeIsEnabled, OSError)


def prefetch(
    needs: Sequence[Needed],
    mirror: Path,
    *,
    endpoint: str | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Entry]:
    """Bring repositories into a mirror.

    Args:
        needs: What to bring.
        mirror: The mirror's folder; made when missing.
        endpoint: Address of the hub; that of HF_ENDPOINT or the public one when None.
        report: Told a line a repository.

    Returns:
        Name -> what is there now, of all that was asked for.

    Raises:
        DataError: Naming each repository that could not be brought; all others are there then.
    """
    mirror.mkdir(parents=True, exist_ok=True)
    api = HfApi(endpoint=endpoint)
    failures: list[str] = []
    brought: dict[str, Entry] = {}
    with FileLock(mirror / f"{PARTIAL}.lock"):
        for need in needs:
            try:
                brought[need.name] = _bring(need, mirror, api, report)
            except _FAULTS as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                failures.append(f"  {need.name} ({need.kind}) at {need.revision}: {reason}")
            except DataError as error:
                failures.append(f"  {need.name} ({need.kind}): {error.message}")
    if failures:
        raise DataError(
            f"{len(failures)} of {len(needs)} repositories could not be brought:\n"
            + "\n".join(failures),
            cure="check network, names and HF_TOKEN; the same command goes on where this one stopped",
        )
    return brought


def _bring(need: Needed, mirror: Path, api: HfApi, report: Callable[[str], None]) -> Entry:
    entries = read_manifest(mirror)
    before = entries.get(need.name)
    if before is not None and before.kind != need.kind:
        raise DataError(f"the mirror has a {before.kind} of that name")
    folder = mirror / need.name
    if before is not None and need.revision == before.revision and _is_whole(folder, before):
        report(f"{need.name}: there ({_megabytes(before.size)})")
        return before
    info: Any = api.repo_info(
        need.name, revision=need.revision, repo_type=need.kind, files_metadata=True
    )
    wanted = [file for file in info.siblings or () if _is_wanted(file.rfilename, need)]
    if not wanted:
        raise DataError(f"revision {need.revision} holds no files that are taken")
    partial = mirror / PARTIAL / f"{need.name.replace('/', '--')}@{need.revision}"
    num_fetched = 0
    for file in wanted:
        num_fetched += _fetch(file, need, partial, folder, endpoint=api.endpoint)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    entry = Entry(
        kind=need.kind,
        revision=need.revision,
        commit=str(info.sha or ""),
        files={file.rfilename: _describe(partial / file.rfilename) for file in wanted},
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)
    write_manifest(mirror, {**entries, need.name: entry})
    report(f"{need.name}: {_megabytes(entry.size)}, {num_fetched} of {len(wanted)} files fetched")
    return entry


def _is_wanted(path: str, need: Needed) -> bool:
    if need.kind == "model":
        return any(fnmatch(path, pattern) for pattern in MODEL_FILES)
    return not any(fnmatch(Path(path).name, pattern) for pattern in _NEVER)


def _is_whole(folder: Path, entry: Entry) -> bool:
    return all(
        (folder / name).is_file()
        and (folder / name).stat().st_size == file.size
        and digest_of(folder / name) == file.sha256
        for name, file in entry.files.items()
    )


def _fetch(file: Any, need: Needed, partial: Path, folder: Path, *, endpoint: str) -> int:
    """Make a file be in `partial`; return how many were fetched over the network: 0 or 1."""
    target = partial / file.rfilename
    if _is_the_hubs(target, file):
        return 0
    target.unlink(missing_ok=True)
    present = folder / file.rfilename
    if _is_the_hubs(present, file):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(present, target)
        return 0
    hf_hub_download(
        need.name,
        file.rfilename,
        repo_type=need.kind,
        revision=need.revision,
        local_dir=partial,
        endpoint=endpoint,
    )
    if not _is_the_hubs(target, file):
        target.unlink(missing_ok=True)
        raise DataError(f"{file.rfilename} arrived damaged")
    return 1


def _is_the_hubs(path: Path, file: Any) -> bool:
    """Return whether a file is there with the size and the SHA-256 or git hash that the hub says."""
    if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
        return False
    if file.lfs is not None:
        return digest_of(path) == str(file.lfs.sha256)
    return file.blob_id is None or _git_hash(path) == str(file.blob_id)


def _git_hash(path: Path) -> str:
    """Return git's name of a blob. Files of this kind are small: large ones are in LFS."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _describe(path: Path) -> FileEntry:
    return FileEntry(size=path.stat().st_size, sha256=digest_of(path))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
