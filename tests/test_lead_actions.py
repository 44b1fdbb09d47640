"""What leads and adjudicators do: settle items, publish guidelines, invite, erase."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plaudit.records import Message, ToolCall
from plaudit.store import (
    add_items,
    events,
    find,
    get_item,
    items,
    put_project,
    read,
    record_export,
    record_model,
    standing,
    verify,
)
from tests.lead_app import CONFIG, SOURCES, World, made_world
from tests.lead_votes import one_vote, pair

P = "/api/projects/coffee"


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    with judged_world(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For requests that change nothing."""
    with judged_world(tmp_path_factory.mktemp("shared")) as made:
        yield made


@contextmanager
def judged_world(folder: Path) -> Iterator[World]:
    with made_world(folder) as made:
        add_items(made.store, "coffee", [pair(1)], 2)
        one_vote(made.store, pair(1), "coffee", made.ids["rater"], 2, rationale="It grinds.")
        one_vote(made.store, pair(1), "coffee", made.ids["lead"], -1)
        yield made


def listed(world: World, query: str = "") -> list[dict]:
    return world.api("lead").get(f"{P}/items{query}").json()["items"]


def settlement(world: World, id: str = "s-1", strength: int = 1, **fields) -> dict:
    (row,) = (
        row
        for row in world.api("lead").get(f"{P}/items").json()["items"]
        if row["id"] == "pair-0001"
    )
    answer = {"kind": "pairwise", "strength": strength}
    return {"item": row["number"], "judgment": {"id": id, "answer": answer, **fields}}


def test_an_adjudicator_settles_an_item(world: World) -> None:
    body = settlement(world, rationale="Grinding matters.")
    answer = world.api("adjudicator").post(f"{P}/adjudications", json=body)
    logged = find(world.store, "s-1")
    assert answer.status_code == 200 and answer.json()["seq"] == logged.seq
    judgment = logged.judgment
    assert judgment.rater.id == world.ids["adjudicator"] and judgment.flags == ("adjudicated",)
    assert judgment.item_sha256 and judgment.answer.strength == 1
    assert not verify(world.store).faults
    shown = world.api("adjudicator").get(f"{P}/items/{body['item']}").json()
    assert shown["is_settled"] and not shown["is_open"]
    assert [said["is_settlement"] for said in shown["history"]] == [False, False, True]


@pytest.mark.parametrize("leak", [[], ["zephyr"]])
def test_an_item_that_names_a_model_says_so_and_not_which(world: World, leak: list[str]) -> None:
    telling = pair(2).model_copy(update={"columns": {"leak": leak, "model": SOURCES[0]}})
    add_items(world.store, "coffee", [telling], 2)
    number = get_item(world.store, "coffee", telling.id).number
    shown = world.api("adjudicator").get(f"{P}/items/{number}")
    assert shown.json()["names_a_model"] is bool(leak)
    assert "zephyr" not in shown.text and SOURCES[0] not in shown.text


def test_settled_items_leave_the_queue_of_disputes(world: World) -> None:
    world.api("adjudicator").post(f"{P}/adjudications", json=settlement(world))
    ids = {
        settled: [row["id"] for row in listed(world, f"?settled={settled}")]
        for settled in ("true", "false")
    }  # fmt: skip
    assert ids["true"] == ["pair-0001"] and "pair-0001" not in ids["false"]


def test_settled_twice_the_later_answer_stands_and_both_are_logged(world: World) -> None:
    client = world.api("adjudicator")
    client.post(f"{P}/adjudications", json=settlement(world, "s-1", 1))
    client.post(f"{P}/adjudications", json=settlement(world, "s-2", -1))
    mine = [j for j in standing(world.store, "coffee") if j.rater.id == world.ids["adjudicator"]]
    assert [j.id for j in mine] == ["s-2"] and mine[0].supersedes == "s-1"
    history = client.get(f"{P}/items/{settlement(world)['item']}").json()["history"]
    assert [said["stands"] for said in history] == [True, True, False, True]


def test_sent_twice_it_is_one_judgment(world: World) -> None:
    client, body = world.api("adjudicator"), settlement(world)
    first, second = (client.post(f"{P}/adjudications", json=body) for _ in range(2))
    assert first.json() == second.json()
    assert sum(logged.id == "s-1" for logged in read(world.store)) == 1
    other = client.post(f"{P}/adjudications", json=settlement(world, strength=-1))
    assert other.status_code == 422 and "another answer" in other.json()["error"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"answer": {"kind": "label", "label": "bean"}}, "expected pairwise"),
        ({"answer": {"kind": "pairwise", "strength": 7}}, "strength"),
        ({"answer": {"kind": "pairwise", "strength": 2, "both_bad": True}}, "both are bad"),
        ({"flags": ["no such"]}, "flags"),
        ({"criteria": {"style": [9, 1]}}, "style"),
        ({"criteria": {"none": [1, 1]}}, "criteria"),
        ({"confidence": 0.5}, "confidence"),
        ({"id": ""}, "id"),
        ({"answer": {"kind": "skip", "reason": "unclear"}}, "answer"),
        ({"rater": {"id": "another"}}, "rater"),
        ({"supersedes": "x"}, "supersedes"),
    ],
)
def test_what_does_not_answer_the_question_is_refused(shared: World, change, match: str) -> None:
    body = settlement(shared)
    body["judgment"] |= change
    answer = shared.api("adjudicator").post(f"{P}/adjudications", json=body)
    assert answer.status_code == 422 and match in answer.json()["error"]
    assert "\n" not in answer.json()["error"] and find(shared.store, "s-1") is None


@pytest.mark.parametrize("number", [0, -1, 999, 2**53, 2**64, "x", "1e3", "../1"])
def test_there_is_no_such_item(shared: World, number) -> None:
    answer = shared.api("lead").get(f"{P}/items/{number}")
    assert answer.status_code in (404, 422)
    body = settlement(shared) | {"item": number}
    settled = shared.api("adjudicator").post(f"{P}/adjudications", json=body)
    assert settled.status_code in (400, 404, 422)


def test_an_item_of_another_project_is_not_shown(world: World) -> None:
    add_items(world.store, "tea", [pair(9)], 2)
    (there,) = items(world.store, "tea")
    assert world.api("lead").get(f"{P}/items/{there.number}").status_code == 404


def test_adjudicators_learn_neither_names_nor_who_wrote_what(world: World) -> None:
    number = settlement(world)["item"]
    of_adjudicator = world.api("adjudicator").get(f"{P}/items/{number}")
    of_lead = world.api("lead").get(f"{P}/items/{number}")
    assert "The rater" in of_lead.text and "The rater" not in of_adjudicator.text
    for answer in (of_adjudicator, of_lead, world.api("lead").get(f"{P}/items")):
        assert not any(source in answer.text for source in (*SOURCES, "secret-7b"))


def test_an_adjudicator_sees_the_calls_of_a_candidate(world: World) -> None:
    call = ToolCall(name="order", arguments={"drink": "latte"})
    turns = (Message(role="assistant", tool_calls=(call,)), Message(role="tool", content="ok"))
    made = pair(77)
    called = made.candidates[0].model_copy(update={"content": turns})
    made = made.model_copy(update={"candidates": (called, made.candidates[1])})
    add_items(world.store, "coffee", [made], 2)
    stored = get_item(world.store, "coffee", made.id)
    assert stored is not None
    shown = world.api("adjudicator").get(f"{P}/items/{stored.number}").json()["candidates"][0]
    assert [turn["content"] for turn in shown] == ['order({"drink": "latte"})', "ok"]


def test_a_new_guideline_is_a_new_version(world: World) -> None:
    lead = world.api("lead")
    made = lead.post(f"{P}/guidelines", json={"version": "2", "text": "Be *kind*."})
    assert made.status_code == 201 and made.json()["text"] == "Be *kind*."
    assert [g["version"] for g in lead.get(f"{P}/guidelines").json()] == ["2"]
    again = lead.post(f"{P}/guidelines", json={"version": "2", "text": "Be cruel."})
    assert again.status_code == 409 and "new version" in again.json()["error"]
    settled = settlement(world)
    world.api("adjudicator").post(f"{P}/adjudications", json=settled)
    assert find(world.store, "s-1").judgment.guideline_version == "2"


def test_a_member_s_role_and_name_change(world: World) -> None:
    path = f"{P}/members/{world.ids['rater']}"
    changed = world.api("lead").patch(path, json={"role": "adjudicator", "name": "Žofie"}).json()
    assert (changed["role"], changed["name"]) == ("adjudicator", "Žofie")
    assert world.api("rater").get(f"{P}/items").status_code == 200


def test_the_only_lead_stays_one(world: World) -> None:
    path = f"{P}/members/{world.ids['lead']}"
    assert world.api("lead").patch(path, json={"role": "rater"}).status_code == 409
    assert world.api("lead").post(f"{path}/suspension", json={"reason": "x"}).status_code == 409
    assert world.api("lead").delete(f"/api/raters/{world.ids['lead']}/data").status_code == 409


def test_a_program_is_made_a_member_and_judges(world: World) -> None:
    body = {"kind": "simulated", "name": "sim-1", "role": "rater"}
    made = world.api("lead").post(f"{P}/members", json=body).json()
    program = world.anyone(headers={"Authorization": f"Bearer {made['token']}"})
    assert program.get("/api/session").json()["rater"] == made["rater"]
    assert program.get(f"{P}/next").status_code == 200


def test_a_rater_s_data_goes_and_the_chain_holds(world: World, tmp_path) -> None:
    rater = world.ids["rater"]
    before = verify(world.store).head_sha256
    erased = world.api("lead").delete(f"/api/raters/{rater}/data")
    assert erased.json() == {"judgments": 1, "models": []}
    assert world.api("rater").get("/api/session").status_code == 401
    checked = verify(world.store)
    assert not checked.faults and checked.erased == 1 and checked.head_sha256 == before
    page = world.api("lead").get(f"{P}/members").text
    assert "The rater" not in page
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("log.db*"))
    assert b"It grinds." not in stored and b"The rater" not in stored
    again = world.api("lead").delete(f"/api/raters/{rater}/data")
    assert again.status_code == 409


def test_the_models_that_learned_from_a_rater_are_named(world: World) -> None:
    export = record_export(world.store, "coffee", 2, {})
    record_model(world.store, "f" * 64, export, "runs/reward-model")
    erased = world.api("lead").delete(f"/api/raters/{world.ids['rater']}/data").json()
    assert erased["models"] == ["runs/reward-model"]


def test_events_are_paged_from_the_newest(world: World) -> None:
    lead = world.api("lead")
    for number in range(5):
        lead.post(f"{P}/invites", json={"uses": number + 1})
    newest = lead.get(f"{P}/events?kind=invited&limit=2").json()
    assert [event["detail"]["uses"] for event in newest] == [5, 4]
    older = lead.get(f"{P}/events?kind=invited&limit=2&before={newest[-1]['number']}").json()
    assert [event["detail"]["uses"] for event in older] == [3, 2]
    assert "plaudit_" not in json.dumps(newest)


FAULTY = {
    "nothing": b"",
    "no rows": b"[]",
    "not UTF-8": b"\xff\xfe\x00",
    "not JSON": b"{",
    "deep": b"[" * 100_000,
    "deep within": b'{"prompt": ' + b"[" * 50_000,
    "a number": b"7\n",
    "nulls": b'{"prompt": null, "chosen": null, "rejected": null}\n',
    "lists": b'{"prompt": [], "chosen": [], "rejected": []}\n',
    "huge": b'{"prompt": ' + b"9" * 9000 + b"}\n",
    "not finite": b'{"prompt": "a", "chosen": "b", "rejected": "c", "margin": NaN}\n',
    "NUL": b'{"prompt": "a\\u0000", "chosen": "b", "rejected": "c"}\n',
    "half a pair": b'{"prompt": "a\\ud800", "chosen": "b", "rejected": "c"}\n',
    "label studio": b'[{"data": 7, "annotations": [{"result": 7}]}]',
    "arena": b'{"model_a": 1, "model_b": [], "winner": {}, "conversation_a": 7}\n',
}


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("fault", FAULTY)
def test_a_file_that_cannot_be_read_is_refused(shared: World, fault: str, kind: str) -> None:
    answer = shared.api("lead").post(f"{P}/import?kind={kind}", content=FAULTY[fault])
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert set(answer.json()) == {"error"} and "/tmp" not in answer.text
    assert not verify(shared.store).faults


@pytest.mark.parametrize("kind", ["../x", "gz", "py", "jsonl%00"])
def test_a_file_has_no_name_of_the_sender_s(shared: World, kind: str) -> None:
    answer = shared.api("lead").post(f"{P}/import?kind={kind}", content=b"{}")
    assert answer.status_code in (400, 422)


def test_what_is_exported_can_be_imported_elsewhere(world: World, tmp_path) -> None:
    given = world.api("lead").get(f"{P}/export?format=plaudit")
    assert given.status_code == 200 and "attachment" in given.headers["content-disposition"]
    (tmp_path / "elsewhere").mkdir()
    with made_world(tmp_path / "elsewhere") as elsewhere:
        for new in (2, 0):
            taken = elsewhere.api("lead").post(f"{P}/import", content=given.content)
            assert taken.status_code == 200, taken.text
            assert taken.json()["new_judgments"] == new
        told = list(events(elsewhere.store, "coffee", "imported"))
        assert [event.rater for event in told] == [elsewhere.ids["lead"]] * 2
    kinds = [event["kind"] for event in world.api("lead").get(f"{P}/events").json()]
    assert kinds[0] == "exported"


@pytest.mark.parametrize(("format", "targets"), [("trl", "majority"), ("judged", "soft")])
def test_training_targets_are_exported(world: World, format: str, targets: str) -> None:
    world.api("adjudicator").post(f"{P}/adjudications", json=settlement(world))
    given = world.api("lead").get(f"{P}/export?format={format}&targets={targets}")
    assert given.status_code == 200 and json.loads(given.content.splitlines()[0])


def test_marks_go_out_on_the_scale_of_their_question(world: World) -> None:
    mark = {"name": "mark", "kind": "rating", "scale": [1, 5]}
    put_project(world.store, "coffee", json.dumps(CONFIG | {"questions": [mark]}))
    made = pair(78).model_copy(update={"question": "mark"})
    add_items(world.store, "coffee", [made], 2)
    stored = get_item(world.store, "coffee", made.id)
    assert stored is not None
    answer = {"kind": "rating", "values": [1, 4]}
    body = {"item": stored.number, "judgment": {"id": "m", "answer": answer}}
    settled = world.api("adjudicator").post(f"{P}/adjudications", json=body)
    assert settled.status_code == 200, settled.text
    address = f"{P}/export?format=unpaired&targets=soft"
    rows = world.api("lead").get(address).content.splitlines()
    assert [json.loads(row)["label"] for row in rows] == [False, True]
    other = {"name": "other", "kind": "rating", "scale": [0, 10]}
    put_project(world.store, "coffee", json.dumps(CONFIG | {"questions": [mark, other]}))
    refused = world.api("lead").get(address)
    assert refused.status_code == 422 and "several scales" in refused.json()["error"]


def test_an_export_of_no_known_format_is_refused(world: World) -> None:
    answer = world.api("lead").get(f"{P}/export?format=none")
    assert answer.status_code == 422 and "no" in answer.json()["error"]
