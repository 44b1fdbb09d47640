"""The log of judgments and what stands around it: SQLite by default, PostgreSQL by URL."""

from plaudit.store.events import Event, events, record_event, record_event_in
from plaudit.store.items import StoredItem, add_items, get_item, items, stored_item
from plaudit.store.lineage import record_export, record_model
from plaudit.store.log import (
    Also,
    Logged,
    Receipt,
    append,
    find,
    read,
    standing,
    suspended_raters,
)
from plaudit.store.opening import Store, open_store
from plaudit.store.projects import (
    Guideline,
    StoredProject,
    get_project,
    latest_guideline,
    projects,
    put_guideline,
    put_project,
)
from plaudit.store.verification import Verified, verify
from plaudit.store.writer import Writer

__all__ = [
    "Also",
    "Event",
    "Guideline",
    "Logged",
    "Receipt",
    "Store",
    "StoredItem",
    "StoredProject",
    "Verified",
    "Writer",
    "add_items",
    "append",
    "events",
    "find",
    "get_item",
    "get_project",
    "items",
    "latest_guideline",
    "open_store",
    "projects",
    "put_guideline",
    "put_project",
    "read",
    "record_event",
    "record_event_in",
    "record_export",
    "record_model",
    "standing",
    "stored_item",
    "suspended_raters",
    "verify",
]
