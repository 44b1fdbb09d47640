"""Judgments from others' formats and into them: rows, and items with what was said of them."""

from plaudit.formats.exchange.choices import ChoiceMap
from plaudit.formats.exchange.entries import UNKNOWN_TIME, Entry, Reading
from plaudit.formats.exchange.reading import read_exchange
from plaudit.formats.exchange.table import EXCHANGE_FORMATS, detect_exchange
from plaudit.formats.exchange.writing import Rows, save_rows, write_exchange

__all__ = [
    "EXCHANGE_FORMATS",
    "UNKNOWN_TIME",
    "ChoiceMap",
    "Entry",
    "Reading",
    "Rows",
    "detect_exchange",
    "read_exchange",
    "save_rows",
    "write_exchange",
]
