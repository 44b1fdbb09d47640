"""What a reward model reads of a rollout: the policy's tokens, or its text in tokens of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np

from plaudit.records import Invalid, Message, Prompt, Rollout, Text
from plaudit.text import Renderer, Tokens, Tree, parse_assistant


class Reading(NamedTuple):
    """Trees whose branches are the rollouts in order, less those that cannot be read."""

    trees: list[Tree]
    invalid: dict[int, Invalid]
    """By the rollout's place."""


def rollout_trees(rollouts: Sequence[Rollout]) -> list[Tree]:
    """Neighbouring rollouts of one prompt as a tree, with label ``old``: the logprobs sampled."""
    trees = []
    for _, same in groupby(rollouts, key=lambda r: id(r.prompt)):
        group = list(same)
        tree = Tree(
            id=group[0].prompt.id,
            prompt_P=group[0].prompt_ids,
            branches=tuple(Tokens(ids=r.ids, mask=r.written) for r in group),
        )
        old = np.concatenate([r.logprobs[r.written] for r in group])
        trees.append(tree.with_token_labels(old=old))
    return trees


def read_tokens(rollouts: Sequence[Rollout]) -> Reading:
    """The policy's own tokens, for a model of the same tokenizer."""
    return Reading(rollout_trees(rollouts), {})


def read_text(
    rollouts: Sequence[Rollout], renderer: Renderer, *, context_tokens: int | None = None
) -> Reading:
    """Prompts and texts rendered by the reward model's own template and tokenizer.

    A response that was cut at its greatest length gets no stop token here either. One that the
    template cannot render, or that is longer than the model's context, is invalid.
    """
    trees, invalid = [], {}
    for _, same in groupby(enumerate(rollouts), key=lambda pair: id(pair[1].prompt)):
        read = []
        for place, rollout in same:
            tree = _tree(rollout, renderer, context_tokens)
            if isinstance(tree, Invalid):
                invalid[place] = tree
            else:
                read.append(tree)
        if read:
            branches = tuple(tree.branches[0] for tree in read)
            trees.append(replace(read[0], branches=branches))
    return Reading(trees, invalid)


def with_rule(prompt: Prompt, rule: str) -> Prompt:
    """The prompt with a rule stated before it, for a model that is asked whether it is kept.

    Plain text gets a first line; a conversation a system message, before any it has.
    """
    stated = f"Rule: {rule}"
    content: Text
    if isinstance(prompt.content, str):
        content = f"{stated}\n{prompt.content}"
    else:
        first, *rest = prompt.content
        has_system = first.role == "system"
        said = f"{stated}\n\n{first.content}" if has_system else stated
        content = (Message(role="system", content=said), *(rest if has_system else prompt.content))
    return prompt.model_copy(update={"content": content})


def under_rule(rollouts: Sequence[Rollout], rule: str) -> list[Rollout]:
    """The rollouts as answers to prompts that state the rule; those of one prompt stay together."""
    stated = {id(r.prompt): with_rule(r.prompt, rule) for r in rollouts}
    return [replace(r, prompt=stated[id(r.prompt)]) for r in rollouts]


def _tree(rollout: Rollout, renderer: Renderer, context_tokens: int | None) -> Tree | Invalid:
    try:
        prompt_P = renderer.prompt(rollout.prompt.content)
        branch = _response(rollout, renderer)
    except ValueError as error:
        return Invalid(reason=f"the reward model cannot read it: {error}")
    if context_tokens and len(prompt_P) + len(branch.ids) > context_tokens:
        return Invalid(reason="longer than the reward model's context")
    return Tree(id=rollout.prompt.id, prompt_P=prompt_P, branches=(branch,))


def _response(rollout: Rollout, renderer: Renderer) -> Tokens:
    tokens = renderer.response(rollout.prompt.content, _content(rollout))
    if rollout.finish_reason == "length" and len(tokens.ids) > 1:
        return Tokens(ids=tokens.ids[:-1], mask=tokens.mask[:-1])
    return tokens


def _content(rollout: Rollout) -> Text:
    if isinstance(rollout.prompt.content, str):
        return rollout.text
    if rollout.messages:
        return rollout.messages
    try:
        return (parse_assistant(rollout.text),)
    except ValueError:  # a broken tool call is read as the text it is
        return (Message(role="assistant", content=rollout.text),)
