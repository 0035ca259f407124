"""The gates, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.synthesis.document import EmbedderGate, Gates
from harness.synthesis.draws import Draw
from harness.synthesis.gates import Example, Gatekeeper, repetition
from harness.synthesis.identify import identifiable, wrong_language
from harness.synthesis.languages import languages
from harness.synthesis.similarity import Similarity

_TEXTS = {
    "en": "The old lighthouse keeper climbed the stairs every evening to light the lamp for the ships.",
    "de": "Der alte Leuchtturmwärter stieg jeden Abend die Treppe hinauf, um die Lampe anzuzünden.",
    "fr": "Le vieux gardien du phare montait l'escalier chaque soir pour allumer la lampe.",
    "pl": "Stary latarnik każdego wieczoru wchodził po schodach, żeby zapalić lampę dla statków.",
    "ja": "年老いた灯台守は毎晩階段を上って、船のために明かりをともしました。",
    "zh": "年老的灯塔看守人每天晚上爬上楼梯，为船只点亮灯火。",  # noqa: RUF001
    "ar": "كان حارس المنارة العجوز يصعد الدرج كل مساء ليشعل المصباح للسفن.",
    "ru": "Старый смотритель маяка каждый вечер поднимался по лестнице, чтобы зажечь лампу.",
    "fa": "نگهبان پیر فانوس دریایی هر شب از پله‌ها بالا می‌رفت تا چراغ را روشن کند.",  # noqa: RUF001
    "sw": "Mlinzi mzee wa mnara wa taa alipanda ngazi kila jioni ili kuwasha taa kwa ajili ya meli.",
}


def _example(index: int = 0, *, language: str = "en", **texts: str) -> Example:
    draw = Draw(index=index, kind="sts", language=language, target=None, values={}, task_point=0.0)
    own = {"S1": _TEXTS["en"], "S2": "Each night a lamp was lit for sailors.", "S3": "He sold the lamp."}
    return Example(draw=draw, task=None, prompt="Write three sentences.", texts={**own, **texts})


def _reason(example: Example, settings: Gates | None = None) -> str | None:
    refused = Gatekeeper(settings or Gates(), None).refuse(example)
    return refused.reason if refused else None


def test_a_good_example_passes() -> None:
    assert _reason(_example()) is None


@pytest.mark.parametrize("seen", _TEXTS)
def test_a_text_is_in_its_language_and_in_no_other(seen: str) -> None:
    for expected in _TEXTS:
        wrong = wrong_language([_TEXTS[seen]], expected, least_probability=0.3)
        assert (wrong is None) == (seen == expected), (seen, expected, wrong)


def test_one_long_text_in_another_language_is_enough() -> None:
    assert _reason(_example(S3=_TEXTS["de"])) == "wrong language"
    assert _reason(_example(S3=_TEXTS["de"]), Gates(language=False)) is None


def test_three_languages_cannot_be_told() -> None:
    assert set(languages()) - identifiable() == {"sd", "su", "yi"}
    assert _reason(_example(language="yi")) is None


def test_equal_and_like_examples_are_kept_once() -> None:
    gates = Gatekeeper(Gates(near_duplicates=0.7), None)
    assert gates.refuse(_example(0)) is None
    exact = gates.refuse(_example(1, S1=_TEXTS["en"].upper().replace(" ", "  ")))
    assert exact is not None
    assert (exact.reason, exact.detail) == ("duplicate", "of draw 0")
    near = gates.refuse(_example(2, S1=_TEXTS["en"].replace("ships", "boats")))
    assert near is not None
    assert near.reason == "near duplicate"
    assert near.detail.startswith("of draw 0")
    assert gates.refuse(_example(3, S1="She never learned to swim, and the sea frightened her.")) is None


def test_what_was_dropped_does_not_shadow_what_follows() -> None:
    gates = Gatekeeper(Gates(), None)
    assert gates.refuse(_example(0, language="de")) is not None
    assert gates.refuse(_example(1)) is None


def test_lengths_are_those_of_the_settings() -> None:
    assert _reason(_example(), Gates(short_characters=(30, 1000))) == "too short"
    assert _reason(_example(), Gates(short_characters=(2, 40))) == "too long"


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        (_TEXTS["en"], 0, 0),
        ("on and on and on and on and on", 0.7, 1),
        ("ha" * 40, 0.9, 1),
        (_TEXTS["ja"], 0, 0.1),
    ],
    ids=["nothing", "a sentence", "a loop", "a loop without spaces", "no spaces"],
)
def test_repetition_is_the_share_of_runs_seen_before(text: str, low: float, high: float) -> None:
    assert low <= repetition(text) <= high


def test_a_short_label_may_be_in_the_task_and_not_in_the_rest_of_the_prompt() -> None:
    draw = Draw(index=0, kind="long-short", language="en", target=None, values={}, task_point=0.0)
    example = Example(
        draw=draw,
        task="Decide whether a plant disease or a pest is described.",
        prompt='Task: "Decide whether a plant disease or a pest is described."\nThen the wrong label.',
        texts={
            "input_text": "Brown spots with a yellow ring spread over the leaves after the rain.",
            "label": "plant disease",
            "misleading_label": "insects",
        },
    )
    assert _reason(example) is None
    echo = replace(example, texts={**example.texts, "misleading_label": "the wrong label"})
    assert _reason(echo) == "echo of the prompt"


def _similarity(cosines: dict[str, float], settings: EmbedderGate) -> Similarity:
    def encode(texts: Sequence[str]) -> np.ndarray:
        rows = [(1.0, 0.0)] + [(cosines[t], (1 - cosines[t] ** 2) ** 0.5) for t in texts[1:]]
        return np.asarray(rows, dtype=np.float32)

    return Similarity(settings, encode)


@pytest.mark.parametrize(
    ("positive", "negative", "is_kept"), [(0.9, 0.5, True), (0.5, 0.9, False), (0.55, 0.5, False)]
)
def test_an_embedder_must_find_the_positive_nearer(
    positive: float, negative: float, is_kept: bool
) -> None:
    example = _example()
    cosines = {example.texts["S2"]: positive, example.texts["S3"]: negative}
    gate = _similarity(cosines, EmbedderGate(model="m", margin=0.1))
    refused = Gatekeeper(Gates(), gate).refuse(example)
    assert (refused is None) == is_kept
    if refused is not None:
        assert refused.reason == "negative too close"
        assert f"positive {positive:.3f}" in refused.detail


def test_a_positive_may_be_too_far_where_there_is_no_negative() -> None:
    draw = Draw(index=0, kind="short-short", language="en", target=None, values={}, task_point=0.0)
    texts = {"input": "a riddle about the sea", "positive_document": "its answer is the tide"}
    example = Example(draw=draw, task="Given a riddle, find its answer.", prompt="", texts=texts)
    for least, is_kept in ((0.2, True), (0.6, False)):
        gate = _similarity(
            {texts["positive_document"]: 0.4}, EmbedderGate(model="m", min_positive=least)
        )
        assert (gate.refuse(example) is None) == is_kept


def test_the_embedder_is_a_model_folder_of_the_harness(tiny_base: Path) -> None:
    settings = EmbedderGate(model=tiny_base.name, margin=-2.0, min_positive=-1.0)
    assert Similarity.load(settings, folder=tiny_base.parent).refuse(_example()) is None
    strict = EmbedderGate(model=tiny_base.name, margin=2.0)
    refused = Similarity.load(strict, folder=tiny_base.parent).refuse(_example())
    assert refused is not None
    assert refused.detail.startswith("positive ")
