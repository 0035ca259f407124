"""The Hugging Face hub: from a model's name to a local folder.

Owns the download of base checkpoints. The rule: only configuration, tokenizer and safetensors are
fetched, never code or pickles, and with mirrors given the network is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from harness.data.mirrors import MODEL_FILES, check_repository
from harness.errors import DataError


def resolve_hub(name: str, revision: str, *, mirrors: Sequence[Path] = ()) -> Path:
    """Return the local folder of a model of the Hugging Face hub, downloading what is missing.

    Args:
        name: `<organisation>/<name>`.
        revision: Commit, tag or branch; a commit is the only one that stays the same.
        mirrors: Folders that stand in for the hub; with any given, the network is not used.

    Raises:
        DataError: When the hub cannot be reached and the model is not in the local cache, or the
            name, the revision or the right to read it is not there, or no mirror has it, or its files
            are not what the mirror's manifest says.
    """
    for root in mirrors:
        if (root / name / "config.json").is_file():
            check_repository(root, name)
            return root / name
    if mirrors:
        raise DataError(
            f"base {name!r} is in none of the mirrors: {', '.join(str(root) for root in mirrors)}",
            cure=f"Put the model's files into <mirror>/{name}/, or run without a mirror.",
        )
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(MODEL_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot get {name!r} at revision {revision!r} from the Hugging Face hub: {said}",
            cure="Check name, revision, network and HF_TOKEN, or give the base as a local folder.",
        ) from error
