"""What Argilla's questions hold, in the three shapes its records come in.

A ranking is safe only as the server writes it, ``[{"value": "response1", "rank": 1}, ...]``. The
SDK writes the options' names alone and never reads ``rank``, so ties and order are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.formats.exchange.controls import Control, Heard, bare, hear, refuse_bare
from plaudit.formats.exchange.entries import Reading
from plaudit.formats.exchange.fields import place_in_name
from plaudit.formats.files import Row
from plaudit.formats.messages import shown

RANKS = '[{"value": "response1", "rank": 1}, ...], as the server has it'
VALUE = "a ranking with ranks, a rating, a label, labels or a text"


def read_values(
    row: Row, values: Mapping[str, Any], places: Mapping[str, int], reading: Reading
) -> Heard:
    """The judgment that the values of a response, by question, come to.

    Raises:
        ValueError: a value is of no known type, or a ranking has lost its ranks.
    """
    controls = [_control(row, name, v, places, reading) for name, v in sorted(values.items())]
    heard = hear(row, controls, len(places), reading.choices)
    if not reading.question_types:
        refuse_bare(row, heard, controls, "settings.json beside the records, which says it")
    return heard


def _control(
    row: Row, name: str, value: Any, places: Mapping[str, int], reading: Reading
) -> Control:
    kind = reading.question_types.get(name, "")
    match value:
        case [{"rank": _}, *_]:
            return Control(name=name, kind="ranking", value=_ranks(row, name, value, places))
        case [str(), *_] if kind == "ranking" or (not kind and _names_all(value, places)):
            return _order(row, name, value, places, reading)
        case [str(), *_]:
            return Control(name=name, kind="choice", value=value)
        case bool() | None:
            pass
        case int():
            return Control(name=name, kind="rating", value=value)
        case str() if kind == "text":
            return Control(name=name, kind="text", value=value)
        case str() if kind == "label_selection":
            return Control(name=name, kind="choice", value=[value])
        case str():
            return bare(name, value, reading.choices)
        case list():
            return Control(name=name, kind="other", value=value)
    row.fail(f"{name} has the value {shown(value)}", VALUE)


def _order(
    row: Row, name: str, value: Sequence[str], places: Mapping[str, int], reading: Reading
) -> Control:
    if not reading.trust_order:
        row.fail(
            f"{name} is a ranking without ranks, which the SDK writes in the order of the options",
            f"{RANKS}; --trust-order takes the order for the ranks",
        )
    listed = [{"value": one, "rank": rank} for rank, one in enumerate(value, start=1)]
    return Control(name=name, kind="ranking", value=_ranks(row, name, listed, places))


def _ranks(
    row: Row, name: str, value: Sequence[Any], places: Mapping[str, int]
) -> list[int | None]:
    ranks: list[int | None] = [None] * len(places)
    for one in value:
        match one:
            case {"value": str(option), "rank": int(rank)} if rank >= 1:
                place = _place(option, places)
                if place is None:
                    row.fail(f"{name} ranks {option!r}", f"one of {', '.join(places)}")
                ranks[place] = rank
            case {"value": str(), "rank": None}:
                pass
            case _:
                row.fail(f"{name} has the rank {shown(one)}", RANKS)
    return ranks


def _place(option: str, places: Mapping[str, int]) -> int | None:
    """The candidate an option stands for: its field, or the number at its end."""
    numbered = int(option) - 1 if option.isdecimal() else place_in_name(option)[1]
    found = places.get(option, numbered)
    return found if found is not None and 0 <= found < len(places) else None


def _names_all(value: Sequence[str], places: Mapping[str, int]) -> bool:
    found = {_place(option, places) for option in value}
    return len(value) > 1 and None not in found and len(found) == len(places)


def written_value(control: Control) -> Any:
    """A control's answer as the server has it; None for what no question of Argilla's can hold."""
    match control.kind, control.value:
        case "pairwise", side:
            ranks = (1, 2) if side == "left" else (2, 1)
            return _written_ranks(ranks)
        case "ranking", ranks:
            return _written_ranks(ranks)
        case "rating", value if float(value).is_integer():
            return int(value)
        case "choice", labels if control.name == "flags":
            return labels
        case "choice", [label]:
            return label
        case "text", text:
            return text
    return None


def _written_ranks(ranks: Sequence[int]) -> list[dict[str, Any]]:
    return [{"value": f"answer{i + 1}", "rank": rank} for i, rank in enumerate(ranks)]
