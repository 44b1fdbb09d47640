"""``verify`` of the command line: what it says and how it exits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

from plaudit.commands.feedback_exchange import export_judgments
from plaudit.commands.feedback_log import verify
from plaudit.store import append, open_store
from tests.voting import a_judgment


def test_it_says_what_is_wrong_and_where(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = open_store(file)
    head = append(store, [a_judgment("a"), a_judgment("b")])[-1].sha256
    done = _run(str(file), "--head", head)
    assert (done.exit_code, done.output) == (
        0, f"2 judgments, 0 of them erased; head {head}\n",
    )  # fmt: skip
    with store.writing() as connection:
        connection.execute(text("UPDATE judgment SET body = '{}' WHERE seq = 2"))
    done = _run(str(file))
    assert done.exit_code == 1
    assert "judgment 2 (b): its body was changed\n" in done.output
    assert "the log is not as it was written" in done.output


def test_an_artifact_of_a_log_is_one(tmp_path: Path) -> None:
    append(open_store(tmp_path / "judgments.db"), [a_judgment("a")])
    assert _run(str(tmp_path)).output.startswith("1 judgments, 0 of them erased; head ")


def test_no_store_is_made_of_a_wrong_name(tmp_path: Path) -> None:
    named = ("--store", str(tmp_path / "none.db"), "--project", "p")
    written = ("--format", "trl", "--output", str(tmp_path / "out.jsonl"))
    with pytest.raises(ValueError, match=r"no log of judgments; expected a \.db file"):
        _run(str(tmp_path / "none.db"))
    with pytest.raises(ValueError, match=r"no log of judgments; expected a \.db file"):
        _run(*named, *written, command=export_judgments)
    assert list(tmp_path.iterdir()) == []


def _run(*arguments: str, command: Callable[..., None] = verify):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, catch_exceptions=False)
