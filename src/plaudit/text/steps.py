"""Responses in steps: where each step ends among the tokens.

Steps are found in text as it was sampled, by what separates them, and in the same way in text that
is learned from.

Shapes: N policy tokens of a response, X steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from plaudit.records import Message, Response, SteppedResponse, Text
from plaudit.text.chat import Renderer
from plaudit.text.trees import Tree, response_trees


def step_ends(ids_N: np.ndarray, renderer: Renderer, separator: str) -> np.ndarray:
    """Which tokens end a step: those that complete a separator, and the last one: [X].

    A step is a stretch of text that is not blank. The last step, if no separator follows it, ends
    with the stop token, or, in a response that was cut, with the last token.
    """
    stops = np.flatnonzero(np.isin(ids_N, renderer.stop_ids))
    last = int(stops[0]) if len(stops) else len(ids_N) - 1
    written = ids_N[:last] if len(stops) else ids_N
    pieces = [str(renderer.tokenizer.decode([int(i)])) for i in written]
    reached_N = np.cumsum([len(piece) for piece in pieces])
    *closed, rest = "".join(pieces).split(separator)
    ends, at = [], 0
    for step in closed:
        at += len(step) + len(separator)
        if step.strip():
            ends.append(int(np.searchsorted(reached_N, at)))
    if rest.strip():
        ends.append(last)
    return np.array(ends, np.int64)


def stepped_trees(
    stepped: Sequence[SteppedResponse], renderer: Renderer, separator: str
) -> Iterator[Tree]:
    """Responses in steps as trees of one branch.

    Token labels: ``right``, at the end of a step its label (or its probability), and ``step_end``,
    1 there and 0 elsewhere.

    Raises:
        ValueError: a step is blank or holds the separator, or the tokens do not keep steps apart.
    """
    for one in stepped:
        _check_steps(one, separator)
    rows = [(one.prompt, [Response(content=_joined(one, separator))]) for one in stepped]
    for one, tree in zip(stepped, response_trees(rows, renderer), strict=True):
        yield _labelled(one, tree, renderer, separator)


def _check_steps(stepped: SteppedResponse, separator: str) -> None:
    for number, step in enumerate(stepped.steps, start=1):
        if separator in step or not step.strip():
            problem = f"holds the separator {separator!r}" if step.strip() else "is blank"
            raise ValueError(
                f"{stepped.prompt.id}: step {number} {problem}; choose another step_separator, or "
                "mend the step"
            )


def _labelled(stepped: SteppedResponse, tree: Tree, renderer: Renderer, separator: str) -> Tree:
    ids_N = tree.branches[0].ids[tree.branches[0].mask]
    ends_X = step_ends(ids_N, renderer, separator)
    if len(np.unique(ends_X)) != len(stepped.steps):
        raise ValueError(
            f"{stepped.prompt.id}: {len(stepped.steps)} steps, but {len(np.unique(ends_X))} tokens "
            "end one; choose another step_separator"
        )
    right_N, end_N = np.zeros((2, len(ids_N)), np.float32)
    right_N[ends_X] = stepped.probabilities or stepped.labels
    end_N[ends_X] = 1.0
    return tree.with_token_labels(right=right_N, step_end=end_N)


def _joined(stepped: SteppedResponse, separator: str) -> Text:
    text = separator.join(stepped.steps)
    if isinstance(stepped.prompt.content, str):
        return text
    return (Message(role="assistant", content=text),)
