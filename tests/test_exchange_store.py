"""Judgments into a store and out of it: once each, without names, and with their lineage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

from plaudit.aggregation import giving
from plaudit.aggregation.giving import Making, give_judgments
from plaudit.aggregation.logs import read_standing
from plaudit.aggregation.taking import pseudonym, take_judgments
from plaudit.commands.feedback_exchange import export_judgments, import_judgments
from plaudit.formats import load_demonstrations, load_judged, load_stepped
from plaudit.judgments import Pairwise, Rater
from plaudit.store import (
    Store,
    StoredItem,
    append,
    get_item,
    get_project,
    open_store,
    put_project,
    schema,
    standing,
    verify,
)
from tests import exchange_samples as samples
from tests.exchange_samples import SAMPLES


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path / "log.db")) as opened:
        put_project(opened, "p", "{}")
        yield opened


PEOPLE = ("argilla", "argilla_disk", "argilla_flat", "oasst", "arena", "summaries", "ukp_convarg",
          "hh_red_team", "label_studio_min")  # fmt: skip


def canonical(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def file(tmp_path: Path, rows: list[dict[str, Any]], name: str = "in.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(rows))
    return path


def ukp(*labels: str, pair: str = "x") -> list[dict[str, Any]]:
    return [
        {"id": pair, "turkerid": f"W{i}", "label": label, "a1": f"Yes {pair}", "a2": "No"}
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_added_twice_is_there_once_and_given_back(
    store: Store, tmp_path: Path, name: str
) -> None:
    path = file(tmp_path, SAMPLES[name])
    first = take_judgments(store, "p", path)
    second = take_judgments(store, "p", path)
    assert first.new_judgments == first.judgments == second.judgments > 0
    assert first.new_items == first.items == second.items
    assert (second.new_judgments, second.new_items) == (0, 0)
    assert len(list(standing(store, "p"))) == first.judgments
    assert verify(store).faults == ()
    check_given_back(store, tmp_path, name, first.judgments)


def test_workers_are_hashed_with_the_projects_secret(store: Store, tmp_path: Path) -> None:
    take_judgments(store, "p", file(tmp_path, samples.SUMMARIES))
    (judgment,) = standing(store, "p")
    project = get_project(store, "p")
    assert project is not None
    assert judgment.rater.id == pseudonym(project.secret, "w123")
    assert len(judgment.rater.id) == 16
    assert pseudonym("another", "w123") != judgment.rater.id
    store.close()
    assert b"w123" not in b"".join(p.read_bytes() for p in tmp_path.glob("log.db*"))


def names(store: Store) -> set[str | None]:
    with store.reading() as connection:
        return set(connection.execute(select(schema.rater.c.name)).scalars())


def test_names_are_kept_only_when_asked(store: Store, tmp_path: Path) -> None:
    path = file(tmp_path, samples.LABEL_STUDIO)
    take_judgments(store, "p", path)
    assert names(store) == {None}
    put_project(store, "q", "{}")
    take_judgments(store, "q", path, with_names=True)
    assert names(store) == {None, "Ann Example"}


def test_votes_are_counted_and_items_with_enough_are_closed(store: Store, tmp_path: Path) -> None:
    rows = ukp("a1", "a1", "a2", pair="x") + ukp("a2", pair="y")
    take_judgments(store, "p", file(tmp_path, rows), target_votes=2)
    found = [get_item(store, "p", f"in.json {id}") for id in "xy"]
    assert [(item.votes, item.is_open) for item in found if item] == [(3, False), (1, True)]


def test_tasks_without_judgments_are_items_to_be_judged(store: Store, tmp_path: Path) -> None:
    taken = take_judgments(store, "p", file(tmp_path, samples.LABEL_STUDIO[-1:]), target_votes=3)
    assert (taken.new_items, taken.judgments) == (1, 0)


def check_given_back(store: Store, tmp_path: Path, name: str, judgments: int) -> None:
    given = give_judgments(store, "p", tmp_path / "out.json", format=name)
    assert given.judgments == judgments
    rows = json.loads((tmp_path / "out.json").read_text())
    # Rows about one item stand together, and pseudonyms stand for people.
    keys = sorted(sorted(row) for row in SAMPLES[name])
    assert sorted(sorted(row) for row in rows) == keys
    if not given.losses.get("rater") and name not in PEOPLE:
        assert sorted(map(canonical, rows)) == sorted(map(canonical, SAMPLES[name]))


def test_our_own_lines_carry_a_project_to_another_store(store: Store, tmp_path: Path) -> None:
    take_judgments(store, "p", file(tmp_path, samples.LABEL_STUDIO))
    out = tmp_path / "out.jsonl"
    given = give_judgments(store, "p", out, format="plaudit")
    assert given.losses == {}
    with closing(open_store(tmp_path / "other.db")) as other:
        put_project(other, "p", "{}")
        take_judgments(other, "p", out)
        assert list(standing(other, "p")) == list(standing(store, "p"))


def test_what_was_replaced_goes_out_in_our_own_lines_alone(store: Store, tmp_path: Path) -> None:
    take_judgments(store, "p", file(tmp_path, ukp("a1")))
    (first,) = standing(store, "p")
    update = {"id": "second", "supersedes": first.id, "answer": Pairwise(strength=3), "raw": {}}
    append(store, [first.model_copy(update=update)])
    out = tmp_path / "out.jsonl"
    assert give_judgments(store, "p", out, format="plaudit").judgments == 2
    given = give_judgments(store, "p", tmp_path / "out.json", format="helpsteer2")
    (row,) = json.loads((tmp_path / "out.json").read_text())
    assert (given.judgments, row["preference_strength"]) == (1, 3)
    with closing(open_store(tmp_path / "other.db")) as other:
        put_project(other, "p", "{}")
        take_judgments(other, "p", out)
        (stands,) = standing(other, "p")
        assert stands.id == "second"
        item = get_item(other, "p", stands.item)
        assert item is not None and item.votes == 1


def test_an_export_is_recorded_with_what_it_was_made_of(store: Store, tmp_path: Path) -> None:
    take_judgments(store, "p", file(tmp_path, ukp("a1", "a2")))
    out = tmp_path / "out.jsonl"
    given = give_judgments(store, "p", out, format="trl", targets="soft")
    with store.reading() as connection:
        row = connection.execute(select(schema.export)).one()
    manifest = json.loads(row.manifest)
    assert (row.id, row.last_seq, given.last_seq) == (given.id, 2, 2)
    assert manifest["sha256"] == given.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (manifest["format"], manifest["targets"], manifest["rows"]) == ("trl", "soft", 1)
    assert manifest["raters"] == sorted({j.rater.id for j in standing(store, "p")})


def test_shares_of_votes_become_probabilities_that_the_trainer_reads(
    store: Store, tmp_path: Path
) -> None:
    rows = [*ukp("a1", "a1", "a2", pair="x"), *ukp("a2", "a2", "a2", pair="y")]
    take_judgments(store, "p", file(tmp_path, rows + ukp("a1", "a2", pair="z")))
    for format in ("trl", "judged"):
        out = tmp_path / f"{format}.jsonl"
        making = Making(weighting="information")
        give_judgments(store, "p", out, format=format, targets="majority", making=making)
        found = load_judged(str(out))
        assert len({judged.prompt.content for judged in found}) == 1
        preferences = [p for judged in found for p in judged.preferences]
        assert sum(p.weight for p in preferences) == pytest.approx(3)
        assert len({p.weight for p in preferences}) > 1, "weights go out and come back"
        assert sorted(p.probability for p in preferences) == [0.5, 1.0, 1.0]
    out = tmp_path / "soft.jsonl"
    give_judgments(store, "p", out, format="judged", targets="soft")
    soft = [p.probability for judged in load_judged(str(out)) for p in judged.preferences]
    assert min(soft) < 0.9 and all(0.5 <= p <= 1 for p in soft)


def test_strengths_become_margins_and_marks_come_from_their_scale(
    store: Store, tmp_path: Path
) -> None:
    take_judgments(store, "p", file(tmp_path, samples.HELPSTEER2[:1]))
    out = tmp_path / "pairs.jsonl"
    give_judgments(store, "p", out, format="trl", targets="majority", making=Making(margins=True))
    (judged,) = load_judged(str(out))
    assert judged.preferences[0].margin == 3.0
    put_project(store, "marks", "{}")
    take_judgments(store, "marks", file(tmp_path, samples.MT_BENCH_SINGLE))
    out, making = tmp_path / "marks.jsonl", Making(scale=(1, 10))
    give_judgments(store, "marks", out, format="judged", targets="soft", making=making)
    (judged,) = load_judged(str(out))
    assert judged.ratings[0].value == pytest.approx(8 / 9)


def test_steps_demonstrations_and_marks_go_out_in_their_shapes(
    store: Store, tmp_path: Path
) -> None:
    take_judgments(store, "p", file(tmp_path, samples.TRL[4:]))
    give_judgments(store, "p", tmp_path / "s.jsonl", format="stepwise", targets="majority")
    (stepped,) = load_stepped(str(tmp_path / "s.jsonl"))
    assert stepped.labels == (False, False), "after the first wrong step nothing is right"
    put_project(store, "marks", "{}")
    take_judgments(store, "marks", file(tmp_path, samples.TRL[3:4]))
    give_judgments(store, "marks", tmp_path / "u.jsonl", format="unpaired", targets="soft")
    (judged,) = load_judged(str(tmp_path / "u.jsonl"))
    assert judged.ratings[0].value == 1.0
    put_project(store, "written", "{}")
    row = {"data": {"prompt": "Hi"}, "annotations": [{"completed_by": 1, "result": [
        samples.result("textarea", "response", "prompt", text=["Hello"])]}]}  # fmt: skip
    take_judgments(store, "written", file(tmp_path, [row]))
    out = tmp_path / "d.jsonl"
    give_judgments(store, "written", out, format="demonstrations", targets="soft")
    assert load_demonstrations(str(out))[0].response.content == "Hello"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"project": "none", "format": "trl"}, "project none: not in this store; there are p "),
        ({"format": "nothing"}, "format nothing: not one of judgments; expected plaudit"),
        ({"format": "arena", "targets": "soft"}, "not one of targets; expected trl, judged"),
        ({"format": "trl", "targets": "hard"}, "targets: hard; expected votes"),
        (
            {"format": "trl", "making": Making(margins=True)},
            "margins, weighting and scale are of targets; expected majority or soft",
        ),
        (
            {"format": "trl", "targets": "soft", "making": Making(weighting="loud")},  # pyright: ignore[reportArgumentType]
            "weighting is loud",
        ),
        (
            {"format": "judged", "targets": "soft", "making": Making(scale=(5, 1))},
            "scale: 5 to 1; expected the lowest mark, then the highest",
        ),
        ({"format": "oasst"}, r"nothing can be written as oasst \(judgment \(pairwise\): 2\)"),
    ],
)
def test_an_export_that_cannot_be_is_refused(
    store: Store, tmp_path: Path, how: dict[str, Any], expected: str
) -> None:
    take_judgments(store, "p", file(tmp_path, ukp("a1", "a2")))
    with pytest.raises(ValueError, match=expected):
        give_judgments(store, how.pop("project", "p"), tmp_path / "out.json", **how)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("id", ["Coffee", "a b", "", "../x"])
def test_a_new_project_has_an_id_that_addresses_can_hold(tmp_path: Path, id: str) -> None:
    path = file(tmp_path, ukp("a1"))
    with pytest.raises(ValueError, match="expected lower-case letters, digits, - and _"):
        import_judgments(path, str(tmp_path / "new.db"), id)


def test_an_export_into_no_folder_is_refused_and_not_recorded(store: Store, tmp_path: Path) -> None:
    take_judgments(store, "p", file(tmp_path, ukp("a1")))
    with pytest.raises(ValueError, match=r"nowhere is no directory; make it first"):
        give_judgments(store, "p", tmp_path / "nowhere" / "out.json", format="arena")
    with store.reading() as connection:
        assert connection.execute(select(schema.export)).first() is None


def test_the_commands(store: Store, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command("import")(import_judgments)
    app.command("export")(export_judgments)
    (tmp_path / "map.yaml").write_text("values: {links: -3}\n")
    task = samples.LABEL_STUDIO[1]
    task = task | {"annotations": [task["annotations"][0] | {"result": [
        samples.result("choices", "preference", "prompt", choices=["links"]),
        samples.result("taxonomy", "kind", "prompt", taxonomy=[["x"]])]}]}  # fmt: skip
    where = ["--store", str(tmp_path / "log.db"), "--project", "p"]
    path = str(file(tmp_path, [task]))
    choices = ["--choices", str(tmp_path / "map.yaml")]
    found = CliRunner().invoke(app, ["import", path, *where, *choices])
    assert found.exit_code == 0, found.output
    assert "2 new of 2 judgments, 1 new of 1 items" in found.output
    assert "found, but no part of a judgment: other kind (1)" in found.output
    out = ["--output", str(tmp_path / "out.json")]
    found = CliRunner().invoke(app, ["export", *where, "--format", "arena", *out])
    assert found.exit_code == 0, found.output
    assert "2 rows of 2 judgments, up to number 2 of the log" in found.output
    assert "not in the file: " in found.output and "strength (1)" in found.output


def test_an_export_holds_no_more_than_the_log_did_when_it_began(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_judgments(store, "p", file(tmp_path, ukp("a1")))
    (first,) = standing(store, "p")
    real = giving.items

    def slowly(opened: Store, project: str) -> Iterator[StoredItem]:
        yield from real(opened, project)
        append(store, [first.model_copy(update={"id": "late", "rater": Rater(id="late")})])

    monkeypatch.setattr(giving, "items", slowly)
    given = give_judgments(store, "p", tmp_path / "out.json", format="ukp_convarg")
    assert (given.last_seq, given.judgments) == (1, 1)


def test_a_folder_with_a_log_that_is_in_use_is_read_whole(store: Store, tmp_path: Path) -> None:
    take_judgments(store, "p", file(tmp_path, ukp("a1", "a2")))
    store.close()
    (tmp_path / "log.db").rename(tmp_path / "judgments.db")
    with closing(open_store(tmp_path / "judgments.db")) as used:
        (first, _) = standing(used, "p")
        append(used, [first.model_copy(update={"id": "latest", "rater": Rater(id="r")})])
        assert len(read_standing(str(tmp_path)).judgments) == 3


def test_a_new_store_is_given_the_project_and_no_other_slip_passes(tmp_path: Path) -> None:
    rows, log = file(tmp_path, samples.TRL), tmp_path / "new.db"
    import_judgments(rows, str(log), "cats")
    with closing(open_store(log)) as opened:
        made = get_project(opened, "cats")
        assert made is not None and json.loads(made.config) == {"imported_from": rows.name}
        assert list(standing(opened, "cats"))
    with pytest.raises(ValueError, match="project cast: not in this store; there are cats"):
        import_judgments(rows, str(log), "cast")
    with pytest.raises(ValueError, match="no such file or directory; expected judgments"):
        import_judgments(tmp_path / "none.json", str(tmp_path / "other.db"), "cats")
    assert not (tmp_path / "other.db").exists()
