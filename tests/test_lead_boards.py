"""What leads see: agreement, raters, cost; against planted raters and plain counts."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from plaudit.aggregation.agreement import agreement_of
from plaudit.feedback.leads.dashboards_cost import cost_board
from plaudit.feedback.leads.suspension import suspend_doubtful
from plaudit.feedback.projects.suspension_rule import SuspensionRule
from plaudit.statistics.patterns import patterns
from plaudit.store import add_items, events, people, put_project, standing
from tests.collecting import made, project
from tests.collecting import pair as pair_of
from tests.lead_app import CONFIG, World, made_world
from tests.lead_votes import RATERS, filled, names_of, one_vote, pair

P = "/api/projects/coffee"
NO_BOARDS = {"boards": [], "is_whole": True}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, str]]]:
    with made_world(tmp_path_factory.mktemp("boards")) as world:
        config = CONFIG | {"price_per_vote": 0.1, "currency": "EUR", "overlap": {"votes": 3}}
        put_project(world.store, "coffee", json.dumps(config))
        yield world, filled(world.store, "coffee")


def board(world: World, name: str) -> dict:
    answer = world.api("lead").get(f"{P}/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def raters(world: World) -> dict[str, dict]:
    return {row["name"]: row for row in board(world, "raters")["raters"]}


def alpha_by_hand(units: list[list[int]]) -> float:
    """Krippendorff's nominal alpha from pairs, as its definition says."""
    units = [labels for labels in units if len(labels) > 1]
    observed = sum(
        sum(a != b for a, b in itertools.permutations(labels, 2)) / (len(labels) - 1)
        for labels in units
    )
    totals = Counter(label for labels in units for label in labels)
    n = sum(totals.values())
    expected = sum(totals[a] * totals[b] for a, b in itertools.permutations(totals, 2))
    return 1 - (n - 1) * observed / expected


def test_alpha_is_that_of_the_definition(found) -> None:
    world, _ = found
    units: dict[str, list[int]] = {}
    for judgment in standing(world.store, "coffee"):
        units.setdefault(judgment.item, []).append(int(np.sign(judgment.answer.strength)))
    (which,) = [b for b in board(world, "agreement")["boards"] if b["reading"] == "which is better"]
    assert which["overall"]["alpha"]["point"] == pytest.approx(alpha_by_hand([*units.values()]))
    assert which["overall"]["units"] == len(units)
    low, point, high = (which["overall"]["alpha"][end] for end in ("low", "point", "high"))
    assert low < point < high and high - low < 0.3


def test_agreement_is_shown_by_question_criterion_stratum_and_day(found) -> None:
    world, _ = found
    boards = {(b["criterion"], b["reading"]): b for b in board(world, "agreement")["boards"]}
    assert set(boards) == {("", "which is better"), ("", "how strongly"), ("style", "marks")}
    which = boards["", "which is better"]
    assert [part["name"] for part in which["by_stratum"]] == ["chat", "code", "safety"]
    assert sum(p["agreement"]["units"] for p in which["by_stratum"]) == which["overall"]["units"]
    assert 10 <= len(which["over_time"]) <= 12
    assert sum(p["agreement"]["votes"] for p in which["over_time"]) == which["overall"]["votes"]
    noise = boards["style", "marks"]["overall"]["alpha"]
    assert noise["low"] < 0 < noise["high"], "marks drawn by lot agree no more than chance"


def test_the_left_clicker_and_the_coin_are_flagged_and_nobody_else(found) -> None:
    world, _ = found
    rows = raters(world)
    flagged = {name for name in RATERS if rows[name]["reasons"]}
    assert flagged == {"Lefty", "Coin"}
    assert "left" in rows["Lefty"]["reasons"] and "fast" in rows["Lefty"]["notes"]
    assert rows["Lefty"]["left"]["interval"]["point"] == 1 and rows["Lefty"]["left_p"] < 1e-10
    assert rows["Ann"]["skill"] > 0.8 > 0.65 > rows["Coin"]["skill"]


def test_counts_of_a_rater_are_those_of_the_log(found) -> None:
    world, ids = found
    mine = [j for j in standing(world.store, "coffee") if j.rater.id == ids["Ann"]]
    row = raters(world)["Ann"]
    decided = [j for j in mine if j.answer.strength]
    took_left = sum(j.shown[0] == (j.answer.strength > 0) for j in decided)
    assert row["judgments"] == len(mine) and row["skips"] == 0
    assert row["left"]["times"] == took_left and row["left"]["of"] == len(decided)
    assert row["ties"]["times"] == len(mine) - len(decided)
    gold = [j for j in mine if j.is_gold]
    assert row["gold"]["of"] == len(gold) == 20
    seconds = float(np.median([j.active_seconds for j in mine]))
    assert row["median_seconds"] == pytest.approx(seconds, rel=0.12)


def test_gold_accuracy_has_its_wilson_interval(found) -> None:
    world, _ = found
    gold = raters(world)["Ben"]["gold"]
    z, n, p = 1.959964, gold["of"], gold["times"] / gold["of"]
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert gold["interval"]["low"] == pytest.approx(middle - half, abs=1e-6)
    assert gold["interval"]["high"] == pytest.approx(middle + half, abs=1e-6)


def test_a_suspended_rater_is_left_out_of_agreement_and_comes_back(found) -> None:
    world, ids = found
    lead, path = world.api("lead"), f"{P}/members/{ids['Coin']}/suspension"
    before = board(world, "agreement")
    assert lead.post(path, json={"reason": "tosses a coin"}).status_code == 200
    without = board(world, "agreement")
    assert without["boards"][0]["overall"]["votes"] < before["boards"][0]["overall"]["votes"]
    alpha = without["boards"][0]["overall"]["alpha"]["point"]
    assert alpha > before["boards"][0]["overall"]["alpha"]["point"]
    assert raters(world)["Coin"]["suspended_at"]
    assert lead.delete(path).status_code == 200
    assert board(world, "agreement") == before
    happened = lead.get(f"{P}/events").json()[:2]
    assert [event["kind"] for event in happened] == ["resumed", "suspended"]
    assert happened[1]["detail"] == {"rater": ids["Coin"], "reason": "tosses a coin"}


def test_cost_and_pace(found) -> None:
    world, _ = found
    cost = board(world, "cost")
    votes = sum(1 for _ in standing(world.store, "coffee"))
    assert cost["votes"] == votes and cost["spent"] == pytest.approx(0.1 * votes)
    assert cost["items"] == 203 and cost["currency"] == "EUR"
    assert sum(day["records"] for day in cost["by_day"]) == votes and len(cost["by_day"]) == 30
    assert cost["records_per_day"] == pytest.approx(votes / 7)
    assert cost["finishes_at"] == pytest.approx(
        time.time() + 86400 * cost["votes_left"] / cost["records_per_day"], abs=60
    )


def test_the_other_project_s_votes_are_not_counted(found) -> None:
    world, _ = found
    outsider = world.api("outsider")
    assert outsider.get("/api/projects/tea/agreement").json() == NO_BOARDS
    cost = outsider.get("/api/projects/tea/cost").json()
    assert cost["votes"] == cost["votes_left"] == cost["days_left"] == 0
    assert sum(day["records"] for day in cost["by_day"]) == 0


def test_a_board_is_made_once_until_something_changes(found, monkeypatch) -> None:
    world, ids = found
    board(world, "raters")
    made = []
    from plaudit.feedback.leads import board_routes as routes

    real = routes.rater_board
    monkeypatch.setattr(routes, "rater_board", lambda *a: made.append(1) or real(*a))
    board(world, "raters")
    board(world, "raters")
    assert not made
    people.rename(world.store, ids["Ann"], "Anna")
    board(world, "raters")
    assert made == [1]
    people.rename(world.store, ids["Ann"], "Ann")


def test_a_board_that_is_behind_says_so_and_is_not_kept(tmp_path, monkeypatch) -> None:
    with made_world(tmp_path) as world:
        world.app.state.writer.close()  # which would bring the tallies up to date
        item = pair(1)
        add_items(world.store, "coffee", [item], 2)
        for rater in ("lead", "rater"):
            one_vote(world.store, item, "coffee", world.ids[rater], 1)
        names = ("agreement", "raters", "cost", "items")
        with monkeypatch.context() as hurried:
            for module in ("dashboards", "dashboards_raters", "dashboards_cost", "item_routes"):
                hurried.setattr(f"plaudit.feedback.leads.{module}.PATIENCE_SECONDS", 0.0)
            behind = {name: board(world, name) for name in names}
        assert {found["is_whole"] for found in behind.values()} == {False}
        assert not any(row["judgments"] for row in behind["raters"]["raters"])
        # As if ten times what each of them took to make had passed.
        monkeypatch.setattr("plaudit.feedback.leads.board_routes.KEPT_TIMES", 0)
        assert [board(world, name)["is_whole"] for name in names] == [True] * 4
        assert sum(row["judgments"] for row in board(world, "raters")["raters"]) == 2


@pytest.mark.parametrize(
    ("counts", "why"),
    [([[1, 0], [0, 1]], "Nothing has two votes"), ([[2, 0]] * 5, "Fewer than 10"),
     ([[2, 0]] * 20, "All votes are alike"),
     ([[2, 0]] * 29 + [[1, 1]], "Nearly all votes are alike")],
)  # fmt: skip
def test_where_there_is_no_alpha_it_says_why(counts, why: str) -> None:
    said = agreement_of(patterns(counts), "nominal", [0.0, 1.0], 100)
    assert said.alpha is None and said.why.startswith(why)


def test_empty_projects_have_boards(tmp_path) -> None:
    with made_world(tmp_path) as world:
        assert board(world, "agreement") == NO_BOARDS
        assert board(world, "cost")["votes"] == 0
        assert {row["judgments"] for row in board(world, "raters")["raters"]} == {0}


def test_items_come_by_disagreement(tmp_path) -> None:
    with made_world(tmp_path) as world:
        items = [pair(n) for n in range(3)]
        add_items(world.store, "coffee", items, 2)
        for item, strengths in zip(items, [(1, 1), (2, -2), (1, 0)], strict=True):
            for rater, strength in zip(("lead", "rater"), strengths, strict=True):
                one_vote(world.store, item, "coffee", world.ids[rater], strength)
        page = world.api("adjudicator").get(f"{P}/items").json()
        assert [row["id"] for row in page["items"]] == ["pair-0001", "pair-0002"]
        assert page["items"][0]["disagreement"] == 1.0
        some = world.api("adjudicator").get(f"{P}/items?sort=number&limit=2&offset=3").json()
        assert [row["id"] for row in some["items"]] == ["pair-0000", "pair-0001"]
        assert [row["disagreement"] for row in some["items"]] == [0, 1] and some["has_more"]


def test_flagged_names_are_of_this_project(found) -> None:
    world, ids = found
    rows = board(world, "raters")["raters"]
    assert set(names_of(ids, [row["rater"] for row in rows if row["judgments"]])) == set(RATERS)


def test_the_rule_of_a_project_suspends_who_fails_gold_and_a_lead_is_above_it(tmp_path) -> None:
    with made_world(tmp_path) as world:
        ids = filled(world.store, "coffee", items=40, gold=30)
        rule = SuspensionRule(gold_accuracy=0.7, certainty=0.9)
        caught = suspend_doubtful(world.store, "coffee", rule, time.time())
        assert caught and set(names_of(ids, caught)) <= {"Lefty", "Coin"}
        assert not suspend_doubtful(world.store, "coffee", rule, time.time())
        for rater in caught:
            people.resume(world.store, "coffee", rater, world.ids["lead"])
        assert not suspend_doubtful(world.store, "coffee", rule, time.time())


def test_the_rule_is_applied_while_raters_work(tmp_path) -> None:
    with made_world(tmp_path) as world:
        config = CONFIG | {"suspension": {"certainty": 0.9}}
        put_project(world.store, "coffee", json.dumps(config))
        ids = filled(world.store, "coffee", items=40, gold=30)
        world.api("rater").get(f"{P}/me")
        deadline = time.time() + 10
        while not people.get_member(world.store, "coffee", ids["Coin"]).suspended_at:
            assert time.time() < deadline
            time.sleep(0.05)
        (*_, event) = events(world.store, "coffee", "suspended")
        assert event.rater == "rule" and "gold items right" in event.detail["reason"]


def test_what_is_left_to_do_goes_by_the_stratum(tmp_path: Path) -> None:
    config = project(overlap={"votes": 1, "by_stratum": {"hard": 5}})
    store = made(tmp_path, config, [pair_of("a", stratum="hard"), pair_of("b")])
    assert cost_board(store, config).votes_left == 6
