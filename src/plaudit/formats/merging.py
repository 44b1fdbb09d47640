"""One record a prompt: what several rows say of it, brought together.

A prompt stands once in a tree, whatever the number of its responses, so rows that repeat it are
merged before anything is learned from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plaudit.records import Judged, Preference, Prompt, Rating, Response, Text


def merge(judged: Iterable[Judged]) -> list[Judged]:
    """One ``Judged`` for each prompt, with its distinct responses and all that was said of them.

    The first row of a prompt gives its id; of further columns those stay on which all its rows
    agree. Responses keep the order in which they appear.
    Ratings of one response become their mean, weighted by their number. A prompt that was rated
    but never compared gets a preference for each response rated good over each rated bad.
    """
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(canonical(one.prompt.content), []).append(one)
    return [_merged(group) for group in groups.values()]


def says_something(judged: Judged) -> bool:
    """False for a comparison whose two sides are the same text, which teaches nothing."""
    contents = [response.content for response in judged.responses]
    differ = any(contents[p.better] != contents[p.worse] for p in judged.preferences)
    return differ or bool(judged.ratings)


def canonical(content: Text) -> str:
    """A key that two contents share exactly when they are equal."""
    if isinstance(content, str):
        return f"text {content}"
    return "\n".join(message.model_dump_json() for message in content)


def _merged(group: Sequence[Judged]) -> Judged:
    responses: list[Response] = []
    preferences: list[Preference] = []
    ratings: list[Rating] = []
    numbers: dict[str, int] = {}
    for judged in group:
        at: list[int] = []
        for response in judged.responses:
            at.append(numbers.setdefault(canonical(response.content), len(numbers)))
            if at[-1] == len(responses):
                responses.append(response)
        for p in judged.preferences:
            if at[p.better] != at[p.worse]:
                places = {"better": at[p.better], "worse": at[p.worse]}
                preferences.append(p.model_copy(update=places))
        ratings += [r.model_copy(update={"response": at[r.response]}) for r in judged.ratings]
    means = _means(ratings)
    return Judged(
        prompt=_agreed([judged.prompt for judged in group]),
        responses=tuple(responses),
        preferences=tuple(preferences or _good_over_bad(means)),
        ratings=tuple(means),
    )


def _agreed(prompts: Sequence[Prompt]) -> Prompt:
    first, *others = prompts
    columns = {
        key: value
        for key, value in first.columns.items()
        if all(key in other.columns and other.columns[key] == value for other in others)
    }
    return first.model_copy(update={"columns": columns})


def _means(ratings: Sequence[Rating]) -> list[Rating]:
    """One rating a response: the mean, with the weights added up."""
    total: dict[int, float] = {}
    weight: dict[int, float] = {}
    for r in ratings:
        total[r.response] = total.get(r.response, 0.0) + r.weight * r.value
        weight[r.response] = weight.get(r.response, 0.0) + r.weight
    return [Rating(response=i, value=total[i] / weight[i], weight=weight[i]) for i in sorted(total)]


def _good_over_bad(ratings: Sequence[Rating]) -> list[Preference]:
    return [
        Preference(better=good.response, worse=bad.response)
        for good in ratings
        for bad in ratings
        if good.value > 0.5 > bad.value
    ]
