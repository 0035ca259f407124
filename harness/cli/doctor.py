"""`harness doctor`: what a model is, and whether it can be trusted."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.options import HomeOption, JsonOption, print_json
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.models.network import Network
    from harness.training.checkup import Finding
    from harness.training.description import Description

_GIB = 1 << 30


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model folder, a Hugging Face folder, a GGUF file, a variant in the store, or a name "
            "on the hub.",
        ),
    ],
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    template: Annotated[
        Literal["plain", "chat"],
        typer.Option("--template", help="How a base's texts are framed, as in `model.template`."),
    ] = "plain",
    revision: Annotated[
        str, typer.Option("--revision", help="Revision of a model on the hub.")
    ] = "main",
    mirror: Annotated[
        list[Path] | None,
        typer.Option(
            "--mirror",
            metavar="DIR",
            envvar="HARNESS_MIRROR",
            help="Find models in DIR/ORG/NAME and never on the network. May be repeated.",
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Tell what a model is, and run every probe on it: those that guard training and scores.

    A variant in the store is named by its slug or by the first 12 characters of its fingerprint. Two
    trial steps are taken in memory; nothing is written. Exit code 1: a probe failed.

    Example: `harness doctor ./my-model`, `harness doctor base.gguf --template chat`
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Libraries print to where data goes.
    with contextlib.redirect_stdout(sys.stderr):
        from harness.cli.locate_model import find_model

        found = find_model(
            model, device=device, template=template, revision=revision, mirrors=mirror or [], home=home
        )
        facts, findings = _examine(found)
    if json:
        checks = [dataclasses.asdict(finding) for finding in findings]
        shown = None if facts is None else dataclasses.asdict(facts)
        print_json({"model": model, "facts": shown, "checks": checks})
    else:
        _print(facts, findings)
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)


def _examine(found: Callable[[], Network]) -> tuple[Description | None, list[Finding]]:
    """Open a model and check it; a model that cannot be opened has failed its first check."""
    from harness.training.checkup import Finding, check_up
    from harness.training.description import describe

    try:
        network = found()
        facts = describe(network)
    except HarnessError as error:
        return None, [Finding(check="opens", message=error.message, cure=error.cure)]
    findings = [Finding(check="opens")]
    for finding in check_up(network):
        findings.append(finding)
        sys.stderr.write(f"checked: {finding.check}\n")
    return facts, findings


def _print(facts: Description | None, findings: list[Finding]) -> None:
    if facts is not None:
        rows = list(_rows(facts))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            sys.stdout.write(f"{name:<{width}}  {value}\n")
        sys.stdout.write("\n")
    for finding in findings:
        sys.stdout.write(f"{'OK' if finding.is_ok else 'failed':<8}{finding.check}\n")
        for line in (finding.message, finding.cure):
            if line:
                sys.stdout.write(f"{'':<8}{line}\n")


def _rows(facts: Description) -> Iterator[tuple[str, str]]:
    memory = {
        "weight_bytes": ("memory: weights", ""),
        "lora_bytes": ("memory: LoRA, rank 16", " for adapters, gradients and moments"),
        "full_bytes": ("memory: full tuning", " for gradients and moments"),
        "activation_bytes": ("memory: activations", " for 1,024 tokens, at most"),
    }
    for field in dataclasses.fields(facts):
        value = getattr(facts, field.name)
        if field.name in memory:
            name, what = memory[field.name]
            yield name, _size(value) + what
            continue
        if isinstance(value, tuple):
            value = ", ".join(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, int):
            value = f"{value:,}"
        yield field.name.replace("_", " "), "none" if value is None else str(value)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.2f} GiB" if num_bytes >= _GIB / 10 else f"{num_bytes / 2**20:.1f} MiB"
