"""The project file, its data files, and how they get into the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from plaudit.config import options
from plaudit.feedback.assignment.giving import give_item
from plaudit.feedback.assignment.selection import selected
from plaudit.feedback.projects.items import LoadedItems, load_items
from plaudit.feedback.projects.project import Project, project_of, read_project
from plaudit.feedback.projects.setup import SetUp, set_up_project
from plaudit.judgments import Item, Labelled, Pairwise
from plaudit.store import Store, Writer, add_items, get_item, items, latest_guideline, open_store
from tests.collecting import given, join, judge, pair, project
from tests.made import write

EXAMPLE = Path(__file__).parents[1] / "examples" / "collect" / "project.yaml"


def written(place: Path, **options: Any) -> Path:
    """A project file, valid but for the options."""
    values: dict[str, Any] = {
        "id": "p",
        "title": "A project",
        "guidelines": {"text": "Choose."},
        "questions": [{"kind": "pairwise"}],
    }
    file = place / "p.yaml"
    file.write_text(yaml.safe_dump({**values, **options}))
    return file


def loaded(
    place: Path, rows: list[dict], source: dict | None = None, **options: Any
) -> LoadedItems:
    """The items of one data file."""
    write(place / "data.jsonl", rows)
    sources = [{"dataset": "data.jsonl"} | (source or {})]
    return load_items(project(items=sources, **options), place)


def set_up(store: Store, file: Path) -> SetUp:
    return set_up_project(store, read_project(file), file.parent)


def test_the_example_is_a_whole_project(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    config = read_project(EXAMPLE)
    outcome = set_up(store, EXAMPLE)
    assert outcome.items == 16 and not outcome.left_out and not outcome.leaks
    assert set_up(store, EXAMPLE).items == 0
    stored = {one.item.id: one for one in items(store, config.id)}
    assert stored["gold.jsonl:1"].is_gold and not stored["gold.jsonl:1"].is_open
    assert stored["prompts.jsonl:1"].target_votes == 1
    guideline = latest_guideline(store, config.id)
    assert guideline is not None and guideline.text.startswith("# How to compare")
    join(store, config.id, "ann")
    with Writer(store) as writer:
        one = given(store, "ann", project=config.id)
        assert one.item.id == "gold.jsonl:1"
        judge(writer, one, "ann")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"lease": 5}, "lease: no such option; did you mean lease_seconds"),
        ({"id": "My Project"}, "id: string should match pattern"),
        ({"guidelines": {}}, "give either text or file"),
        ({"guidelines": {"text": "a", "file": "b"}}, "give either text or file"),
        ({"questions": []}, "questions"),
        ({"questions": [{"kind": "pairwise"}, {"kind": "pairwise"}]}, "overall is given twice"),
        ({"questions": [{"kind": "pairwise", "scale": [1, 7]}]}, "scale applies to rating"),
        ({"questions": [{"kind": "label", "labels": ["a"]}]}, "at least two different labels"),
        ({"questions": [{"kind": "rating", "scale": [5, 1]}]}, "lowest < highest"),
        ({"questions": [{"kind": "rating", "rationale": "on_strong"}]}, "applies to pairwise"),
        ({"questions": [{"kind": "best"}]}, "questions.0.kind"),
        ({"items": [{"dataset": "x", "question": "other"}]}, "items.0.question: no question other"),
        ({"overlap": {"votes": 4, "adaptive": {"max_votes": 3}}}, "below 4 votes"),
        ({"overlap": {"by_stratum": {"x": 0}}}, "at least 1 vote"),
        ({"gold": {"rate": 0.9}}, "gold.rate"),
        ({"arena": {"url": "localhost", "model": "m"}}, "arena.url"),
        ({"arena": {"url": "http://x", "model": "m", "question": "q"}}, "no question q"),
        ({"selection": {"file": "x", "random_share": 0.0}}, "selection.random_share"),
        ({"skip_reasons": ["bored"]}, "skip_reasons.0"),
    ],
)
def test_faults_are_named_with_file_and_key(tmp_path: Path, options: dict, complaint: str):
    file = written(tmp_path, **options)
    with pytest.raises(ValueError, match=complaint) as error:
        read_project(file)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)


def test_guidelines_do_not_change_under_an_old_version(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    set_up(store, written(tmp_path))
    changed = {"text": "Choose the other."}
    with pytest.raises(ValueError, match="guideline 1 of p: stands with another text"):
        set_up(store, written(tmp_path, guidelines=changed, title="New"))
    assert "New" not in json.dumps(store_config(store))
    set_up(store, written(tmp_path, guidelines=changed | {"version": "2"}))
    guideline = latest_guideline(store, "p")
    assert guideline is not None and guideline.version == "2"


def store_config(store: Store) -> str:
    with store.reading() as connection:
        return connection.exec_driver_sql("SELECT config FROM project").scalar_one()


def test_guidelines_in_a_file_that_is_not_there(tmp_path: Path):
    file = written(tmp_path, guidelines={"file": "guide.md"})
    with pytest.raises(ValueError, match=r"guidelines\.file: .*guide\.md: no such file"):
        set_up(open_store(tmp_path / "x.db"), file)


@pytest.mark.parametrize(
    ("row", "prompt", "texts"),
    [
        ({"prompt": "q", "responses": ["a", "b"]}, "q", ["a", "b"]),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "q", ["a", "b"]),
        ({"id": "x", "prompt": "q", "candidates": [{"content": "a"}, {"content": "b"}]}, "q",
         ["a", "b"]),
    ],
)  # fmt: skip
def test_pairs_of_many_shapes(tmp_path: Path, row: dict, prompt: str, texts: list[str]):
    (item,) = loaded(tmp_path, [row]).items
    assert item.prompt == prompt and item.gold is None
    assert [candidate.content for candidate in item.candidates] == texts


def test_pairs_of_hh(tmp_path: Path):
    turns = "\n\nHuman: Which is larger: 9 or 12?\n\nAssistant: "
    (item,) = loaded(tmp_path, [{"chosen": turns + "12.", "rejected": turns + "9."}]).items
    assert "Which is larger: 9 or 12?" in str(item.prompt) and len(item.candidates) == 2


def test_prompts_alone_are_for_demonstrations(tmp_path: Path):
    asked: dict[str, Any] = {"questions": [{"kind": "demonstration"}]}
    (item,) = loaded(tmp_path, [{"prompt": "q"}], **asked).items
    assert item.prompt == "q" and not item.candidates
    with pytest.raises(ValueError, match="has 0 candidates, which pairwise cannot ask about"):
        loaded(tmp_path, [{"prompt": "q"}])


def test_more_responses_than_two_are_compared_two_by_two(tmp_path: Path):
    rows = [{"prompt": "q", "responses": ["a", "b", "c"]}]
    ids = [item.id for item in loaded(tmp_path, rows).items]
    assert ids == ["data.jsonl:1/0-1", "data.jsonl:1/0-2", "data.jsonl:1/1-2"]


def test_rankings_of_up_to_nine(tmp_path: Path):
    asked: dict[str, Any] = {"questions": [{"kind": "ranking"}]}
    nine = [{"prompt": "q", "responses": list("abcdefghi")}]
    assert len(loaded(tmp_path, nine, **asked).items[0].candidates) == 9
    with pytest.raises(ValueError, match=r"data\.jsonl:1: has 10 candidates.*2 to 9"):
        loaded(tmp_path, [{"prompt": "q", "responses": list("abcdefghij")}], **asked)


def test_steps_come_with_the_response_they_make_up(tmp_path: Path):
    row = {"prompt": "1 + 1?", "completions": ["One and one", "is two."], "labels": [True, True]}
    (item,) = loaded(tmp_path, [row], questions=[{"kind": "steps"}]).items
    assert item.steps == ("One and one", "is two.") and len(item.candidates) == 1


def test_what_a_gold_file_prefers_is_the_right_answer(tmp_path: Path):
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    (item,) = loaded(tmp_path, [row], {"is_gold": True, "stratum": "easy"}).items
    assert item.gold == Pairwise(strength=-2) and item.stratum == "easy"
    with pytest.raises(ValueError, match=r"data\.jsonl:1: is gold, but holds no answer"):
        loaded(tmp_path, [{"prompt": "q", "responses": ["a", "b"]}], {"is_gold": True})


def test_an_item_of_ours_keeps_what_it_says(tmp_path: Path):
    row = pair("x", stratum="s", priority=3, gold=Pairwise(strength=1)).model_dump(mode="json")
    (item,) = loaded(tmp_path, [row]).items
    assert item == Item.model_validate_json(json.dumps(row))
    with pytest.raises(ValueError, match="its gold answer is label; expected pairwise"):
        loaded(tmp_path, [row | {"gold": Labelled(label="x").model_dump()}])
    with pytest.raises(ValueError, match=r"data\.jsonl:1: prompt\.str: "):
        loaded(tmp_path, [row | {"prompt": 5}])


def test_an_id_that_comes_twice_is_refused(tmp_path: Path):
    row = pair("x").model_dump(mode="json")
    with pytest.raises(ValueError, match="item x: comes twice"):
        loaded(tmp_path, [row, row])


def test_equal_candidates_are_left_out_and_counted(tmp_path: Path):
    """Trap H 12: whoever compares a text with itself says nothing."""
    rows = [
        {"prompt": "q", "responses": ["same", "same"]},
        {"prompt": "q", "responses": ["white  space\n", " white space"]},
        {"prompt": "q", "responses": ["Case", "case"]},
    ]
    found = loaded(tmp_path, rows)
    assert [item.id for item in found.items] == ["data.jsonl:3"]
    assert found.left_out == {"equal candidates": 2}


def test_a_text_that_names_its_model_is_flagged(tmp_path: Path):
    """Trap H 13."""
    rows = [
        {"prompt": "Who are you, Claude?", "responses": ["A program.", "I am ChatGPT, by OpenAI."]},
        {"prompt": "q", "responses": ["He bought a llamadrama poster.", "An openair cinema."]},
        {"prompt": "q", "responses": ["I am Wisp 2.", "I am a program."]},
    ]
    found = loaded(tmp_path, rows, model_names=["Wisp 2"])
    assert found.leaks == {"data.jsonl:1": ("chatgpt", "openai"), "data.jsonl:3": ("wisp 2",)}
    assert found.items[0].columns["leak"] == ["chatgpt", "openai"]
    without = loaded(tmp_path, rows, model_names=["Wisp 2"], on_leak="leave_out")
    assert [item.id for item in without.items] == ["data.jsonl:2"]
    assert without.left_out == {"names a model": 2}


def test_more_votes_may_be_asked_for_later(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    write(tmp_path / "data.jsonl", [{"prompt": "q", "responses": ["a", "b"]}] * 2)
    source = [{"dataset": "data.jsonl"}]
    set_up(store, written(tmp_path, items=source, overlap={"votes": 1}))
    join(store, "p", "ann")
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann")
    set_up(store, written(tmp_path, items=source, overlap={"votes": 2}))
    stored = list(items(store, "p"))
    assert [(one.votes, one.target_votes, one.is_open) for one in stored] == [
        (1, 2, True),
        (0, 2, True),
    ]


def test_a_file_that_is_refused_changes_no_question_of_raters_at_work(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    row = {"id": "a", "prompt": "q", "candidates": [{"content": "x"}, {"content": "y"}]}
    write(tmp_path / "data.jsonl", [row])
    set_up(store, written(tmp_path, items=[{"dataset": "data.jsonl"}]))
    renamed = {"name": "better", "kind": "pairwise"}
    source = {"dataset": "data.jsonl", "question": "better"}
    with pytest.raises(ValueError, match="is there with another prompt, candidates or question"):
        set_up(store, written(tmp_path, items=[source], questions=[renamed]))
    assert project_of(store_config(store)).question("overall")


def test_a_selection_goes_first_and_keeps_a_random_share():
    things = [pair(f"i{n}") for n in range(1000)]
    scores = {f"i{n}": float(n) for n in range(1000)}
    chosen = sorted(selected(things, scores, 0.3, "p"), key=lambda item: -item.priority)
    assert len({item.priority for item in chosen}) == 1000
    for first in (10, 50, 200, 1000):
        marks = [item.columns["selection"] for item in chosen[:first]]
        assert abs(marks.count("random") - 0.3 * first) <= 1
    informative = [item for item in chosen if item.columns["selection"] == "information"]
    assert [int(item.id[1:]) for item in informative] == sorted(
        (int(item.id[1:]) for item in informative), reverse=True
    )
    # Of all items, whatever their scores: mean 500, standard error 289 / sqrt(100) = 29.
    early = [item for item in chosen if item.columns["selection"] == "random"][:100]
    assert 400 < sum(int(item.id[1:]) for item in early) / 100 < 600


def test_a_selection_names_only_items_that_are_there():
    with pytest.raises(ValueError, match=r"selection\.file: no item z"):
        selected([pair("a")], {"z": 1.0}, 0.3, "p")


def test_a_selection_reorders_items_that_are_there(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    rows = [pair(f"i{n}").model_dump(mode="json") for n in range(20)]
    write(tmp_path / "data.jsonl", rows)
    source: dict[str, Any] = {"items": [{"dataset": "data.jsonl"}]}
    set_up(store, written(tmp_path, **source))
    write(tmp_path / "scores.jsonl", [{"id": f"i{n}", "information": n} for n in range(20)])
    choice = {"file": "scores.jsonl", "random_share": 0.05}
    assert set_up(store, written(tmp_path, **source, selection=choice)).items == 0
    join(store, "p", "ann")
    had = []
    with Writer(store) as writer:
        for _ in range(4):
            one = given(store, "ann")
            had.append((one.item.id, one.item.columns["selection"]))
            judge(writer, one, "ann")
    by_score = [id for id, mark in had if mark == "information"]
    assert had[0][1] == "random" and len(by_score) == 3
    assert by_score == sorted(by_score, key=lambda id: -int(id[1:]))
    assert set(by_score) <= {"i19", "i18", "i17", "i16"}


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"id": "i0"}], "no id, or information that is no finite number"),
        ([{"id": "i0", "information": 1}] * 2, "item i0 comes twice"),
    ],
)
def test_faults_of_a_selection_name_the_row(tmp_path: Path, rows: list[dict], complaint: str):
    write(tmp_path / "scores.jsonl", rows)
    file = written(tmp_path, selection={"file": "scores.jsonl"})
    with pytest.raises(ValueError, match=rf"scores\.jsonl:\d: {complaint}"):
        set_up(open_store(tmp_path / "x.db"), file)


def test_what_raters_ask_in_the_arena_is_judged_by_them_alone(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    write(tmp_path / "data.jsonl", [{"prompt": "q", "responses": ["a", "b"]}])
    file = written(tmp_path, items=[{"dataset": "data.jsonl"}])
    set_up(store, file)
    add_items(store, "p", [pair("asked", stratum="arena")], target_votes=1)
    set_up(store, file)
    stored = get_item(store, "p", "asked")
    assert stored is not None and stored.target_votes == 1
    join(store, "p", "ann")
    with Writer(store) as writer:
        judge(writer, give_item(store, "p", "ann", stored.number), "ann")
    stored = get_item(store, "p", "asked")
    assert stored is not None and (stored.votes, stored.is_open) == (1, False)


def test_the_store_gives_back_the_project_as_written(tmp_path: Path):
    store = open_store(tmp_path / "x.db")
    config = read_project(EXAMPLE)
    set_up(store, EXAMPLE)
    again = project_of(store_config(store))
    assert isinstance(again, Project) and again == config


def test_the_page_tells_every_option():
    page = (EXAMPLE.parents[2] / "docs" / "collect" / "project.md").read_text()
    for name, kind, default, meaning in options(Project):
        cells = (f"`{name}`", kind, f"`{default}`", meaning)
        assert f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" in page
