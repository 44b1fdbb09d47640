"""Marks go from one file or store to another without a change of their scale."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.aggregation.giving import give_judgments
from plaudit.aggregation.scales import MARKS, scale_of_marks
from plaudit.aggregation.taking import take_judgments
from plaudit.feedback.projects.project import project_of
from plaudit.judgments import Candidate, Item, Pairwise, Rated, fingerprint
from plaudit.store import Store, add_items, append, open_store, put_project, standing
from tests.collecting import project
from tests.small import run_stage
from tests.voting import a_judgment

ON_FIVE = [{"name": "overall", "kind": "rating"}]
ON_TWO = [{"name": "overall", "kind": "rating", "scale": [0, 1]}]


def rated(place: Path, config: str, *marks: float) -> Store:
    """A project in which each mark is of an item of its own."""
    store = open_store(place / "log.db")
    put_project(store, "p", config)
    asked = [Item(id=f"i{n}", prompt=f"Q{n}", candidates=(Candidate(content="A"),))
             for n, _ in enumerate(marks)]  # fmt: skip
    add_items(store, "p", asked, target_votes=1)
    append(store, [
        a_judgment(item.id, item.id, answer=Rated(values=(mark,)), shown=(0,),
                   item_sha256=fingerprint(item))
        for item, mark in zip(asked, marks, strict=True)
    ])  # fmt: skip
    return store


def asking(*questions: dict[str, Any]) -> str:
    return project(questions=list(questions)).model_dump_json(exclude_unset=True)


@pytest.mark.parametrize("format", ["trl", "openrlhf"])
@pytest.mark.parametrize(("config", "marks"), [(asking(*ON_FIVE), (1.0, 5.0)), ("{}", (1.0, 7.0))])
def test_the_worst_of_five_marks_is_no_good_label(
    tmp_path: Path, format: str, config: str, marks: tuple[float, ...]
):
    store = rated(tmp_path, config, *marks)
    append(store, [a_judgment("pair", "i0", "r2", answer=Rated(values=(1.0,)), shown=(0,))])
    with pytest.raises(ValueError, match=rf"written as {format} \(judgment \(rating\): 3"):
        give_judgments(store, "p", tmp_path / "out.jsonl", format=format)


@pytest.mark.parametrize("config", [asking(*ON_TWO), "{}"])
def test_marks_of_nought_and_one_are_labels(tmp_path: Path, config: str):
    store = rated(tmp_path, config, 1.0, 0.0)
    given = give_judgments(store, "p", tmp_path / "out.jsonl", format="trl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [True, False] and given.judgments == 2


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [{"prompt": "Q", "completion": "A", "label": True}],
            r"in.jsonl:1: marks on 0 to 1; expected 1 to 5, the scale of the question overall; "
            "import them into a project of their own",
        ),
        (
            [{"question_id": 1, "model": "m", "score": 8, "turn": 1, "judge": ["j", "single-v1"],
              "user_prompt": "[Question]\nQ\n\n[The Start of Assistant's Answer]\nA\n"
              "[The End of Assistant's Answer]"}],
            "marks on 8 to 8; expected 1 to 5",
        ),
    ],
)  # fmt: skip
def test_marks_on_another_scale_than_the_projects_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], expected: str
):
    store = rated(tmp_path, asking(*ON_FIVE))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=expected):
        take_judgments(store, "p", tmp_path / "in.jsonl")
    assert not list(standing(store, "p"))


def test_consensus_and_exports_take_the_projects_scale(tmp_path: Path):
    store = rated(tmp_path, asking(*ON_FIVE), 1.0, 4.0)
    give_judgments(store, "p", tmp_path / "out.jsonl", format="judged", targets="soft")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["ratings"][0]["value"] for row in out] == [0.0, 0.75]
    store.close()
    made = run_stage("consensus", tmp_path / "c", judgments=str(tmp_path / "log.db"))
    with gzip.open(made.path / "judged.jsonl.gz", "rt") as lines:
        values = [json.loads(line)["ratings"][0]["value"] for line in lines]
    assert values == [0.0, 0.75], "a 1 of 1 to 5 is the worst mark"
    said = {"judgments": str(tmp_path / "log.db"), "scale": (0.0, 10.0)}
    made = run_stage("consensus", tmp_path / "said", **said)
    with gzip.open(made.path / "judged.jsonl.gz", "rt") as lines:
        assert json.loads(next(lines))["ratings"][0]["value"] == pytest.approx(0.1)


def test_of_several_scales_one_question_is_to_be_named():
    config = asking(*ON_FIVE, {"name": "depth", "kind": "rating", "scale": [1, 7]})
    assert scale_of_marks(config, "depth") == (1, 7)
    with pytest.raises(ValueError, match="the ratings overall, depth have several scales"):
        scale_of_marks(config)
    assert scale_of_marks(asking({"name": "overall", "kind": "pairwise"})) is None
    assert project_of(asking(*ON_FIVE)).question("overall").scale == MARKS


def test_comparisons_have_no_scale(tmp_path: Path):
    store = rated(tmp_path, "{}", 1.0)
    pair = Item(id="x", prompt="Q", candidates=(Candidate(content="A"), Candidate(content="B")))
    add_items(store, "p", [pair], target_votes=1)
    append(store, [a_judgment("j", "x", answer=Pairwise(strength=-2))])
    assert give_judgments(store, "p", tmp_path / "out.jsonl", format="trl").rows == 2
