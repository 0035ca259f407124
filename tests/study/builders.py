"""Small study files for tests."""

from __future__ import annotations

from pathlib import Path

STUDY = """\
name: small
question: Does it help?
bases:
  tiny: {path: tiny}
  big: {hub: some/model, revision: abc}
sources:
  news: {kind: bbc, path: news}
recipe:
  model: {base: tiny}
  data: {source: news, pairs: headlines}
  contrastive: {steps: 4, global_batch: 8, learning_rate: 1e-3}
factors:
  reconstruction:
    off: {}
    on: {reconstruction.steps: 2, reconstruction.global_batch: 8}
  contrastive.temperature: [0.02, 0.05]
suites:
  news: {source: news, tasks: [BBCTopicClassification]}
"""


def write_study(folder: Path, text: str = STUDY, *, name: str = "small.yaml") -> Path:
    """Write a study file and the folders that it names."""
    for needed in ("tiny", "news"):
        (folder / needed).mkdir(exist_ok=True)
        (folder / needed / "content").write_text(needed)
    (folder / "tiny" / "config.json").write_text("{}")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def edited(old: str, new: str) -> str:
    """Return the small study with one text replaced; fails if the text is not there."""
    assert old in STUDY
    return STUDY.replace(old, new, 1)
