"""From a data set into a log and out again, and a reward model that learns from what comes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plaudit.aggregation import imported, rater_cards, targets
from plaudit.commands.feedback_consensus import consensus
from plaudit.commands.feedback_raters import raters
from plaudit.formats import load_demonstrations, load_judged, load_judgments, load_stepped
from plaudit.judgments import Item, Pairwise, Ranked, Stepped, Written
from plaudit.store import add_items, append, open_store, put_project
from tests.judging import item, judgment, prefers
from tests.small import RATINGS, polite_pairs, run_stage, small_checkpoint, write_rows

AT = datetime(2026, 1, 2, tzinfo=UTC)


def entered(tmp_path: Path, *rows: dict, **options: str):
    data = write_rows(tmp_path / "d.jsonl", list(rows))
    return imported(load_judgments(data), project="p", at=AT, **options)


def test_ratings_that_went_through_the_log_are_the_same_to_the_last_digit(tmp_path: Path):
    log = run_stage("import_judgments", tmp_path / "log", dataset=RATINGS)
    assert log.metrics == {"rows": 2500, "items": 2294, "judgments": 2500, "raters": 2500}
    made = run_stage("consensus", tmp_path / "made", judgments=str(log.path))
    data = str(made.path / "judged.jsonl.gz")
    for portion in ((0.0, 1.0), (0.0, 0.4), (0.8, 1.0)):
        # As text: a model learns the order of arguments too, which equality leaves out.
        assert repr(load_judged(data, portion=portion)) == repr(
            load_judged(RATINGS, portion=portion)
        )
    said = json.loads((made.path / "lineage.json").read_text())
    assert said["project"] == "imported" and said["last_seq"] == 2500
    assert sum(said["raters"].values()) == 2500 and len(said["head_sha256"]) == 64
    assert sorted(file.name for file in log.path.iterdir()) == ["artifact.json", "judgments.db"]


def test_a_judged_row_may_have_an_id_of_its_own(tmp_path: Path):
    row = {"prompt": "q", "responses": ["a", "b"], "ranking": [0, 1]}
    (found,) = load_judged(write_rows(tmp_path / "d.jsonl", [{**row, "id": "mine"}]))
    assert found.prompt.id == "mine" and not found.prompt.columns
    with pytest.raises(ValueError, match=r"e\.jsonl:1: id is \[\]; expected"):
        load_judged(write_rows(tmp_path / "e.jsonl", [{**row, "id": []}]))


def test_pairs_come_out_as_they_went_in(tmp_path: Path):
    data = write_rows(tmp_path / "pairs.jsonl", polite_pairs(8))
    log = run_stage("import_judgments", tmp_path / "log", dataset=data, project="polite")
    made = run_stage("consensus", tmp_path / "made", judgments=str(log.path))
    assert load_judged(str(made.path / "judged.jsonl.gz")) == load_judged(data)


def test_rows_become_judgments_of_items(tmp_path: Path):
    pair = {"prompt": "q", "responses": ["a", "b"]}
    better = {"preferences": [{"better": 1, "worse": 0}], "who": "ann"}
    tie = {"preferences": [{"better": 0, "worse": 1, "probability": 0.5}], "who": "bob"}
    ranked = {"prompt": "q", "responses": ["a", "b", "c"], "ranking": [2, 0, 1], "who": "ann"}
    found = entered(tmp_path, {**pair, **better}, {**pair, **tie}, ranked, rater_column="who")
    assert [one.id for one in found.items] == ["d.jsonl:1", "d.jsonl:3"]
    answers = [one.answer for one in found.judgments]
    assert answers == [Pairwise(strength=2), Pairwise(strength=0), Ranked(ranks=(2, 3, 1))]
    assert [one.item for one in found.judgments] == ["d.jsonl:1", "d.jsonl:1", "d.jsonl:3"]
    ann, bob, again = (one.rater.id for one in found.judgments)
    assert ann == again != bob and "ann" not in ann
    assert not found.items[0].columns, "who judged is no part of the item"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"preferences": [{"better": 0, "worse": 1, "probability": 0.8}]}, "but a consensus"),
        ({"ratings": [{"response": 0, "value": 1, "weight": 3}]}, "or one with a weight"),
        ({"ranking": [0, 1], "who": ""}, "no rater in the column who"),
    ],
)
def test_rows_that_are_no_raters_answer_are_refused(tmp_path: Path, said: dict, message: str):
    with pytest.raises(ValueError, match=rf"d\.jsonl:1: .*{message}"):
        row = {"prompt": "q", "responses": ["a", "b"], "who": "ann", **said}
        entered(tmp_path, row, rater_column="who")


def logged(tmp_path: Path, items: list[Item], judgments: list, project: str = "p") -> str:
    file = tmp_path / "feedback.db"
    store = open_store(file)
    put_project(store, project, "{}")
    add_items(store, project, items, target_votes=1)
    append(store, judgments)
    store.close()
    return str(file)


def voted(pairs: int = 24) -> tuple[list[Item], list]:
    """The polite pairs, on which three people and somebody who presses left voted."""
    rows = polite_pairs(pairs)
    items = [
        item(f"i{n}", row["chosen"][0]["content"], row["rejected"][0]["content"],
             prompt=row["prompt"][0]["content"])
        for n, row in enumerate(rows)
    ]  # fmt: skip
    said = []
    for n, one in enumerate(items):
        for k, rater in enumerate(("ann", "bob", "cat", "left")):
            shown = (1, 0) if (n + k) % 2 else (0, 1)
            first = shown[0] == 0 if rater == "left" else (n + k) % 5 != 0
            said.append(prefers(one, rater, -2 if first else 2, shown=shown))
    return items, said


def test_a_reward_model_learns_from_soft_labels_of_a_log(tmp_path: Path):
    items, said = voted()
    log = logged(tmp_path, items, said)
    made = run_stage("consensus", tmp_path / "made", judgments=log, weighting="information")
    data = str(made.path / "judged.jsonl.gz")
    read = [p for one in load_judged(data) for p in one.preferences]
    assert read == [p for one in targets(items, said, weighting="information")
                    for p in one.preferences]  # pyright: ignore  # fmt: skip
    assert all(0.5 < p.probability < 1 for p in read)
    base = small_checkpoint(tmp_path / "base")
    reward = run_stage(
        "reward", tmp_path / "reward", model=str(base), dataset=data, learning_rate=3e-3,
        batch_size=8, num_train_epochs=3, portion=(0.0, 0.7), eval_portion=(0.7, 1.0),
    )  # fmt: skip
    assert reward.metrics["held_out"]["accuracy"]["model"][1] > 0.9
    losses = [json.loads(line) for line in (reward.path / "metrics.jsonl").read_text().splitlines()]
    # The least a soft label's loss can be is its entropy, which a hard one's is not.
    assert min(row["pair_loss"] for row in losses) > 0.05


def test_a_log_of_steps_and_one_of_demonstrations(tmp_path: Path):
    steps, ask = item("s", "x", steps=("a", "b"), question="steps"), item("d", question="write")
    said = [
        judgment(steps, "r", Stepped(labels=("right", "wrong"))),
        judgment(ask, "r", Written(text="done")),
    ]
    log = logged(tmp_path, [steps, ask], said)
    made = run_stage("consensus", tmp_path / "steps", judgments=log, question="steps")
    (found,) = load_stepped(str(made.path / "steps.jsonl.gz"))
    assert found.probabilities == (1.0, 0.0)
    made = run_stage("consensus", tmp_path / "written", judgments=log, question="write")
    (found,) = load_demonstrations(str(made.path / "demonstrations.jsonl.gz"))
    assert found.response.content == "done"
    with pytest.raises(ValueError, match="no items of 'gold'; it has steps, write"):
        run_stage("consensus", tmp_path / "none", judgments=log, question="gold")


def test_mistakes_are_told(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere: no log of judgments; expected a \.db file"):
        run_stage("consensus", tmp_path / "c", judgments="nowhere")
    log = logged(tmp_path, [item()], [])
    with pytest.raises(ValueError, match="project is 'q'; expected one of the log's: p"):
        run_stage("consensus", tmp_path / "c", judgments=log, project="q")
    with pytest.raises(ValueError, match="nothing to learn from in project p"):
        run_stage("consensus", tmp_path / "c", judgments=log)
    with pytest.raises(ValueError, match="scale: expected lowest < highest"):
        run_stage("consensus", tmp_path / "c", judgments=log, scale=(1.0, 1.0))


def test_cards_show_who_presses_left():
    items, said = voted(60)
    said.append(prefers(items[1], "ann", -2, is_repeat=True))
    cards = {card.rater.id: card for card in rater_cards(items, said)}
    left, ann = cards["left"], cards["ann"]
    assert left.left is not None and left.left.point == 1.0 and left.judgments == 60
    assert "left" in left.reasons and "accuracy" in left.reasons
    assert ann.reasons == () and ann.judgments == 60
    assert ann.skill is not None and left.skill is not None and ann.skill > 0.7 > left.skill
    assert ann.left_bias is not None and abs(ann.left_bias) < 0.1
    assert ann.consistency is not None and ann.consistency.point == 1.0
    assert ann.gold is None and ann.median_seconds is None


def test_who_only_tied_has_a_card():
    (card,) = rater_cards([item()], [prefers(item(), "r", 0)])
    assert card.ties is not None and (card.ties.point, card.judgments) == (1.0, 1)
    assert card.left is None and card.skill is None and card.reasons == ()


def test_the_commands_show_tables(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    log = logged(tmp_path, *voted(60))
    consensus(log, rows=2)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "p: 240 votes of 4 raters on 60 pairs, by dawid_skene"
    assert told[1].split() == ["item", "pair", "votes", "better", "probability", "bits"]
    assert len(told) == 4 and told[2].split()[3:5] == ["4", "0"]
    raters(log)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "p: 4 raters, 240 judgments" and len(told) == 6
    assert told[1].split()[:5] == ["rater", "n", "skips", "ties", "%"], "no seconds, no gold"
    (left,) = (line for line in told if line.split()[0] == "left")
    assert "100 (94-100)" in left and "accuracy, left" in left
    with pytest.raises(ValueError, match="wisdom: no such consensus; choose auto"):
        consensus(log, method="wisdom")
    (tmp_path / "few").mkdir()
    few = logged(tmp_path / "few", [item("a"), item("b")], [prefers(item("b"), "r", 2)])
    consensus(few)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "p: 1 votes of 1 raters on 1 pairs, by majority"
    assert [line.split()[0] for line in told[2:]] == ["b"], "a has no votes yet"
    written = logged(tmp_path, [item("w")], [], project="q")
    with pytest.raises(ValueError, match=r"no comparisons, rankings.* in project q"):
        consensus(written, project="q")


def test_cards_count_gold_and_agreement():
    items = [item(str(n), "long one", "two", gold=Pairwise(strength=-1)) for n in range(12)]
    said = [prefers(one, r, -1, active_seconds=4.0) for one in items for r in "rs"]
    said += [prefers(one, "bad", 3) for one in items]
    cards = {card.rater.id: card for card in rater_cards(items, said)}
    good, bad = cards["r"], cards["bad"]
    assert good.gold is not None and good.gold.point == 1.0 and not good.reasons
    assert bad.gold is not None and bad.gold.point == 0.0 and "gold" in bad.reasons
    assert good.accuracy is not None and bad.accuracy is not None
    assert good.accuracy > 0.8 > 0.2 > bad.accuracy
    assert good.median_seconds == 4.0 and bad.median_seconds is None
