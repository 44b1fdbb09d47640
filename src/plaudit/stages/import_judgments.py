"""import_judgments: a data set of judged responses, entered into a log of judgments.

Reads preferences, rankings and ratings in any format; each row is one answer of one rater. Writes
``judgments.db``, from which ``consensus`` makes data again: the same, where there is nothing to
reconcile.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from plaudit.aggregation import imported
from plaudit.aggregation.logs import LOG
from plaudit.artifacts import Artifact
from plaudit.config import Config
from plaudit.formats import WHOLE, Portion, load_judgments, local_inputs
from plaudit.stages.setup import open_draft
from plaudit.store import PROJECT_ID, add_items, append, open_store, put_project

CHUNK = 5000


class ImportConfig(Config):
    """Options of ``plaudit import_judgments``."""

    dataset: str
    """Preferences, rankings or ratings of responses."""
    portion: Portion = WHOLE
    """Part of the conversations to enter, as [from, to] in [0, 1]."""
    project: str = Field(default="imported", pattern=PROJECT_ID)
    """The project they are entered under."""
    rater_column: str = ""
    """The column that names who judged; where empty, every row is by somebody else. Names are
    hashed."""


CONFIG = ImportConfig


def inputs(config: ImportConfig) -> dict[str, Path]:
    return local_inputs(dataset=config.dataset)


def run(config: ImportConfig, output: Path) -> Artifact:
    began = time.monotonic()
    rows = load_judgments(config.dataset, portion=config.portion)
    found = imported(
        rows, project=config.project, at=datetime.now(UTC), rater_column=config.rater_column
    )
    draft = open_draft("import_judgments", config, inputs(config), output, began)
    for left_over in draft.path.glob(f"{LOG}*"):
        left_over.unlink()
    store = open_store(draft.path / LOG)
    put_project(store, config.project, json.dumps({"imported_from": config.dataset}))
    add_items(store, config.project, found.items, target_votes=1)
    for start in range(0, len(found.judgments), CHUNK):
        append(store, found.judgments[start : start + CHUNK])
    store.close()
    raters = {judgment.rater.id for judgment in found.judgments}
    return draft.finish(
        {
            "rows": len(rows),
            "items": len(found.items),
            "judgments": len(found.judgments),
            "raters": len(raters),
        }
    )
