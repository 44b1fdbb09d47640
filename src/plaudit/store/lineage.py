"""From judgments to models and back: what was exported, and which models learned from it."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from plaudit.store import schema
from plaudit.store.log import read
from plaudit.store.opening import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class TouchedModel:
    """A model that learned from what a rater said."""

    sha256: str
    path: str
    exports: tuple[str, ...]
    """Through which of the exports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportLineage:
    """What stood behind an export."""

    id: str
    project: str
    last_seq: int
    head_sha256: str
    """Of the chain at ``last_seq``; it seals all that went out."""
    manifest: dict[str, Any]
    judgments: int
    erased: int
    """Of the judgments, those that were erased since."""
    raters: Mapping[str, int]
    """How many judgments are of whom."""
    guideline_versions: Mapping[str, int]
    """Under which they were made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """A model and all that it learned from."""

    sha256: str
    paths: tuple[str, ...]
    exports: tuple[ExportLineage, ...]


def record_export(store: Store, project: str, last_seq: int, manifest: Mapping[str, Any]) -> str:
    """Record that judgments up to ``last_seq`` went out; returns the export's id.

    Where the manifest has ``raters`` (a list of ids), only theirs went out.
    """
    id = secrets.token_hex(8)
    written = json.dumps(dict(manifest), sort_keys=True, ensure_ascii=False)
    row = {"id": id, "project": project, "last_seq": last_seq, "manifest": written}
    with store.writing() as connection:
        connection.execute(schema.export.insert().values(**row, created_at=time.time()))
    return id


def record_model(store: Store, sha256: str, export: str, path: str) -> None:
    """Record that a model learned from an export; said twice, it is said once."""
    table = schema.model
    key = (table.c.sha256 == sha256) & (table.c.export == export)
    with store.writing() as connection:
        changed = connection.execute(table.update().where(key).values(path=path))
        if not changed.rowcount:
            row = {"sha256": sha256, "export": export, "path": path}
            connection.execute(table.insert().values(**row, recorded_at=time.time()))


def lineage(store: Store, model_sha256: str) -> Lineage:
    """From a model to its exports, their judgments, raters and versions of the guidelines.

    Raises:
        ValueError: no such model was recorded.
    """
    model, export = schema.model, schema.export
    query = select(export, model.c.path).join(model, model.c.export == export.c.id)
    with store.reading() as connection:
        rows = connection.execute(
            query.where(model.c.sha256 == model_sha256).order_by(export.c.created_at)
        ).all()
    if not rows:
        raise ValueError(f"model {model_sha256}: none recorded; expected the SHA-256 of one")
    return Lineage(
        sha256=model_sha256,
        paths=tuple(dict.fromkeys(row.path for row in rows)),
        exports=tuple(_export_lineage(store, row) for row in rows),
    )


def _export_lineage(store: Store, row: Row) -> ExportLineage:
    manifest, erased, head = json.loads(row.manifest), 0, ""
    raters: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    for entry in read(store, row.project):
        if entry.seq > row.last_seq:
            break
        head = entry.sha256
        if entry.judgment is None:
            erased += 1
        elif entry.judgment.rater.id in manifest.get("raters", [entry.judgment.rater.id]):
            raters[entry.judgment.rater.id] += 1
            versions[entry.judgment.guideline_version] += 1
    return ExportLineage(
        id=row.id, project=row.project, last_seq=row.last_seq, head_sha256=head,
        manifest=manifest, judgments=raters.total() + erased, erased=erased, raters=raters,
        guideline_versions=versions,
    )  # fmt: skip


def models_touched(connection: Connection, rater: str) -> tuple[TouchedModel, ...]:
    """Models that learned from an export with a judgment of this rater in it."""
    table, export, model = schema.judgment, schema.export, schema.model
    firsts = connection.execute(
        select(table.c.project, func.min(table.c.seq).label("first"))
        .where(table.c.rater == rater)
        .group_by(table.c.project)
    )
    first_of = {row.project: row.first for row in firsts}
    found: dict[tuple[str, str], list[str]] = {}
    query = select(export, model.c.sha256, model.c.path).join(model, model.c.export == export.c.id)
    for row in connection.execute(query.order_by(model.c.recorded_at, export.c.id)):
        is_in_it = row.last_seq >= first_of.get(row.project, row.last_seq + 1)
        if is_in_it and rater in json.loads(row.manifest).get("raters", [rater]):
            found.setdefault((row.sha256, row.path), []).append(row.id)
    return tuple(
        TouchedModel(sha256=sha256, path=path, exports=tuple(exports))
        for (sha256, path), exports in found.items()
    )
