"""What a person says of the policies' answers, laid beside what reward model and judge said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plaudit.artifacts import Draft
from plaudit.evaluation.reader import reader_of, reader_summary
from plaudit.evaluation.to_judge import items_of_evaluation, write_project
from plaudit.feedback.projects.project import read_project
from plaudit.feedback.projects.setup import set_up_project
from plaudit.judgments import Judgment, Pairwise, Rater, Skipped, fingerprint
from plaudit.records import Message
from plaudit.store import add_items, append, open_store, put_project

CALL = '<|call|>add_order_item {"menu_item_id":"latte-1","quantity":2}'


def answer(text: str, judge: float, reward: float) -> dict:
    return {"text": text, "judge": judge, "reward": reward}


def an_evaluation(folder: Path) -> Path:
    """Two prompts and two policies: the judge likes grpo's answers, the reward model does not."""
    rows = [
        {
            "prompt": f"order {i}",
            "messages": [Message(role="user", content="A latte, please.").model_dump(mode="json")],
            "answers": {
                "baseline": [answer("Which size?", 0.0, 1.0)],
                "grpo": [answer(CALL, 1.0, 0.0)],
                "dpo": [answer("Which size? ", 0.5, 0.5)],
            },
        }
        for i in range(2)
    ]
    draft = Draft.open(folder, stage="evaluate", config={}, inputs={})
    (draft.path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    draft.finish({})
    return folder


def judgment(item, answer, n: int = 0) -> Judgment:
    return Judgment(
        id=f"{item.id} {n}", project="p", item=item.id, item_sha256=fingerprint(item),
        rater=Rater(id="reader"), answer=answer, submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_items_are_pairs_with_the_baseline_and_equal_answers_are_left_out(tmp_path: Path):
    items = items_of_evaluation(an_evaluation(tmp_path / "evaluate"))
    assert [item.id for item in items] == ["order 0 grpo", "order 1 grpo"]
    assert [candidate.source for candidate in items[0].candidates] == ["baseline", "grpo"]
    (message,) = items[0].candidates[1].content
    assert message.tool_calls[0].name == "add_order_item"
    assert items[0].columns == {
        "conversation": "order 0",
        "judge": [0.0, 1.0],
        "reward": [1.0, 0.0],
    }


def test_what_is_no_evaluation_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="finished artifact of the evaluate stage"):
        items_of_evaluation(tmp_path)


def test_agreement_counts_judgments_with_a_winner(tmp_path: Path):
    items = items_of_evaluation(an_evaluation(tmp_path / "evaluate"))
    judged = [judgment(items[0], Pairwise(strength=2)), judgment(items[1], Pairwise(strength=1))]
    found = reader_summary(items, judged)
    assert found["win_rate"]["grpo"]["rate"].point == 1.0
    assert found["agreement"]["judge"]["rate"].point == 1.0
    assert found["agreement"]["reward"]["rate"].point == 0.0

    judged = [judgment(items[0], Pairwise(strength=0)), judgment(items[1], Skipped(reason="x"))]
    found = reader_summary(items, judged)
    assert (found["judgments"], found["ties"], found["skipped"]) == (1, 1, 1)
    assert found["agreement"]["judge"] == {"judgments": 0, "rate": None}


def test_the_log_is_read_and_other_answers_are_refused(tmp_path: Path):
    evaluation = an_evaluation(tmp_path / "evaluate")
    items = items_of_evaluation(evaluation)
    log = tmp_path / "judgments.db"
    store = open_store(log)
    put_project(store, "p", "{}")
    add_items(store, "p", items, 1)
    other = items[0].model_copy(update={"prompt": "another"})
    append(store, [judgment(other, Pairwise(strength=1), n=1)])
    with pytest.raises(ValueError, match="none of its 1 judgments"):
        reader_of(str(log), evaluation)
    append(store, [judgment(item, Pairwise(strength=-1)) for item in items])
    assert reader_of(str(log), evaluation)["win_rate"]["grpo"]["rate"].point == 0.0


def test_the_project_of_an_evaluation_can_be_served(tmp_path: Path):
    evaluation = an_evaluation(tmp_path / "evaluate")
    file = write_project(evaluation, tmp_path / "judging", "The demo")
    store = open_store(tmp_path / "judgments.db")
    found = set_up_project(store, read_project(file), file.parent)
    assert (found.items, found.left_out) == (2, {})
    assert read_project(file).votes_wanted("grpo") == 1
