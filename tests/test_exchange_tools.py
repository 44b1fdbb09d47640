"""What goes wrong in imports from labelling tools, each once: lost ranks, ties, drafts, labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.formats.exchange import ChoiceMap, Reading, read_exchange
from plaudit.judgments import Pairwise, Ranked, Skipped, Written
from tests import exchange_samples as samples
from tests.exchange_read import answers, judged, read
from tests.exchange_samples import ranks, response, result


def task(*results: dict[str, Any], data: dict[str, Any] | None = None, **more: Any) -> Any:
    annotation = {"completed_by": 7, "result": list(results)} | more
    return {"id": 1, "data": data or samples.SUM, "annotations": [annotation]}


def choice(label: str, name: str = "preference") -> dict[str, Any]:
    return result("choices", name, "prompt", choices=[label])


# Label Studio


def test_a_comparison_with_all_its_controls(tmp_path: Path) -> None:
    judgment = judged(read(tmp_path, samples.LABEL_STUDIO))[0]
    assert judgment.answer == Pairwise(strength=-3)
    assert judgment.criteria == {"helpfulness": (4.0, 2.0)}
    assert judgment.rationale == "correct: it is 2"
    assert judgment.active_seconds == 12.3
    assert judgment.submitted_at.isoformat() == "2026-11-20T21:47:18.970625+00:00"


def test_a_cancelled_annotation_is_skipped_whatever_it_holds(tmp_path: Path) -> None:
    found = read(tmp_path, samples.LABEL_STUDIO)[1].judgments
    assert [judgment.answer for judgment in found] == [
        Pairwise(strength=0), Skipped(reason="cancelled"), Pairwise(strength=-2),
    ]  # fmt: skip
    assert found[2].rater.kind == "judge" and found[2].confidence == 0.93


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("A much better", Pairwise(strength=-3)),
        ("A slightly better", Pairwise(strength=-1)),
        ("Answer 2 is better", Pairwise(strength=2)),
        ("response_b-much better", Pairwise(strength=3)),
        ("Right", Pairwise(strength=2)),
        ("Tie", Pairwise(strength=0)),
        ("Both bad", Pairwise(strength=0, both_bad=True)),
    ],
)
def test_choices_that_are_preferences(tmp_path: Path, label: str, expected: Pairwise) -> None:
    assert answers(read(tmp_path, [task(choice(label))])) == [expected]


def test_the_map_of_choices_goes_before_the_known_words(tmp_path: Path) -> None:
    choices = ChoiceMap(values={"A": 1, "links": -2, "weder noch": "both_bad"})
    rows = [task(choice(label), choice("x", "other")) for label in ("A", "links", "Weder noch")]
    rows = [row | {"id": i} for i, row in enumerate(rows)]
    assert answers(read(tmp_path, rows, choices=choices)) == [
        Pairwise(strength=1), Pairwise(strength=-2), Pairwise(strength=0, both_bad=True),
    ]  # fmt: skip


def test_a_label_that_could_be_a_preference_gives_way_to_one(tmp_path: Path) -> None:
    click = result("pairwise", "click", "click", selected="right")
    (entry,) = read(tmp_path, [task(choice("first", "language"), click)])
    assert answers([entry]) == [Pairwise(strength=2)]
    assert entry.unread == ("choice language",)


def test_a_preference_in_unknown_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file\.json:2: preference is 'links'; expected a label"):
        read(tmp_path, [task(choice("links"))])


def ranker(**buckets: list[str]) -> Any:
    return task(result("ranker", "rank", "answers", ranker=buckets), data=samples.THREE)


def test_a_ranker_ranks_by_place(tmp_path: Path) -> None:
    found = answers(read(tmp_path, [ranker(rank=["wiki", "blog", "mdn"])]))
    assert found == [Ranked(ranks=(3, 1, 2))]


def test_what_was_never_moved_is_not_ranked(tmp_path: Path) -> None:
    found = answers(read(tmp_path, [ranker(rank=["wiki"], _=["mdn", "blog"])]))
    assert found == [Skipped(reason="not all candidates were ranked")]


def test_buckets_need_an_order_and_tie_what_is_in_them(tmp_path: Path) -> None:
    row = ranker(bad=["mdn"], good=["wiki", "blog"])
    with pytest.raises(ValueError, match=r"buckets bad, good; expected their order"):
        read(tmp_path, [row])
    found = read(tmp_path, [row], choices=ChoiceMap(buckets=["good", "bad"]))
    assert answers(found) == [Ranked(ranks=(2, 1, 1))]


def test_only_a_text_is_a_demonstration(tmp_path: Path) -> None:
    found = read(tmp_path, [task(result("textarea", "response", "prompt", text=["Two."]))])
    assert answers(found) == [Written(text="Two.")]


def test_fields_are_named_in_the_map_where_their_names_say_nothing(tmp_path: Path) -> None:
    row = task(result("pairwise", "c", "c", selected="right"),
               data={"frage": "1+1?", "links": "2", "rechts": "3"})  # fmt: skip
    with pytest.raises(ValueError, match=r"its fields frage, links, rechts there is not a prompt"):
        read(tmp_path, [row])
    choices = ChoiceMap(prompt="frage", candidates=["links", "rechts"])
    (entry,) = read(tmp_path, [row], choices=choices)
    assert [c.content for c in entry.item.candidates] == ["2", "3"]


def test_what_a_judgment_has_no_place_for_is_said(tmp_path: Path) -> None:
    row = task(choice("A better"), result("taxonomy", "kind", "prompt", taxonomy=[["x"]]))
    (entry,) = read(tmp_path, [row])
    assert entry.unread == ("other kind",)


def test_ground_truth_is_the_items_gold(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, [task(choice("A better"), ground_truth=True)])
    assert entry.item.gold == Pairwise(strength=-2)


def test_json_min_cannot_tell_a_label_from_a_text(tmp_path: Path) -> None:
    row = {"prompt": "Hi", "response": "Hello", "id": 1, "quality": "good", "annotator": 1,
           "annotation_id": 1}  # fmt: skip
    with pytest.raises(ValueError, match="may be a label or a text; expected the export as JSON"):
        read(tmp_path, [row])


# Argilla


def record(*responses: dict[str, Any], id: str = "r1") -> dict[str, Any]:
    return {"id": id, "fields": samples.FIELDS, "responses": list(responses)}


def test_equal_ranks_are_a_tie(tmp_path: Path) -> None:
    found = read(tmp_path, [record(response("u", ranking=ranks(1, 1)))])
    assert answers(found) == [Pairwise(strength=0)]


def test_a_draft_is_no_judgment_and_a_discarded_one_is_skipped(tmp_path: Path) -> None:
    draft = response("u", "draft", ranking=ranks(2, 1))
    (entry,) = read(tmp_path, [record(draft, response("v", "discarded"))])
    assert answers([entry]) == [Skipped(reason="discarded")]
    assert entry.unread == ("draft, which is left out",)
    assert "id-u" not in entry.item.model_dump_json()


def sdk(order: list[str]) -> dict[str, Any]:
    responses = {"ranking": [{"value": order, "user_id": "u"}]}
    return {"id": "r1", "fields": samples.FIELDS, "responses": responses}


def test_rankings_of_the_sdk_are_refused_unless_their_order_is_trusted(tmp_path: Path) -> None:
    row = sdk(["response2", "response1"])
    with pytest.raises(ValueError, match=r"json:2: ranking is a ranking without ranks.*trust"):
        read(tmp_path, [row])
    assert answers(read(tmp_path, [row], trust_order=True)) == [Pairwise(strength=2)]


def test_flattened_rankings_are_refused_as_well(tmp_path: Path) -> None:
    row = {"id": "r1", **samples.FIELDS, "ranking.responses": [["response2", "response1"]],
           "ranking.responses.users": ["u"], "ranking.responses.status": ["submitted"]}  # fmt: skip
    with pytest.raises(ValueError, match="without ranks"):
        read(tmp_path, [row])
    assert answers(read(tmp_path, [row], trust_order=True)) == [Pairwise(strength=2)]


def test_rankings_that_are_all_the_order_shown_are_refused(tmp_path: Path) -> None:
    rows = [record(response("u", ranking=ranks(1, 2)), id=f"r{i}") for i in range(7)]
    with pytest.raises(ValueError, match=r"all 7 rankings are in the order .*--trust-order"):
        read(tmp_path, rows)
    assert len(read(tmp_path, rows, trust_order=True)) == 7
    other = record(response("u", ranking=ranks(2, 1)), id="other")
    assert len(read(tmp_path, [*rows, other])) == 8
    assert len(read(tmp_path, rows[:3])) == 3, "three pairs in a row may be chance"


def test_settings_say_which_string_is_a_text(tmp_path: Path) -> None:
    (tmp_path / ".argilla").mkdir()
    types = {"kind": "label_selection", "why": "text", "best": "ranking"}
    questions = [{"name": n, "settings": {"type": t}} for n, t in types.items()]
    (tmp_path / ".argilla/settings.json").write_text(json.dumps({"questions": questions}))
    row = {"id": "1", "fields": {"prompt": "Hi", "response": "Hello"},
           "responses": {"why": [{"value": "tie", "user_id": "u"}],
                         "kind": [{"value": "good", "user_id": "u"}]}}  # fmt: skip
    (tmp_path / "records.json").write_text(json.dumps([row]))
    (entry,) = read_exchange(tmp_path, Reading(project="p"))
    (judgment,) = entry.judgments
    assert (judgment.answer.kind, judgment.rationale) == ("label", "tie")


def test_records_as_the_server_pages_them(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"items": samples.ARGILLA, "total": 2}))
    assert len(judged(read_exchange(path, Reading(project="p")))) == 4
