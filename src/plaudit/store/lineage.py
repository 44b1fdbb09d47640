"""From judgments to models: what was exported, and which models learned from it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from plaudit.store import schema
from plaudit.store.opening import Store


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
