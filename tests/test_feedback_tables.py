"""What the command line says of a log: agreement, the consensus on steps and labels, raters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from plaudit.aggregation import ADJUDICATED
from plaudit.aggregation.panels import agreements, rater_pairs
from plaudit.cli import app
from plaudit.feedback.leads.dashboards import agreement_board
from plaudit.feedback.projects.project import Project
from plaudit.judgments import Item, Judgment, Labelled, Pairwise, Rated, Rater, Stepped
from plaudit.store import Store, add_items, append, items, open_store, put_project, standing
from tests.judging import item, judgment, prefers
from tests.lead_app import CONFIG
from tests.lead_votes import filled


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["feedback", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def logged(path: Path, asked: Sequence[Item], said: Sequence[Judgment]) -> str:
    store = open_store(path / "log.db")
    put_project(store, "p", json.dumps({}))
    add_items(store, "p", asked, 1)
    append(store, said)
    store.close()
    return str(path / "log.db")


@pytest.fixture(scope="module")
def coffee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str]]:
    file = tmp_path_factory.mktemp("coffee") / "log.db"
    store = open_store(file)
    put_project(store, "coffee", json.dumps(CONFIG))
    filled(store, "coffee")
    yield store, str(file)
    store.close()


def test_a_log_says_what_the_dashboard_says(coffee: tuple[Store, str]) -> None:
    store, _ = coffee
    boards = agreement_board(store, Project.model_validate(CONFIG)).boards
    asked = [stored.item for stored in items(store, "coffee")]
    said = list(standing(store, "coffee"))
    found = {(a.of.criterion, a.reading): a for a in agreements(asked, said)}
    assert len(found) == len(boards) == 3
    parts = {
        (a.of.criterion, a.reading, a.of.stratum): a.agreement
        for a in agreements(asked, said, by_stratum=True)
    }
    for board in boards:
        agreed = found[board.criterion, board.reading]
        assert agreed.agreement == board.overall
        for part in board.by_stratum:
            here, there = parts[board.criterion, board.reading, part.name], part.agreement
            assert (here.units, here.votes, here.same) == (there.units, there.votes, there.same)
            assert here.alpha is not None and there.alpha is not None
            assert here.alpha.point == there.alpha.point
        assert agreed.halves is not None and 0 < agreed.halves < 1
    assert len(parts) == 9


def test_agreement_is_a_table(coffee: tuple[Store, str]) -> None:
    _, log = coffee
    lines = shown("agreement", log).splitlines()
    assert "coffee" in lines[0] and "stratum" not in lines[1] and "panel" not in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["overall"] * 3
    assert shown("agreement", log, "--by", "stratum").count("safety") == 3
    cut = shown("agreement", log, "--by", "raters", "--rows", "2")
    assert "kappa" in cut and "and 13 more (--rows)" in cut
    wrong = CliRunner().invoke(app, ["feedback", "agreement", log, "--by", "day"])
    assert "expected stratum or raters" in str(wrong.exception)


def test_machines_are_a_panel_and_what_settles_is_none() -> None:
    asked = [item(str(n)) for n in range(12)]
    machine = Rater(id="judge", kind="judge", version="m@1")
    said = [prefers(one, rater, 1) for one in asked for rater in ("ann", "ben")]
    said += [prefers(one, "cyd", -1).model_copy(update={"rater": machine}) for one in asked]
    said += [prefers(one, "lead", -1, flags=(ADJUDICATED,)) for one in asked]
    found = {(agreed.of.panel, agreed.reading): agreed for agreed in agreements(asked, said)}
    assert set(found) == {("people", "which is better"), ("machines", "which is better")}
    people = found["people", "which is better"].agreement
    assert people.units == 12 and people.same == 1 and "alike" in people.why
    assert found["machines", "which is better"].halves is None
    (two, *others) = rater_pairs(said)
    assert two.raters == ("ann", "ben") and two.same == 1 and np.isnan(two.kappa)
    assert {pair.same for pair in others} == {0.0} and len(others) == 2


def test_two_raters_as_the_definition_says() -> None:
    """Linear in the cells: 20 marks of two raters on three steps, by the quadratic weights."""
    draw = np.random.default_rng(0)
    a_N, b_N = draw.integers(1, 4, 20), draw.integers(1, 4, 20)
    asked = [item(str(n), "x") for n in range(20)]
    said = [
        judgment(one, rater, Rated(values=(float(mark),)))
        for rater, marks_N in (("a", a_N), ("b", b_N))
        for one, mark in zip(asked, marks_N, strict=True)
    ]
    (pair,) = rater_pairs(said)
    seen = ((a_N - b_N) ** 2).mean()
    by_chance = ((a_N[:, None] - b_N) ** 2).mean()
    assert pair.kappa == pytest.approx(1 - seen / by_chance)
    assert pair.shared == 20 and pair.same == (a_N == b_N).mean()


def test_consensus_on_steps_and_labels(tmp_path: Path) -> None:
    stepped = item("proof", "x", steps=("a", "b"))
    kind = [item(f"mail-{n}", "x", question="kind") for n in range(3)]
    said = [
        judgment(stepped, rater, Stepped(labels=("right", label)))
        for rater, label in zip("rst", ("wrong", "wrong", "right"), strict=True)
    ]
    said += [judgment(one, rater, Labelled(label="ham")) for one in kind[:2] for rater in "rst"]
    said += [judgment(kind[2], rater, Labelled(label="[red]spam[/]")) for rater in "rs"]
    log = logged(tmp_path, [stepped, *kind], said)
    lines = shown("consensus", log, "--method", "share").splitlines()
    assert lines[0] == "p: 6 votes of 3 raters on 2 steps, by share"
    assert lines[2].split() == ["proof", "1", "3", "wrong", "0.667"]
    assert lines[3].split() == ["proof", "0", "3", "right", "1.000"]
    assert lines[4] == "p: 8 votes of 3 raters on 3 labelled items, by share"
    assert lines[-1].split() == ["mail-2", "2", "[red]spam[/]", "1.000"]
    for method in ("mace", "glad", "weighted", "dawid_skene"):
        assert f"by {method}" in shown("consensus", log, "--method", method)


def test_one_label_so_far_is_no_fault(tmp_path: Path) -> None:
    pair, mail = item("pair"), item("mail", "x", question="kind")
    said = [prefers(pair, rater, 1) for rater in "rs"]
    said += [judgment(mail, rater, Labelled(label="ham")) for rater in "rs"]
    found = shown("consensus", logged(tmp_path, [pair, mail], said))
    assert "on 1 pairs" in found and "2 votes of 2 raters on 1 labelled items" in found


def test_a_log_of_nothing_to_compare_says_so(tmp_path: Path) -> None:
    log = logged(tmp_path, [item("a")], [])
    for command, what in (("agreement", "nothing to compare"), ("consensus", "no comparisons")):
        result = CliRunner().invoke(app, ["feedback", command, log])
        assert what in str(result.exception)
    assert "0 raters" in shown("raters", log)


def test_consensus_on_pairs_is_by_the_method_asked(tmp_path: Path) -> None:
    asked = [item(str(n)) for n in range(6)]
    said = [judgment(one, rater, Pairwise(strength=-2)) for one in asked for rater in "rs"]
    log = logged(tmp_path, asked, said)
    for method in ("auto", "glad", "mace", "weighted"):
        lines = shown("consensus", log, "--method", method, "--rows", "2").splitlines()
        assert len(lines) == 4, lines
        assert lines[0].startswith("p: 12 votes of 2 raters on 6 pairs")
        assert lines[2].split()[3:5] == ["2", "0"]
