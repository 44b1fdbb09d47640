"""Data of process rewards: shapes of labelled steps, sums made by rule, and labels by rollouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plaudit.formats import load_stepped
from plaudit.formats.arithmetic import draw_sums, right_answer, work_out
from plaudit.sampling import LocalSampler
from tests.small import run_stage, small_checkpoint, write_rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


def test_sums_are_right_where_they_say_so():
    rng = np.random.default_rng(0)
    wrong = 0
    for problem in draw_sums(60, 4, seed=3):
        right_steps, right = work_out(problem, rng, 0.0)
        assert right == 4 and right_steps[-1].endswith(f"= {problem.answer}")
        steps, right = work_out(problem, rng, 0.4)
        so_far = problem.first
        expected = 0
        for term, step in zip(problem.terms, steps, strict=True):
            so_far += term
            if not step.endswith(f"= {so_far}"):
                break
            expected += 1
        assert right == expected
        wrong += right < 4
    assert 30 < wrong < 60
    said, answers = ["1 + 2 = 3", "x", "a\n10", "2 - 5 = -3"], ["3", "3", "1", "3"]
    assert right_answer(["?"] * 4, said, answers) == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"prompt": "a", "completions": ["x", "y"], "probabilities": [1, 0.25]}, (True, False)),
        ({"input": "a", "steps": ["x", "y"], "mistake_index": 1, "target": "z"}, (True, False)),
        ({"input": "a", "steps": ["x", "y"], "mistake_index": None}, (True, True)),
    ],
)
def test_shapes_of_steps(row: dict, labels: tuple[bool, ...], tmp_path: Path):
    (found,) = load_stepped(write_rows(tmp_path / "s.jsonl", [row]))
    assert found.labels == labels and found.steps == ("x", "y")
    assert found.prompt.columns == ({"target": "z"} if "target" in row else {})
    assert found.probabilities == ((1.0, 0.25) if "probabilities" in row else ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "completions": ["x"], "probabilities": [2]}, r"probabilities is \[2\]"),
        ({"prompt": "a", "completions": ["x"], "probabilities": [0.5, 1]}, "1 completions but 2"),
        ({"input": "a", "steps": ["x"], "mistake_index": 2}, "mistake_index is 2 of 1 steps"),
        ({"input": "", "steps": ["x"], "mistake_index": None}, "input is"),
        ({"input": "a", "steps": [], "mistake_index": None}, "steps is"),
    ],
)
def test_faults_in_steps(row: dict, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"s\.jsonl:1: " + message):
        load_stepped(write_rows(tmp_path / "s.jsonl", [row]))


def knows_the_answer(prompts: list, completions: list, want: list, **columns) -> list[float | None]:
    """Right if the text has the wanted word; no word of one that has none."""
    return [None if not w else float(w in text)
            for text, w in zip(completions, want, strict=True)]  # fmt: skip


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_steps_are_labelled_by_finishing_them(base: str, tmp_path: Path, labels: str):
    """Everything a solution has written stays written, so its labels never fall back to wrong."""
    rows = [{"prompt": f"order {i}\n", "want": w} for i, w in enumerate(["a", "", "e", "zzz"])]
    artifact = run_stage(
        "step_labels", tmp_path / "labels", model=base, labels=labels, step_separator=" ",
        dataset=write_rows(tmp_path / "p.jsonl", rows), num_solutions=2, num_generations=4,
        verifier="tests.test_step_labels:knows_the_answer", max_completion_length=12,
        max_prompt_length=64,
    )  # fmt: skip
    found = load_stepped(str(artifact.path / "steps.jsonl"))
    wanted = [one.prompt.columns["want"] for one in found]
    assert "" not in wanted and {"a", "e", "zzz"} == set(wanted)
    assert artifact.metrics["left_out"] >= 2
    for one, want in zip(found, wanted, strict=True):
        reached = [str(want) in " ".join(one.steps[: k + 1]) for k in range(len(one.steps))]
        assert all(label for label, has in zip(one.labels, reached, strict=True) if has)
        assert one.labels[-1] == reached[-1]
        assert want != "zzz" or not any(one.labels)
        assert bool(one.probabilities) == (labels == "soft")
        assert set(one.probabilities) <= {0, 0.25, 0.5, 0.75, 1}


def test_a_verifier_by_its_name_judges_solutions_too(base: str, tmp_path: Path):
    rows = [{"prompt": f"order {i}\n", "answer": "."} for i in range(2)]
    artifact = run_stage(
        "step_labels", tmp_path / "labels", model=base, num_generations=2, step_separator=" ",
        dataset=write_rows(tmp_path / "p.jsonl", rows), verifier="regex", max_completion_length=8,
        max_prompt_length=64,
    )  # fmt: skip
    assert artifact.metrics["left_out"] < 2, artifact.metrics
    assert all(all(one.labels) for one in load_stepped(str(artifact.path / "steps.jsonl")))


@pytest.mark.parametrize(
    ("verifier", "message"),
    [
        ("mth", "mth: no such verifier; did you mean math"),
        ("tests.test_step_labels:knows_it", "knows_it: cannot be imported"),
    ],
)
def test_a_verifier_that_is_none_is_told_before_anything_is_sampled(
    base: str, tmp_path: Path, verifier: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(LocalSampler, "sample", None)
    data = write_rows(tmp_path / "p.jsonl", [{"prompt": "order\n", "answer": "a"}])
    said = {"model": base, "dataset": data, "verifier": verifier, "max_completion_length": 8}
    with pytest.raises(ValueError, match=message):
        run_stage("step_labels", tmp_path / "labels", max_prompt_length=64, **said)
    assert not (tmp_path / ".labels.draft").exists()
    with pytest.raises(ValueError, match=message):
        run_stage("best_of_n", tmp_path / "best", scorers={"r": base}, **said)


def test_a_conversation_cannot_be_taken_up_in_its_middle(base: str, tmp_path: Path):
    rows = [{"prompt": [{"role": "user", "content": "hi"}]}]
    with pytest.raises(ValueError, match="a conversation; a turn cannot be taken up"):
        run_stage(
            "step_labels", tmp_path / "labels", model=base, max_completion_length=8,
            dataset=write_rows(tmp_path / "p.jsonl", rows), verifier="json:loads",
            max_prompt_length=64,
        )  # fmt: skip
