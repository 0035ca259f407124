"""Personalised passkey retrieval: whether a model finds one sentence in a long text.

Owns the making of the data and the mteb task over it, after the description in section 4 of E5-mistral
(arXiv 2401.00368): every document is filler around one sentence with a person's pass key, every query
asks for one person's key. The rule: texts are a function of length and seed alone, so that they are
never fetched, and every length has the same people. The texts are this project's own, so scores compare
within it and not digit by digit with the paper's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle, product
from typing import Any

from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata

from harness.study.catalogue import OWN_TASKS, PASSKEY_LENGTHS, PASSKEY_TASK

NUM_DOCUMENTS = 100
NUM_QUERIES = 50
SEED = 0
WORDS_A_TOKEN = 0.75
"""English words a token, roughly, of the tokenizers of language models: a document of n tokens is made
of 0.75 n words, whatever model reads it."""

_FILLER = (
    "Rain fell on the harbour all morning and nobody went out.",
    "A cart stood by the mill and waited for the flour.",
    "Two dogs slept under the table while the soup was cooking.",
    "The clock in the hall was slow and nobody set it right.",
    "Smoke rose from the roofs and the lamps were lit early.",
)
_FIRST = ("Ada", "Bruno", "Clara", "Dario", "Edith", "Felix", "Greta", "Hugo", "Irma", "Jonas")
_LAST = ("Abel", "Brandt", "Costa", "Dunn", "Ekman", "Farkas", "Grant", "Holm", "Ivers", "Jansen")


def passkey_data(
    length: int, *, seed: int = SEED
) -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, dict[str, int]]]:
    """Return corpus, queries and judgements of one length.

    Args:
        length: Tokens a document, taken as `WORDS_A_TOKEN` words each.
        seed: Decides keys, places and who is asked for.

    Returns:
        100 documents and 50 queries (`id`, `text`), and query id -> document id -> 1.
    """
    people = [f"{first} {last}" for first, last in product(_FIRST, _LAST)]
    # The same people and keys at every length: only the place is drawn anew.
    shared = random.Random(f"{seed} people")  # noqa: S311 - data, not secrets
    keys = [f"{key:05d}" for key in shared.sample(range(100_000), NUM_DOCUMENTS)]
    asked = sorted(shared.sample(range(NUM_DOCUMENTS), NUM_QUERIES))
    places = random.Random(f"{seed} places {length}")  # noqa: S311 - data, not secrets
    corpus = [
        {"id": f"d{number}", "title": "", "text": _document(person, key, length=length, places=places)}
        for number, (person, key) in enumerate(zip(people, keys, strict=True))
    ]
    queries = [
        {"id": f"q{number}", "text": f"what is the passkey for {people[number]}?"} for number in asked
    ]
    return corpus, queries, {f"q{number}": {f"d{number}": 1} for number in asked}


def _document(person: str, key: str, *, length: int, places: random.Random) -> str:
    secret = f"The passkey for {person} is {key}. Do not forget the passkey for {person}."
    sentences = list(_filler(round(length * WORDS_A_TOKEN) - len(secret.split())))
    sentences.insert(places.randint(0, len(sentences)), secret)
    return " ".join(sentences)


def _filler(num_words: int) -> Iterator[str]:
    """Yield whole sentences that have at most `num_words` words together."""
    for sentence in cycle(_FILLER):
        num_words -= len(sentence.split())
        if num_words < 0:
            return
        yield sentence


class PasskeyRetrieval(AbsTaskRetrieval):
    """Find the document that holds a person's pass key among those of a hundred people.

    One subset a length; the main score is the share of queries whose first document is the right one.
    """

    metadata = TaskMetadata(
        name=PASSKEY_TASK,
        type=OWN_TASKS[PASSKEY_TASK],
        main_score="hit_rate_at_1",
        description="Generated: which of 100 texts of one length holds the pass key of a named person.",
        reference="https://arxiv.org/abs/2401.00368",
        dataset={"path": "harness/passkey", "revision": f"1-seed-{SEED}"},
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs={str(length): ["eng-Latn"] for length in PASSKEY_LENGTHS},
    )

    def load_data(self, **_: Any) -> None:
        """Make the texts of the lengths that are asked for."""
        self.dataset: dict[str, Any] = {}
        for subset in self.hf_subsets:
            corpus, queries, judgements = passkey_data(int(subset))
            split = RetrievalSplitData(
                corpus=Dataset.from_list(corpus),
                queries=Dataset.from_list(queries),
                relevant_docs=judgements,
                top_ranked=None,
            )
            self.dataset[subset] = {"test": split}
        self.data_loaded = True
