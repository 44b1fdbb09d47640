"""What holds for every format of judgments: ids, pseudonyms, errors, kinds of files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.formats.exchange import EXCHANGE_FORMATS, Reading, read_exchange
from plaudit.judgments import Pairwise
from tests import exchange_samples as samples
from tests.exchange_read import answers, judged, read
from tests.exchange_samples import SAMPLES


def test_equal_rows_are_two_judgments_with_ids_of_their_own(tmp_path: Path) -> None:
    first = judged(read(tmp_path, samples.HH * 2, ".jsonl"))
    again = judged(read(tmp_path, samples.HH * 2, ".jsonl"))
    assert first == again
    assert len({judgment.id for judgment in first}) == 2


@pytest.mark.parametrize("name", SAMPLES)
def test_ids_of_people_stand_nowhere_once_hashed(tmp_path: Path, name: str) -> None:
    people = ("arena_user_", "w123", "user-", "ann@example.org", "Ann", '"A0"', '"u1"', ": 17}")
    found = read(tmp_path, SAMPLES[name], pseudonym=lambda id: f"hidden{len(id)}")
    text = "".join(e.item.model_dump_json() + str([j.model_dump_json() for j in e.judgments])
                   for e in found)  # fmt: skip
    assert not [person for person in people if person in text]


def test_the_same_person_has_the_same_pseudonym(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, samples.OASST_MESSAGES, pseudonym=str.upper)
    assert [judgment.rater.id for judgment in entry.judgments] == ["oasst", "USER-9", "USER-8"]


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("label_studio", {"data": []}, r'data is \[\]; expected \{"data"'),
        ("argilla", {"responses": [{"status": "lost"}]}, "a response is"),
        ("hh_red_team", {"rating": 5}, "rating is 5; expected"),
        ("arena", {"winner": "both"}, "winner is 'both'; expected"),
        ("summaries", {"choice": 2}, "choice is 2"),
        ("webgpt", {"score_0": 2}, "score_0 is 2"),
        ("helpsteer2", {"preference_strength": 4}, "preference_strength is 4"),
        ("alpaca_eval", {"preference": 3}, "preference is 3"),
        ("mt_bench", {"g1_winner": "A"}, "g1_winner is 'A'; expected model_1"),
        ("mt_bench", {"g1_user_prompt": "?"}, "no answers are found"),
        ("ukp_convarg", {"label": "a3"}, "label is 'a3'"),
        ("pandalm", {"annotator1": 3}, "annotator1 is 3"),
        ("ultrafeedback", {"completions": [1]}, "a completion is 1"),
        ("distilabel", {"chosen_rating": "five"}, "the scores are"),
        ("oasst", {"prompt": {"text": "no id"}}, "a message has the id missing"),
        ("trl", {"margin": "much"}, "margin is 'much'"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(
    tmp_path: Path, name: str, change: dict[str, Any], expected: str
) -> None:
    good = SAMPLES[name][0]
    with pytest.raises(ValueError, match=r"file\.jsonl:2: .*" + expected):
        read(tmp_path, [good, good | change], ".jsonl", format=name)


def test_an_unknown_shape_names_every_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no format of judgments has the keys a; expected one of"):
        read(tmp_path, [{"a": 1}])
    with pytest.raises(ValueError, match="nothing: no such format; choose auto, plaudit"):
        read(tmp_path, samples.HH, format="nothing")


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in samples.HH).encode()))
    assert len(read_exchange(path, Reading(project="p"))) == 1


def test_votes_between_tabs(tmp_path: Path) -> None:
    path = tmp_path / "topic.csv"
    path.write_text('# #id    turkerid    label    a1    a2\nx_y\tW\ta2\tsaid "no\tyes\n')
    (entry,) = read_exchange(path, Reading(project="p"))
    assert [c.content for c in entry.item.candidates] == ['said "no', "yes"]
    assert answers([entry]) == [Pairwise(strength=2)]


def test_a_probability_says_how_sure(tmp_path: Path) -> None:
    pair = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
    probabilities = (0.9, 0.5, 0.2)
    found = judged(read(tmp_path, [pair | {"probability": p} for p in probabilities], ".jsonl"))
    strengths = [getattr(judgment.answer, "strength", None) for judgment in found]
    assert strengths == [-2, 0, 2]
    assert [judgment.confidence for judgment in found] == [0.9, None, 0.8]


def test_the_page_has_every_format_as_the_table_has_it() -> None:
    page = (Path(__file__).parent.parent / "docs/collect/formats.md").read_text()
    rows = [f"| `{name}` | {f.keeps} | {f.loses} |" for name, f in EXCHANGE_FORMATS.items()]
    assert "\n".join(rows) in page
