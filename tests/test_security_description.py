"""The API against its own description: thousands of requests made from it, valid and not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from plaudit.store import tokens, verify
from tests.lead_app import World, api_routes, made_world

OURS = {"session", "people", "items", "data", "boards", "exchange"}
"""Tags of the routes that describe every status they answer with."""


seen: Counter[int] = Counter()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("description")) as made:
        yield made
        assert not verify(made.store).faults


@pytest.fixture(scope="module")
def described(world: World):
    world.app.state.attempts.most = 10**9  # wrong tokens are what this is made of
    own = {"Host": "localhost"}
    return schemathesis.openapi.from_asgi("/api/openapi.json", world.app, headers=own)


@pytest.mark.parametrize("route", api_routes(), ids=" ".join)
def test_every_answer_is_as_described(described, world: World, route: tuple[str, str]) -> None:
    method, path = route
    operation = described[path][method]
    checks = [not_a_server_error, response_schema_conformance]
    if OURS & set(operation.tags or ()):
        checks += [status_code_conformance, content_type_conformance]

    @given(case=operation.as_strategy(), is_here=st.booleans())
    @settings(
        max_examples=12, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def ask(case, is_here: bool) -> None:
        token = tokens.issue(world.store, "api", time.time(), rater=world.ids["lead"])
        if is_here and "project" in case.path_parameters:
            case.path_parameters["project"] = "coffee"
        headers = {"Authorization": f"Bearer {token}", "Host": "localhost"}
        answer = case.call(headers=headers)
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=checks)

    ask()


def test_requests_got_past_the_door() -> None:
    """Answers of all kinds, so that what was checked above was more than refusals."""
    assert {200, 400, 404, 422} <= set(seen) and max(seen) < 500
    assert seen[200] > 20 and sum(seen.values()) > 300
