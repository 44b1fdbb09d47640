"""Files of judgments into a store, and out of it: as they are, or as training targets.

People's ids are never kept: a rater's is a short hash of the source's, salted with the project's
secret, so one person has one id in a project and nobody finds them by it. Every export is recorded
with its file's hash and the log's last judgment, so that what learned from it can be traced.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Connection, func, select

from plaudit.aggregation.consensus import Method
from plaudit.aggregation.ratings import Scale
from plaudit.aggregation.scales import check_marks, scale_of_marks, scales_of, shown_scales
from plaudit.aggregation.targets import Weighting
from plaudit.aggregation.targets import targets as made_targets
from plaudit.formats.exchange import (
    EXCHANGE_FORMATS,
    ChoiceMap,
    Entry,
    Reading,
    read_exchange,
    save_rows,
    write_exchange,
)
from plaudit.formats.exchange.training import Shape, training_rows
from plaudit.judgments import Item, Judgment, Rater
from plaudit.provenance import hash_file
from plaudit.store import (
    Store,
    StoredProject,
    add_items,
    append,
    get_project,
    items,
    projects,
    read,
    record_event_in,
    record_export,
    schema,
    standing,
)
from plaudit.store.item_votes import Wanting, count_votes_on
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
class Taken:
    """What an import brought."""

    items: int
    new_items: int
    judgments: int
    new_judgments: int
    unread: Mapping[str, int] = field(default_factory=dict)
    """What a judgment has no place for, by name; ``raw`` or ``columns`` hold it, or nothing."""


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


def take_judgments(
    store: Store,
    project: str,
    path: Path,
    *,
    format: str = "auto",
    trust_order: bool = False,
    choices: ChoiceMap | None = None,
    target_votes: int = 1,
    wanting: Wanting | None = None,
    with_names: bool = False,
    by: str = "import",
) -> Taken:
    """Add a file's items and judgments to a project; a file added twice is there once.

    Args:
        target_votes: how many judgments each new item is to have, those of the file among them.
        wanting: what raises that number where votes leave doubt.
        with_names: keep raters' names, where the source has them, in the table of raters.
        by: who asked for it, for the log of events.

    Raises:
        ValueError: there is no such project, or the file cannot be read; with file and line.
    """
    if target_votes < 1:
        raise ValueError(f"target votes are {target_votes}; expected 1 or more")
    stored = _project(store, project)
    secret = stored.secret
    reading = Reading(
        project=project, pseudonym=lambda id: pseudonym(secret, id), trust_order=trust_order,
        choices=choices or ChoiceMap(),
    )  # fmt: skip
    entries = read_exchange(path, reading, format)
    check_marks(entries, scales_of(stored.config))
    judgments = [judgment for entry in entries for judgment in entry.judgments]
    found = _items_of(entries)
    new_items = add_items(store, project, found, target_votes)
    detail = {"file": path.name, "sha256": _hash(path), "judgments": len(judgments)}

    def also(connection: Connection) -> None:
        _record_raters(connection, project, judgments, _names(entries) if with_names else {})
        count_votes_on(connection, project, {judgment.item for judgment in judgments}, wanting)
        record_event_in(connection, project, by, "imported", detail)

    receipts = append(store, judgments, also)
    return Taken(
        items=len(found), new_items=new_items, judgments=len(receipts),
        new_judgments=sum(receipt.is_new for receipt in receipts),
        unread=Counter(name for entry in entries for name in entry.unread),
    )  # fmt: skip


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
    config = _project(store, project).config
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


def pseudonym(secret: str, id: str) -> str:
    """The rater's id for a source's id of a person, 16 hexadecimal digits."""
    return hmac.new(secret.encode(), id.encode(), hashlib.sha256).hexdigest()[:16]


def _project(store: Store, id: str) -> StoredProject:
    found = get_project(store, id)
    if found is None:
        known = ", ".join(one.id for one in projects(store)) or "none yet"
        raise ValueError(
            f"project {id}: not in this store; there are {known} (plaudit collect --project FILE "
            "makes the file's)"
        )
    return found


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


def _hash(path: Path) -> str:
    return hash_file(path / "records.json" if path.is_dir() else path)


def _items_of(entries: Iterable[Entry]) -> list[Item]:
    found: dict[str, Item] = {}
    for entry in entries:
        found.setdefault(entry.item.id, entry.item)
    return list(found.values())


def _names(entries: Iterable[Entry]) -> dict[str, str]:
    return {id: name for entry in entries for id, name in entry.names.items()}


def _record_raters(
    connection: Connection, project: str, judgments: Sequence[Judgment], names: Mapping[str, str]
) -> None:
    """Give each rater of the file a place among the raters and, if human, in the project."""
    raters: dict[str, Rater] = {judgment.rater.id: judgment.rater for judgment in judgments}
    known = set(connection.execute(select(schema.rater.c.id)).scalars())
    of_project = select(schema.member.c.rater).where(schema.member.c.project == project)
    members = set(connection.execute(of_project).scalars())
    now = connection.execute(select(func.max(schema.judgment.c.recorded_at))).scalar() or 0.0
    new = [rater for id, rater in raters.items() if id not in known]
    joining = [r.id for r in raters.values() if r.kind == "human" and r.id not in members]
    if new:
        rows = [{"id": r.id, "kind": r.kind, "version": r.version, "name": names.get(r.id),
                 "created_at": now} for r in new]  # fmt: skip
        connection.execute(schema.rater.insert(), rows)
    if joining:
        rows = [{"project": project, "rater": id, "role": "rater"} for id in joining]
        connection.execute(schema.member.insert(), rows)


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
