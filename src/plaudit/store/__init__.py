"""The log of judgments and what stands around it: SQLite by default, PostgreSQL by URL."""

from plaudit.store.erasure import Erased, erase_rater
from plaudit.store.events import Event, events, record_event, record_event_in
from plaudit.store.items import StoredItem, add_items, get_item, items, stored_item
from plaudit.store.lineage import (
    ExportLineage,
    Lineage,
    TouchedModel,
    lineage,
    record_export,
    record_model,
)
from plaudit.store.log import (
    Also,
    Appending,
    Logged,
    Receipt,
    append,
    find,
    find_in,
    read,
    standing,
    suspended_raters,
)
from plaudit.store.opening import Store, open_store
from plaudit.store.projects import (
    PROJECT_ID,
    Guideline,
    StoredProject,
    expect_project,
    get_project,
    latest_guideline,
    projects,
    put_guideline,
    put_project,
)
from plaudit.store.tallies import catch_up, rebuild_tallies
from plaudit.store.tally_reading import (
    Pattern,
    RaterTally,
    most_disputed,
    patterns,
    patterns_by_day,
    rater_tallies,
)
from plaudit.store.verification import Verified, verify
from plaudit.store.votes import is_right
from plaudit.store.writer import Writer

__all__ = [
    "PROJECT_ID",
    "Also",
    "Appending",
    "Erased",
    "Event",
    "ExportLineage",
    "Guideline",
    "Lineage",
    "Logged",
    "Pattern",
    "RaterTally",
    "Receipt",
    "Store",
    "StoredItem",
    "StoredProject",
    "TouchedModel",
    "Verified",
    "Writer",
    "add_items",
    "append",
    "catch_up",
    "erase_rater",
    "events",
    "expect_project",
    "find",
    "find_in",
    "get_item",
    "get_project",
    "is_right",
    "items",
    "latest_guideline",
    "lineage",
    "most_disputed",
    "open_store",
    "patterns",
    "patterns_by_day",
    "projects",
    "put_guideline",
    "put_project",
    "rater_tallies",
    "read",
    "rebuild_tallies",
    "record_event",
    "record_event_in",
    "record_export",
    "record_model",
    "standing",
    "stored_item",
    "suspended_raters",
    "verify",
]
