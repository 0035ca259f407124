"""What a study can tell is said before it runs, and more seeds and queries tell more."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy import stats

from harness.execution.noise import recorded_noise
from harness.execution.store import ArtifactStore
from harness.plan import compile_plan
from harness.plan.power import Detectable, Noise, detectable_differences
from harness.plan.ranges import Range
from harness.study import load_study
from tests.command import run_harness
from tests.conftest import REPOSITORY
from tests.study.builders import STUDY, edited, write_study

SUITE = "news: {source: news, tasks: [BBCTopicClassification]}"
ALL = Noise(by_query=Range(0.3, 0.3), by_seed=Range(0.01, 0.01))


def _told(
    folder: Path, tasks: str, seeds: str = "[0]", noise: dict[str, Noise] | None = None
) -> list[Detectable]:
    text = edited(SUITE, f"dev: {{tasks: {tasks}}}") + f"seeds: {seeds}\n"
    study = load_study(write_study(folder, text))
    return detectable_differences(study, compile_plan(study), noise)


def _find(told: list[Detectable], kind: str) -> Range:
    found = next(one for one in told if one.kind == kind).difference
    assert found is not None
    return found


def test_one_seed_tells_by_queries_what_a_t_test_over_them_would(tmp_path: Path) -> None:
    (told,) = _told(tmp_path, "[SciFact]", noise={"SciFact": ALL})
    assert (told.num_queries, told.num_seeds, told.num_recorded) == (300, 1, 1)
    assert told.difference is not None
    found = told.difference.low
    error = 0.3 / math.sqrt(300)
    critical = stats.t.ppf(0.975, 299)
    power = 1 - stats.nct.cdf(critical, 299, found / error)
    assert power == pytest.approx(0.8, abs=1e-3)
    assert told.difference.high == pytest.approx(found)


def test_seeds_add_their_own_part_and_more_of_them_tell_more(tmp_path: Path) -> None:
    noise = {"SciFact": ALL}
    found = [
        _find(_told(tmp_path, "[SciFact]", seeds, noise), "Retrieval").high
        for seeds in ("[0, 1]", "[0, 1, 2]", "[0, 1, 2, 3, 4]")
    ]
    assert found == sorted(found, reverse=True)
    quiet = {"SciFact": Noise(by_query=Range(0.3, 0.3), by_seed=Range(1e-6, 1e-6))}
    assert _find(_told(tmp_path, "[SciFact]", "[0, 1]", quiet), "Retrieval").high < found[0]


def test_more_tasks_tell_more_unless_a_seed_moves_them_alike(tmp_path: Path) -> None:
    tasks = ("SciFact", "NFCorpus", "FiQA2018")
    noise = dict.fromkeys(tasks, ALL)
    one = _find(_told(tmp_path, "[SciFact]", "[0, 1, 2]", noise), "Retrieval")
    three = _find(_told(tmp_path, f"[{', '.join(tasks)}]", "[0, 1, 2]", noise), "Retrieval")
    assert three.low < one.low
    assert three.low < three.high


def test_without_queries_one_seed_tells_nothing_and_two_tell_by_seeds(tmp_path: Path) -> None:
    (told,) = _told(tmp_path, "[STS12]")
    assert told.difference is None
    (told,) = _told(tmp_path, "[STS12]", "[0, 1]")
    assert told.difference is not None
    assert told.num_recorded == 0


def test_only_seeds_that_both_rows_have_count(tmp_path: Path) -> None:
    text = STUDY + "replicates: [{where: {reconstruction: on}, seeds: [1, 2, 3]}]\n"
    study = load_study(write_study(tmp_path, text))
    (told,) = detectable_differences(study, compile_plan(study))
    assert told.num_seeds == 1


def test_the_spread_of_earlier_studies_is_used(tmp_path: Path) -> None:
    from shutil import copytree

    copytree(REPOSITORY / "results" / "quickstart", tmp_path / "studies" / "quickstart")
    tasks = {"BBCHeadlineRetrieval", "BBCTopicClassification"}
    noise = recorded_noise(ArtifactStore(tmp_path), tasks)
    assert noise.keys() == tasks
    retrieval = noise["BBCHeadlineRetrieval"]
    assert retrieval.by_query is not None
    assert retrieval.by_seed is not None
    assert 0.1 < retrieval.by_query.low < retrieval.by_query.high < 0.4
    # Ten repeated experiments are no queries.
    assert noise["BBCTopicClassification"].by_query is None
    assert noise["BBCTopicClassification"].by_seed is not None
    assert recorded_noise(ArtifactStore(tmp_path / "none"), tasks) == {}


def test_plan_prints_it_and_warns_of_few_seeds(tmp_path: Path) -> None:
    path = write_study(tmp_path, edited(SUITE, "dev: {tasks: [SciFact, STS12]}"))
    home = ["--home", str(tmp_path / "store")]
    said = run_harness("plan", str(path), *home).stdout
    assert "dev, Retrieval (1 task, 300 queries): 2.4 to 5.7 (usual spread)" in said
    assert "nothing is said of other seeds" in said
    path.write_text(path.read_text() + "seeds: [0, 1, 2]\n")
    said = run_harness("plan", str(path), *home).stdout
    assert "with 3 shared seeds" in said
    assert "fewer than" not in said
