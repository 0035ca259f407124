"""The parts of a study's recipes as steps' configurations have them, each written once.

Owns `Parts`. The rule: variants differ in little, and equal parts of a study are one object; so a part
is told by the object's identity, since hashing it takes longer than what is spared. It is kept as long
as what was made of it, so that nothing else gets its identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from harness.identity import canonical_json
from harness.identity.canonical import to_plain
from harness.plan.graph import Configuration
from harness.plan.names import stage_field
from harness.study.recipe import ContrastiveConfig, DataConfig, PromptConfig, ReconstructionConfig

Part = tuple[Any, str]
"""Plain JSON values, and the same as canonical text."""
_NOT_SAMPLING = tuple(one.name for one in fields(DataConfig) if one.name not in {"batching", "ratios"})


class Parts:
    """Parts of configurations, and what is joined from them."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, Sequence[str]], Part] = {}
        self._kept: list[Any] = []

    def key_of(self, *values: Any) -> tuple[int, ...]:
        """Return what tells these objects from all others, which are kept from now on."""
        self._kept += values
        return tuple(map(id, values))

    def of(self, value: Any, *, without: Sequence[str] = ()) -> Part:
        """Return a value as plain JSON values and canonical text, less some fields."""
        key = (id(value), without)
        if (known := self._parts.get(key)) is not None:
            return known
        plain = to_plain(value)
        for name in without:
            del plain[name]
        self._kept.append(value)
        return self._parts.setdefault(key, (plain, canonical_json(plain)))

    def of_prompts(self, prompts: PromptConfig) -> Part:
        """Return the prompts that every text of a variant gets; a task's own are the evaluation's."""
        return self.of(prompts, without=("tasks",))

    def training(
        self,
        stage: str,
        settings: ContrastiveConfig | ReconstructionConfig,
        data: DataConfig,
        *,
        prompts: PromptConfig,
        seed: int,
    ) -> Configuration:
        """Return the configuration of a training step, which does not depend on its inputs."""
        held_out = data.validation
        # Without held-out pairs some fields say nothing, and steps keep the fingerprints they had.
        silent = ("seed",) if held_out else ("seed", "validate_every", "keep")
        return Configuration.join(
            {
                "prompts": self.of_prompts(prompts),
                "pairs": self.of(data.pairs),
                "sampling": self.of(data, without=_NOT_SAMPLING),
                stage_field(stage): self.of(settings, without=silent),
                "seed": (seed, str(seed)),
                **({"validation": self.of(held_out)} if held_out else {}),
            }
        )
