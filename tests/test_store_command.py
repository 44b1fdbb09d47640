"""``verify`` of the command line: what it says and how it exits."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

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


def test_it_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        _run(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def _run(*arguments: str):
    app = typer.Typer()
    app.command()(verify)
    return CliRunner().invoke(app, arguments, catch_exceptions=False)
