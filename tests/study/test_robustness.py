"""Tasks out of distribution and attacks in a study: what chooses, what is proved, what is reported, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mixmerge.errors import MixmergeError, PlanError
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.attacks import attack, drop
from mixmerge.report import validate
from mixmerge.study import Study, explore, items, terms
from mixmerge.study import workbench as workbench_module

PROMPT = "look at the word {content} and say which letter it begins with:"
TERM = "1-pdr stresstest words"


@pytest.fixture(scope="module")
def wide(tiny, tmp_path_factory):
    """The recipe of the tiny models with a window that attacks fit in, and a task to attack."""
    folder = tmp_path_factory.mktemp("wide")
    recipe = tiny.recipe
    for model in (tiny.base, tiny.a, tiny.b):
        copy = shutil.copytree(model, folder / model.name)
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
        recipe = recipe.replace(str(model), str(copy))
    words = folder / "words.jsonl"
    lines = [{"prompt": f"{'ab'[i % 2]}{i}", "choices": ["a", "b"], "answer": i % 2} for i in range(24)]
    words.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder, recipe, words


def asked(wide, **more):
    _, _, words = wide
    found = {"attacks": ["stresstest", "deepwordbug"], "attack_tasks": [words], "attack_prompt": PROMPT}
    return found | {"attack_limit": 10, "attack_queries": 20, "attack_seeds": (0, 1)} | more


@pytest.fixture(scope="module")
def proved(wide, tiny, tmp_path_factory):
    """A study with a task out of distribution and two attacks, none of which chooses."""
    folder = tmp_path_factory.mktemp("proved") / "s"
    _, recipe, _ = wide
    told = []
    explore(recipe, tiny.tasks[:1], folder=folder, draws=3, threads=1, ood=tiny.tasks[1:], listeners=[told.append],
            **asked(wide))  # fmt: skip
    return Study(folder), told


def test_what_has_no_weight_is_proved_and_chooses_nothing(proved, wide, tiny, tmp_path) -> None:
    study, _ = proved
    _, recipe, _ = wide
    report = study.summary
    validate(report)
    assert list(report["tasks"]) == ["letters"]
    assert list(report["ood"]["tasks"]) == ["numbers"]
    assert report["ood"]["tasks"]["numbers"]["weight"] == 0
    assert report["ood"]["tasks"]["numbers"]["ood"] is True
    merges = ["winner", "equal", "plain", "base", "a", "b"]
    assert sorted(report["ood"]["test"]) == sorted(merges)
    assert {(row["a"], row["b"]) for row in report["ood"]["paired"]} == {("winner", other) for other in merges[1:]}
    assert {one["attack"]: one["seeds"] for one in report["attacks"]} == {"stresstest": [], "deepwordbug": [0, 1]}
    for one in report["attacks"]:
        assert sorted(one["merges"]) == sorted(merges)
        assert (one["task"], one["examples"], one["weight"]) == ("words", 10, 0)
    plain = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=3, threads=1)
    assert plain.trials == [
        row | {"seconds": other["seconds"]} for row, other in zip(study.trials, plain.trials, strict=True)
    ]
    assert plain.summary["test"] == report["test"]
    assert not {"ood", "attacks"} & plain.summary.keys()
    assert not {"ood", "attacks"} & plain.identity.keys()


def test_the_numbers_are_those_of_the_attack_command(proved, wide) -> None:
    """The parents' under both attacks, asked for by `mixmerge attack` with the same words."""
    study, _ = proved
    folder, _, words = wide
    for one in study.summary["attacks"]:
        alone = attack(
            [folder / "a", folder / "b"], words, one["attack"], limit=10, queries=20, seeds=(0, 1), prompt_text=PROMPT,
            compute="float32",
        )  # fmt: skip
        for label, result in zip("ab", alone.results, strict=True):
            found = one["merges"][label]
            assert found["clean"]["mean"] == result.clean.mean
            assert [run["prompt"] for run in found["searches"]] == [run.prompt for run in result.runs]
            assert found["attacked"]["mean"] == pytest.approx(result.attacked.mean)
            pdr = None if result.pdr is None else pytest.approx(result.pdr.mean)
            assert (None if found["pdr"] is None else found["pdr"]["mean"]) == pdr


def test_the_cost_is_told_first(proved) -> None:
    _, told = proved
    started = next(event for event in told if type(event).__name__ == "StudyStarted")
    notes = " ".join(started.notes)
    assert "stresstest on words: at the proof each model is asked 10 examples under at most 4 prompts." in notes
    assert "deepwordbug on words: at the proof each model is asked 10 examples under at most 41 prompts." in notes


def test_going_on_scores_nothing_again(proved, wide, tiny, monkeypatch) -> None:
    study, _ = proved
    _, recipe, _ = wide

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left to be asked")

    monkeypatch.setattr(workbench_module, "under_attack", refuse)
    again = explore(
        recipe, tiny.tasks[:1], folder=study.folder, draws=3, threads=1, ood=tiny.tasks[1:], **asked(wide)
    )  # fmt: skip
    assert again.summary == study.summary


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attack_queries": 30}, r"attacks\..*\.queries was 20, now 30"),
        ({"attack_limit": 8}, r"attacks\..*\.examples was 10, now 8"),
        ({"attack_prompt": "now {content}, the letter:"}, r"attacks\..*\.prompt was look at"),
        ({"attacks": ["stresstest"]}, "attacks was 1-pdr stresstest words, 1-pdr deepwordbug words, now"),
        ({"weights": {"pdr": 1.0}}, "tasks was"),
        ({"weights": {"numbers": 1.0}}, "tasks was letters, now letters, numbers"),
        ({"ood": None}, "ood was"),
    ],
)
def test_another_study_is_refused(proved, wide, tiny, change, told) -> None:
    study, _ = proved
    _, recipe, _ = wide
    words = {"ood": tiny.tasks[1:]} | asked(wide) | change
    with pytest.raises(PlanError, match=told):
        explore(recipe, tiny.tasks[:1], folder=study.folder, draws=3, threads=1, **words)


@pytest.fixture(scope="module")
def weighted(wide, tiny, tmp_path_factory):
    """A study whose objective looks at the task out of distribution and at what stresstest leaves."""
    folder = tmp_path_factory.mktemp("weighted") / "s"
    _, recipe, _ = wide
    weights = {"letters": 1.0, "numbers": 2.0, "pdr": 4.0}
    options = asked(wide, weights=weights, ood=tiny.tasks[1:])
    return explore(recipe, tiny.tasks[:1], folder=folder, draws=4, threads=1, **options)


def test_what_has_a_weight_chooses(weighted) -> None:
    report = weighted.summary
    validate(report)
    assert {name: task["weight"] for name, task in report["tasks"].items()} == {"letters": 1, "numbers": 2, TERM: 4}
    assert report["tasks"]["numbers"]["ood"] is True
    assert report["tasks"][TERM]["validation_n"] == report["tasks"][TERM]["test_n"] == 10
    assert {one["attack"]: one["weight"] for one in report["attacks"]} == {"stresstest": 4, "deepwordbug": 0}
    values = {}
    for trial in report["trials"]:
        means = {name: score["mean"] for name, score in trial["validation"].items()}
        stored = items.read(items.path_of(weighted.folder, items.trial_name(trial["number"]), "validation"))
        clean, attacked = (sum(stored[TERM][2 * i + part] for i in range(10)) for part in (0, 1))
        assert means[TERM] == (min(1.0, attacked / clean) if clean else 0.0)
        values[trial["number"]] = (means["letters"] + 2 * means["numbers"] + 4 * means[TERM]) / 7
        assert trial["objective"] == pytest.approx(values[trial["number"]])
    assert report["winner"] == max(values, key=lambda number: (values[number], -number))
    stress = next(one for one in report["attacks"] if one["attack"] == "stresstest")
    for merge, scores in report["test"].items():
        pdr = stress["merges"][merge]["pdr"]
        kept = 0.0 if pdr is None else min(max(1 - pdr["mean"], 0.0), 1.0)
        assert scores[TERM]["mean"] == pytest.approx(kept)
        parts = [scores[name]["mean"] for name in ("letters", "numbers", TERM)]
        assert scores["objective"]["mean"] == pytest.approx((parts[0] + 2 * parts[1] + 4 * parts[2]) / 7)


def test_choosing_and_proving_share_no_example(weighted, wide) -> None:
    """The objective's 10 examples are others than the proof's, which are those of `mixmerge attack`."""
    _, _, words = wide
    from mixmerge.evaluation.attacks.examples import chosen, load_examples

    bench = workbench_module.Workbench(
        workbench_module.Setup(
            weighted.identity["recipe"], (), weighted.folder / "x",
            attack=workbench_module.AttackSettings(("stresstest",), (str(words),), PROMPT, None, 10, 20, choosing=True),
        )
    )  # fmt: skip
    assault = bench.attacks[TERM]
    bench.close()
    assert not {row.content for row in assault.choosing} & {row.content for row in assault.rows("test")}
    assert assault.rows("test") == chosen(load_examples(str(words)), 10)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attacks": ["stress"]}, "did you mean 'stresstest'"),
        ({"attack_tasks": None}, "an attack has a task"),
        ({"attacks": None}, "words about attacks stand beside an attack"),
        ({"attack_prompt": None}, "--attack-prompt"),
        ({"attack_prompt": "no place"}, "once"),
        ({"attack_queries": 2}, "--attack-queries"),
        ({"attack_queries": 0}, "--attack-queries"),
        ({"attack_limit": 0}, "--attack-limit"),
        ({"attack_seeds": (1, 1)}, "--attack-seeds"),
        ({"attacks": ["bertattack"]}, "--masked-lm"),
        ({"attacks": ["deepwordbug"], "weights": {"pdr": 1.0}}, "attacks that append sentences"),
        ({"weights": {"pdr": 0.0}}, "above 0"),
        ({"weights": {"pdr": 1.0}, "race": True}, "no mean over items"),
        ({"backend": "openai", "serve": "s {model} {port}"}, "attacks ask a model in memory"),
    ],
)
def test_what_cannot_be_attacked_is_refused(wide, tiny, tmp_path, change, told) -> None:
    _, recipe, _ = wide
    with pytest.raises((PlanError, TaskError), match=told):
        explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=1, threads=1, **asked(wide, **change))
    assert not (tmp_path / "s" / "study.json").exists()


def test_names_that_stand_for_attacks(wide, tiny, tmp_path) -> None:
    _, recipe, words = wide
    for name in ("pdr", "1-pdr x"):
        shutil.copy(tiny.tasks[0], tmp_path / f"{name}.jsonl")
        with pytest.raises(PlanError, match=f"no task is called {name}"):
            explore(recipe, [tmp_path / f"{name}.jsonl"], folder=tmp_path / "s", draws=1, threads=1, **asked(wide))
    with pytest.raises(TaskError, match="in distribution or out of it"):
        explore(recipe, tiny.tasks, folder=tmp_path / "s", draws=1, threads=1, ood=tiny.tasks[1:])
    with pytest.raises(PlanError, match="weights are of tasks of the study"):
        explore(recipe, tiny.tasks, folder=tmp_path / "s", draws=1, threads=1, weights={"pdr": 1.0})
    with pytest.raises(MixmergeError, match="asked of a model"):
        explore(recipe, folder=tmp_path / "s", score=lambda *_: 0.5, ood=[words])
    one = tmp_path / "words.jsonl"
    one.write_text(words.read_text().splitlines()[0] + "\n")
    with pytest.raises(TaskError, match="left for choosing"):
        explore(recipe, tiny.tasks, folder=tmp_path / "s", draws=1, threads=1,
                **asked(wide, attack_tasks=[one], weights={"pdr": 1.0}))  # fmt: skip


def test_a_race_with_a_task_out_of_distribution(wide, tiny, tmp_path) -> None:
    _, recipe, _ = wide
    study = explore(recipe, tiny.tasks[:1], folder=tmp_path / "s", draws=4, threads=1, race=True, ood=tiny.tasks[1:],
                    weights={"numbers": 1.0})  # fmt: skip
    validate(study.summary)
    assert set(study.summary["tasks"]) == set(study.summary["test"]["winner"]) - {"objective"}


def alternating(clean, attacked):
    return np.stack([np.array(clean, float), np.array(attacked, float)], axis=1).ravel()


def test_terms_against_definitions() -> None:
    rng = np.random.default_rng(3)
    clean = (rng.random(80) < 0.8).astype(float)
    attacked = clean * (rng.random(80) < 0.6)
    other = clean * (rng.random(80) < 0.3)
    a, b = alternating(clean, attacked), alternating(clean, other)
    assert terms.value(TERM, a) == attacked.sum() / clean.sum()
    assert terms.value(TERM, alternating([0, 0], [1, 0])) == 0.0
    assert terms.value(TERM, alternating([1, 0], [1, 1])) == 1.0  # better under attack: clipped
    found, dropped = terms.estimate(TERM, a, seed=1), drop(clean, attacked, seed=1)
    assert dropped is not None
    assert (found.low, found.high) == pytest.approx((1 - dropped.high, 1 - dropped.low))
    difference = terms.drop_difference(a, b, seed=1)
    assert difference is not None
    assert difference.value == pytest.approx((other.sum() - attacked.sum()) / clean.sum())
    rows = rng.integers(0, 80, (4000, 80))  # an independent bootstrap
    drops = (other[rows].sum(1) - attacked[rows].sum(1)) / clean[rows].sum(1)
    assert (difference.low, difference.high) == pytest.approx(tuple(np.quantile(drops, [0.025, 0.975])), abs=0.02)
    assert terms.drop_difference(a, alternating([0] * 80, [0] * 80), seed=1) is None
    same = terms.drop_difference(a, a, seed=1)
    assert same is not None
    assert same.low < 0 < same.high


def test_a_term_that_does_not_move_adds_its_doubt() -> None:
    """All right on the task, as far as asked: what was not asked widens the interval downwards, and only so."""
    rng, weights = np.random.default_rng(4), {"t": 1.0, TERM: 1.0}
    clean = (rng.random(80) < 0.8).astype(float)
    kept = alternating(clean, clean * (rng.random(80) < 0.6))
    found, alone = terms.objective({"t": np.ones(20), TERM: kept}, weights, seed=1), terms.estimate(TERM, kept, seed=1)
    sure = terms.estimate("t", np.ones(20), seed=1)
    assert found.mean - found.low == pytest.approx(np.hypot(alone.mean - alone.low, 1 - sure.low) / 2, rel=0.1)
    assert found.high - found.mean == pytest.approx((alone.high - alone.mean) / 2, rel=0.1)
    same = terms.objective_difference({"t": np.ones(20), TERM: kept}, {"t": np.ones(20), TERM: kept}, weights, seed=1)
    assert same.low < 0 < same.high


def test_the_objective_with_terms_covers_what_it_should() -> None:
    """Of 60 made-up studies with a known objective, about 95 % of the intervals hold it; and so for differences."""
    rng = np.random.default_rng(5)
    weights = {"t": 1.0, TERM: 3.0}
    held = np.zeros(2)
    for seed in range(60):

        def model(right: float, kept: float) -> dict[str, np.ndarray]:
            clean = (rng.random(150) < right).astype(float)
            task = (rng.random(150) < right).astype(float)
            return {"t": task, TERM: alternating(clean, clean * (rng.random(150) < kept))}

        a, b = model(0.8, 0.6), model(0.7, 0.4)
        one = terms.objective(a, weights, seed=seed)
        two = terms.objective_difference(a, b, weights, seed=seed)
        held += [one.low <= (0.8 + 3 * 0.6) / 4 <= one.high, two.low <= (0.1 + 3 * 0.2) / 4 <= two.high]
    assert (held >= 52).all()  # 57 of 60 are expected; fewer than 52 by chance once in 350 times, and seeds are fixed
    assert one.n == 300
