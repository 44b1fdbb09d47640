"""Judgments out of a store into files: as they are, or as training targets.

Every export is recorded with its file's hash and the log's last judgment, so that what learned from
it can be traced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from plaudit.aggregation.consensus import Method
from plaudit.aggregation.ratings import Scale
from plaudit.aggregation.scales import scale_of_marks, scales_of, shown_scales
from plaudit.aggregation.targets import Weighting
from plaudit.aggregation.targets import targets as made_targets
from plaudit.formats.exchange import EXCHANGE_FORMATS, Entry, save_rows, write_exchange
from plaudit.formats.exchange.training import Shape, training_rows
from plaudit.judgments import Item, Judgment
from plaudit.provenance import hash_file
from plaudit.store import Store, expect_project, items, read, record_export, standing
from plaudit.store.log import chain_head

Targets = Literal["votes", "majority", "soft"]
"""``votes``: the judgments themselves; ``majority``: of each comparison what most said; ``soft``:
the probability that a consensus gives it."""
_METHODS: dict[Targets, Method] = {"majority": "majority", "soft": "auto"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """How targets are made of judgments (see ``plaudit.aggregation.targets``)."""

    weighting: Weighting = "even"
    margins: bool = False
    """Give each preference the mean strength of its votes as its margin."""
    scale: Scale | None = None
    """The lowest and the highest mark that could be given; None for those of the project's own
    questions, and 0 to 1 where it has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What an export wrote."""

    id: str
    """Of the export, in the store."""
    rows: int
    judgments: int
    losses: Mapping[str, int]
    """What the rows do not say, by name."""
    sha256: str
    last_seq: int


def give_judgments(
    store: Store,
    project: str,
    path: Path,
    *,
    format: str,
    targets: Targets = "votes",
    making: Making | None = None,
) -> Given:
    """Write what stands in a project to a file, and record that it went out.

    Plaudit's own lines hold all that is in the log: what was superseded or withdrawn, and
    suspended raters. Everything else holds what stands.

    Raises:
        ValueError: there is no such project or format, nothing in it can be said so, or ``making``
            is given for votes, of which nothing is made.
    """
    config = expect_project(store, project).config
    _check_format(format, targets, making)
    with store.reading() as connection:
        last_seq = chain_head(connection).seq
    asked = [stored.item for stored in items(store, project)]
    found = list(_judgments(store, project, last_seq, whole=format == "plaudit"))
    judgments = len(found)
    if targets == "votes":
        rows = write_exchange(
            _grouped(asked, found, shown_scales(found) | scales_of(config)), format
        )
        values, judgments, losses = rows.values, rows.judgments, rows.losses
    else:
        making = _on_scale(making or Making(), config)
        values, losses = _target_rows(asked, found, targets, format, making)
    if not values:
        lost = ", ".join(f"{name}: {n}" for name, n in losses.items()) or "no judgments"
        raise ValueError(f"project {project}: nothing can be written as {format} ({lost})")
    save_rows(path, values)
    manifest = {
        "format": format, "targets": targets, "file": path.name, "sha256": hash_file(path),
        "rows": len(values), "judgments": judgments, "losses": losses,
        "raters": sorted({judgment.rater.id for judgment in found}),
        "making": None if making is None else asdict(making),
    }  # fmt: skip
    id = record_export(store, project, last_seq, manifest)
    return Given(
        id=id, rows=len(values), judgments=judgments, losses=losses, sha256=manifest["sha256"],
        last_seq=last_seq,
    )  # fmt: skip


def _check_format(format: str, targets: Targets, making: Making | None) -> None:
    if targets not in get_args(Targets):
        raise ValueError(f"targets: {targets}; expected {', '.join(get_args(Targets))}")
    if making is not None and targets == "votes":
        raise ValueError("margins, weighting and scale are of targets; expected majority or soft")
    if making is not None and making.scale is not None and making.scale[0] >= making.scale[1]:
        low, high = making.scale
        raise ValueError(f"scale: {low:g} to {high:g}; expected the lowest mark, then the highest")
    known = EXCHANGE_FORMATS if targets == "votes" else get_args(Shape)
    if format not in known:
        raise ValueError(
            f"format {format}: not one of {'judgments' if targets == 'votes' else 'targets'}; "
            f"expected {', '.join(known)}"
        )


def _judgments(store: Store, project: str, last_seq: int, whole: bool) -> Iterable[Judgment]:
    if not whole:
        yield from standing(store, project, last_seq=last_seq)
        return
    for logged in read(store, project):
        if logged.judgment is not None and logged.seq <= last_seq:
            yield logged.judgment


def _on_scale(making: Making, config: str) -> Making:
    return replace(making, scale=making.scale or scale_of_marks(config) or (0.0, 1.0))


def _grouped(
    asked: Iterable[Item], judgments: Iterable[Judgment], scales: Mapping[str, Scale]
) -> list[Entry]:
    by_item: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        by_item.setdefault(judgment.item, []).append(judgment)
    return [
        Entry(
            item=item,
            judgments=tuple(by_item.get(item.id, ())),
            scale=scales.get(item.question),
        )
        for item in asked
    ]


def _target_rows(
    asked: Sequence[Item],
    judgments: Sequence[Judgment],
    targets: Targets,
    format: Any,
    making: Making,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    plain = [item.model_copy(update={"columns": _own_columns(item)}) for item in asked]
    found = made_targets(plain, judgments, _METHODS[targets], **asdict(making))
    rows, lost = training_rows(found, format)
    return rows, dict(lost)


def _own_columns(item: Item) -> dict[str, Any]:
    """What the source says beside its own form of the row."""
    return {key: value for key, value in item.columns.items() if key not in EXCHANGE_FORMATS}
