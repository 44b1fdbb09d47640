"""``plaudit collect``: what it prints, whom it lets in, what it keeps when it is stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from plaudit.feedback.serving import invitation, listen, where_to_sign_in
from plaudit.store import open_store, read, verify
from plaudit.store.people import members
from tests.command import plaudit, the_mistake
from tests.judging import judging, pair

PROJECT = """
id: tea
title: Answers about tea
guidelines: {version: "1", text: Prefer what helps.}
questions: [{kind: pairwise}]
items: [{dataset: items.jsonl}]
overlap: {votes: 1}
"""


def started(folder: Path) -> subprocess.Popen[str]:
    (folder / "items.jsonl").write_text("\n".join(pair(n).model_dump_json() for n in range(3)))
    (folder / "p.yaml").write_text(PROJECT)
    command = [sys.executable, "-m", "plaudit", "collect", "--project", "p.yaml", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def told(process: subprocess.Popen[str], begins: str) -> tuple[str, str]:
    """The address and the token of the line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begins):
            found = re.search(r"(http://[^/]+)/sign-in#(\S+)", line)
            assert found is not None
            return found[1], found[2]
    raise AssertionError(f"it never said {begins}: {process.stderr and process.stderr.read()}")


@pytest.mark.parametrize("name", ["http://tea.example", "tea.example:8700", "tea.example/"])
def test_a_browsers_name_for_the_server_is_a_name_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "p.yaml").write_text(PROJECT)
    words = ("collect", "--project", tmp_path / "p.yaml", "--store", tmp_path / "log.db")
    the_mistake(plaudit(*words, "--host-name", name), name, "expected a name alone")
    assert not (tmp_path / "log.db").exists()


def test_a_lead_signs_in_a_rater_joins_and_what_they_judge_is_kept(tmp_path: Path) -> None:
    process = started(tmp_path)
    try:
        address, lead = told(process, "sign in as lead")
        _, invited = told(process, "invite raters")
        told_roles = [joined(address, lead, "")["role"], joined(address, invited, "Ada")["role"]]
        assert told_roles == ["lead", "rater"]
        with httpx.Client(base_url=address) as rater:
            csrf = rater.post("/api/session", json={"token": invited, "name": "Bo"}).json()["csrf"]
            task = rater.get("/api/projects/tea/next").json()["assignment"]
            body = {
                "id": "j1", "assignment": task["id"],
                "answer": {"kind": "pairwise", "strength": 2},
            }  # fmt: skip
            without = rater.post("/api/projects/tea/judgments", json=body)
            assert without.status_code == 403
            sent = rater.post(
                "/api/projects/tea/judgments", json=body, headers={"X-CSRF-Token": csrf}
            )
            assert sent.json() == {"seq": 1}
    finally:
        process.send_signal(signal.SIGINT)
        _, faults = process.communicate(timeout=30)
    assert process.returncode == 0, faults
    store = open_store(tmp_path / "judgments.db")
    assert [logged.judgment.id for logged in read(store) if logged.judgment] == ["j1"]
    assert not verify(store).faults
    store.close()


def joined(address: str, token: str, name: str) -> dict:
    sent = httpx.post(f"{address}/api/session", json={"token": token, "name": name})
    assert sent.status_code == 200, sent.text
    return sent.json()


def test_only_the_first_start_makes_a_lead_and_an_invite(tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(1)])
    said = [
        list(invitation(judged.store, "tea", "", "127.0.0.1", "http://127.0.0.1:1", (), False))
        for _ in range(2)
    ]
    leads = [found for found in members(judged.store, "tea") if found.role == "lead"]
    assert len(leads) == 1
    assert "/sign-in#" in said[0][1]
    assert "/lead/tea" in said[1][1]
    assert not any("warning" in line for line in said[0] + said[1])


def test_beyond_this_machine_it_warns(tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(1)])
    said = "\n".join(invitation(judged.store, "tea", "Ida", "0.0.0.0", "http://x:1", (), False))
    assert "nothing is encrypted" in said
    assert "--host-name" in said
    behind = invitation(judged.store, "tea", "Ida", "0.0.0.0", "https://x", ("x",), True)
    assert "warning" not in "\n".join(behind)


def test_addresses_are_as_a_browser_writes_them() -> None:
    assert where_to_sign_in("127.0.0.1", 8700, (), False) == "http://127.0.0.1:8700"
    assert where_to_sign_in("::1", 8700, (), False) == "http://[::1]:8700"
    assert where_to_sign_in("0.0.0.0", 8700, ("tea.example",), True) == "https://tea.example"


def test_a_port_that_is_taken_is_said() -> None:
    taken = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(ValueError, match=f"127.0.0.1:{port}.*--port"):
        listen("127.0.0.1", port)
    taken.close()
