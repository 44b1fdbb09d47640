"""What raters would rather not see: they are given none of it, and others are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from plaudit.feedback.assignment.declining import decline_in
from plaudit.feedback.assignment.giving import next_assignment
from plaudit.feedback.projects.setup import set_up_project
from plaudit.judgments import Item, Pairwise
from plaudit.store import Store, Writer, erase_rater, open_store, schema
from plaudit.store.declined import declined_strata
from tests.collecting import filled, given, judge, made, pair, project
from tests.judging import client_of, judging
from tests.judging import pair as judged_pair

pytest_plugins = ("tests.postgres",)

VIOLENCE = "Descriptions of violence"
MAY = {"violence": VIOLENCE, "medical": "Medical pictures in words"}


def mixed(number: int, **options) -> list[Item]:
    """Every other one of violence, which come first."""
    return [
        pair(f"{stratum}{n}", stratum=stratum, priority=int(stratum == "violence"), **options)
        for n in range(number)
        for stratum in ("violence", "calm")
    ]


def decline(store: Store, rater: str, *titles: str) -> None:
    with Writer(store) as writer:
        writer.run(lambda log: decline_in(log, "p", rater, titles, time.time())).result()


def work_off(store: Store, rater: str) -> list[str]:
    had = []
    with Writer(store) as writer:
        while one := next_assignment(store, "p", rater):
            judge(writer, one, rater)
            had.append(one.item.id)
    return had


def test_what_is_declined_is_not_given_and_others_get_it(store_url: str) -> None:
    items = mixed(70)  # so many that the head of the queue holds nothing else
    store = filled(open_store(store_url), project(may_decline=MAY), items, ["ann", "bob"])
    decline(store, "ann", VIOLENCE)
    assert {id.rstrip("0123456789") for id in work_off(store, "ann")} == {"calm"}
    assert len(work_off(store, "bob")) == 140
    assert declined_strata(store, "p", "ann") == ["violence"]
    decline(store, "ann")
    assert len(work_off(store, "ann")) == 70
    store.close()


def test_a_queue_of_ones_own_may_be_declined_too(tmp_path: Path) -> None:
    store = made(tmp_path, project(may_decline=MAY), mixed(2), ["ann"])
    with store.writing() as connection:
        connection.execute(schema.member.update().values(queue="violence"))
    decline(store, "ann", VIOLENCE)
    assert next_assignment(store, "p", "ann") is None


def test_what_is_open_of_it_is_taken_back(tmp_path: Path) -> None:
    once = project(may_decline=MAY, overlap={"votes": 1})
    store = made(tmp_path, once, mixed(1), ["ann", "bob"])
    assert given(store, "ann").item.stratum == "violence"
    assert given(store, "bob").item.stratum == "calm"
    decline(store, "ann", VIOLENCE)
    assert next_assignment(store, "p", "ann") is None
    assert work_off(store, "bob") == ["calm0", "violence0"]


def test_neither_gold_nor_a_repeat_is_of_what_is_declined(tmp_path: Path) -> None:
    gold = [pair("gold", stratum="violence", gold=Pairwise(strength=-2))]
    asking = project(may_decline=MAY, gold={"onboarding": 1}, repeat_rate=0.2, repeat_after=1)
    store = made(tmp_path, asking, [*gold, *mixed(30)], ["ann", "bob"])
    decline(store, "ann", VIOLENCE)
    assert {id.rstrip("0123456789") for id in work_off(store, "ann")} == {"calm"}
    with Writer(store) as writer:
        for _ in range(20):
            judge(writer, given(store, "bob"), "bob")
    decline(store, "bob", VIOLENCE)
    assert {id.rstrip("0123456789") for id in work_off(store, "bob")} == {"calm"}


def test_only_what_the_project_names_may_be_declined(tmp_path: Path) -> None:
    store = made(tmp_path, project(may_decline=MAY), mixed(1), ["ann"])
    with pytest.raises(ValueError, match="'calm' may not be declined; there are Descriptions of"):
        decline(store, "ann", "calm")
    assert declined_strata(store, "p", "ann") == []
    with pytest.raises(ValueError, match="may_decline"):
        project(may_decline={"a": "Same", "b": "Same"})


def test_what_the_project_no_longer_offers_is_given_again(tmp_path: Path) -> None:
    store = made(tmp_path, project(may_decline=MAY), mixed(1), ["ann"])
    decline(store, "ann", *MAY.values())
    set_up_project(store, project(may_decline={"medical": "Medicine"}), Path())
    assert declined_strata(store, "p", "ann") == ["medical"]
    assert next_assignment(store, "p", "ann") is not None
    set_up_project(store, project(), Path())
    assert declined_strata(store, "p", "ann") == []


def test_what_was_declined_is_erased_with_the_rater(tmp_path: Path) -> None:
    store = made(tmp_path, project(may_decline=MAY), mixed(1), ["ann"])
    decline(store, "ann", VIOLENCE)
    erase_rater(store, "ann", "lead")
    assert declined_strata(store, "p", "ann") == []


def test_over_http_no_stratum_is_named(tmp_path: Path) -> None:
    items = [judged_pair(0, stratum="violence", priority=1), judged_pair(1, stratum="calm")]
    client = client_of(judging(tmp_path, items, may_decline=MAY))
    here = "/api/projects/tea"
    open_task = client.get(f"{here}/next").json()["assignment"]["id"]
    client.put(f"{here}/drafts/{open_task}", json={"body": {"rationale": "so far"}})
    mine = client.get(f"{here}/me")
    assert mine.json()["may_decline"][0] == {"title": VIOLENCE, "is_declined": False}
    assert "medical" not in mine.text
    assert client.put(f"{here}/declined", json={"titles": [VIOLENCE]}).status_code == 204
    assert client.get(f"{here}/me").json()["may_decline"][0]["is_declined"]
    following = client.get(f"{here}/next").json()["assignment"]
    assert "number 1?" in following["prompt"]["text"] and following["id"] != open_task
    late = client.put(f"{here}/drafts/{open_task}", json={"body": {}})
    assert late.status_code == 409 and "declined already" in late.json()["error"]
    wrong = client.put(f"{here}/declined", json={"titles": ["tea"]})
    assert wrong.status_code == 422 and "may not be declined" in wrong.json()["error"]
