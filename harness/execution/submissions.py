"""Runs that were handed to a Ray cluster, which runs their drivers.

Owns `submissions/<id>.json` in the store and the talk with Ray's job server. The rule: a submitted run
is an ordinary `harness run` on the cluster's head, so whatever the store tells of runs it tells of these
too; Ray is only asked for the driver's own life and output.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import HarnessError
from harness.execution.journal import utc_now
from harness.execution.location import Location, located

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
"""Where Ray's dashboard, which takes jobs, listens by default."""
_CONNECT_SECONDS = 10.0
_TOKEN = Path.home() / ".ray" / "auth_token"
_ENDED = {"STOPPED", "SUCCEEDED", "FAILED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run that was handed over."""

    id: str
    """As Ray names it."""
    address: str
    """Of the job server."""
    study: str
    profile: str
    """Empty without one."""
    time: str
    """UTC, ISO 8601."""


def submit(
    home: Path | Location,
    arguments: Sequence[str],
    *,
    address: str,
    study: str,
    profile: str,
    folder: Path,
    is_sent: bool,
) -> Submission:
    """Hand a run to a cluster, and note it in the store.

    Args:
        home: Where the store is.
        arguments: Of the `harness` command.
        address: Of the job server.
        study: The study's name.
        profile: Its profile; empty without one.
        folder: Where the command runs.
        is_sent: Whether the folder is copied to the cluster, rather than being there.

    Raises:
        HarnessError: If nobody takes jobs there.
    """
    # The interpreter of this machine is that of a cluster here, and unknown elsewhere.
    program = [sys.executable, "-m", "harness.cli"] if is_loopback(address) else ["harness"]
    command = shlex.join([*program, *arguments])
    if not is_sent:
        command = f"cd {shlex.quote(str(folder))} && exec {command}"
    environment: dict[str, Any] = {"working_dir": str(folder)} if is_sent else {}
    try:
        name = _client(address).submit_job(
            entrypoint=command, runtime_env=environment, metadata={"study": study, "profile": profile}
        )
    except RuntimeError as error:
        raise HarnessError(
            f"the Ray cluster at {address} did not take the run: {error}",
            cure="a cluster that has just been started takes runs a few seconds later",
        ) from error
    submission = Submission(id=name, address=address, study=study, profile=profile, time=utc_now())
    text = json.dumps(asdict(submission), indent=1) + "\n"
    located(home).write(_name(name), text.encode())
    return submission


def find_submission(home: Path | Location, name: str) -> Submission | None:
    """Return a submission by its id; None if the store knows of none."""
    if "/" in name:
        return None
    text = located(home).read(_name(name))
    return None if text is None else Submission(**json.loads(text))


def job_state(submission: Submission) -> str:
    """Return how far Ray is with the driver: pending, running, succeeded, failed or stopped."""
    return str(_client(submission.address).get_job_status(submission.id).value).lower()


def job_output(submission: Submission) -> tuple[str, bool]:
    """Return what the driver has printed so far, and whether it has ended."""
    client = _client(submission.address)
    # Asked before reading: what is printed in between is not missed.
    has_ended = client.get_job_status(submission.id).value in _ENDED
    return str(client.get_job_logs(submission.id)), has_ended


def stop_job(submission: Submission) -> bool:
    """Ask Ray to end the driver; return False if it had ended."""
    return bool(_client(submission.address).stop_job(submission.id))


def is_loopback(address: str) -> bool:
    """Return whether an address is of this machine alone."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(name: str) -> str:
    return f"submissions/{name}.json"


def _client(address: str) -> Any:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise HarnessError(
            f"--address {address!r}: not the address of a job server",
            cure=f"give its URL, such as {DEFAULT_ADDRESS}; `ray start --head` prints it",
        )
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise _nobody(address, str(error)) from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or _TOKEN.exists():
        # Clusters ask for the token that `ray start` has made; without this Ray does not show it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise HarnessError(
            f"Ray's client for jobs is not installed: {error}",
            cure="pip install 'embedding-harness[cluster]'",
        ) from error
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise HarnessError(
            f"the Ray cluster at {address} asks for a token that is not here",
            cure="copy the head's ~/.ray/auth_token here, or set RAY_AUTH_TOKEN",
        ) from error
    except (ConnectionError, RuntimeError) as error:
        raise _nobody(address, str(error)) from error


def _nobody(address: str, reason: str) -> HarnessError:
    return HarnessError(
        f"no Ray cluster takes jobs at {address}: {reason}",
        cure="`ray start --head` with ray[default] installed starts a job server on port 8265",
    )
