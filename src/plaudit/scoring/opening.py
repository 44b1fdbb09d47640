"""Reward models from disk, of whatever kind the files beside their weights say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from plaudit.models import (
    Roles,
    SeparateRoles,
    is_scalar_model,
    load_scalar_model,
    model_path,
    stop_ids,
)
from plaudit.models.loading import Precision, context_tokens
from plaudit.records import Invalid, Score
from plaudit.scoring.ensemble import EnsembleScorer, read_ensemble
from plaudit.scoring.process import ProcessScorer, read_process
from plaudit.scoring.protocol import Scorer
from plaudit.scoring.reading import read_text, read_tokens
from plaudit.scoring.reference import read_reference
from plaudit.scoring.reward_model import Read, RewardModelScorer, RuleScorer
from plaudit.text import Renderer, load_tokenizer


class _How(NamedTuple):
    """What all models of one reward are opened with."""

    policy_tokenizer: PreTrainedTokenizerBase
    precision: Precision
    token_budget: int
    device: str
    trust_remote_code: bool
    roles: Roles | None = None
    """Hold the role ``reward`` already, so that no weights need be loaded."""


def open_reward_model(
    name: str,
    *,
    policy_tokenizer: PreTrainedTokenizerBase,
    precision: Precision,
    standardised: bool,
    token_budget: int = 8192,
    device: str = "cpu",
    trust_remote_code: bool = False,
    roles: Roles | None = None,
) -> Scorer:
    """Load a reward model to score a policy's responses with.

    One that shares the policy's tokenizer reads its tokens; any other reads the text, rendered by
    its own chat template. Members of an ensemble are always standardised, or their scores could
    not be compared.

    Args:
        standardised: bring scores to mean 0 and deviation 1 by the model's ``reward.json``.
        roles: where they hold the role ``reward``, that scores; no weights are loaded.

    Raises:
        ValueError: it is no reward model, or has no ``reward.json`` (that can be read) to
            standardise by.
    """
    how = _How(policy_tokenizer, precision, token_budget, device, trust_remote_code, roles)
    ensemble = read_ensemble(Path(model_path(name)))
    if ensemble is None:
        return _open_one(name, how, standardised=standardised)
    assert roles is None, "an ensemble is no adapter"
    members = [
        _open_one(str(Path(model_path(name)) / member), how, standardised=True)
        for member in ensemble.members
    ]
    return EnsembleScorer(members, ensemble.combine, ensemble.variance_coefficient)


def valid_values(scores: Sequence[Score | Invalid]) -> list[float]:
    """The values of scores none of which may be missing.

    Raises:
        ValueError: some are; the message counts them and gives the first reason.
    """
    invalid = [score for score in scores if isinstance(score, Invalid)]
    if invalid:
        raise ValueError(
            f"{len(invalid)} of {len(scores)} responses cannot be scored: {invalid[0].reason}"
        )
    return [score.value for score in scores if isinstance(score, Score)]


def _open_one(name: str, how: _How, *, standardised: bool) -> Scorer:
    if not is_scalar_model(name, trust_remote_code=how.trust_remote_code):
        raise ValueError(
            f"{name}: a language model, not a reward model (train one: plaudit reward)"
        )
    path = Path(model_path(name))
    tokenizer = load_tokenizer(str(path), trust_remote_code=how.trust_remote_code)
    renderer = Renderer(tokenizer, stop_ids(name, tokenizer))
    process = read_process(path)
    reference = read_reference(path, needed=standardised and process is None)
    same_tokens = tokenizer.get_vocab() == how.policy_tokenizer.get_vocab()
    read: Read = read_tokens
    if reference.rules or not same_tokens:
        context = context_tokens(name, trust_remote_code=how.trust_remote_code)
        read = partial(read_text, renderer=renderer, context_tokens=context)
    roles = how.roles or _loaded(name, how, heads=len(reference.heads))
    if process is not None:
        return ProcessScorer(
            roles, process, renderer, read=read, standardised=standardised,
            token_budget=how.token_budget,
        )  # fmt: skip
    # A rule's score is a probability already; its log-odds are not to be moved.
    used = reference if standardised and not reference.rules else reference.raw()
    scorer = RewardModelScorer(roles, reference=used, read=read, token_budget=how.token_budget)
    return RuleScorer(scorer, reference.rules) if reference.rules else scorer


def _loaded(name: str, how: _How, *, heads: int) -> Roles:
    model = load_scalar_model(
        name,
        precision=how.precision,
        seed=0,
        heads=heads,
        device=how.device,
        trust_remote_code=how.trust_remote_code,
    )
    return SeparateRoles({"reward": model}, trained=[])
