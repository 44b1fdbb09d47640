"""How one server is run; what is asked of raters stands in the project file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator decides for one process."""

    secure_cookies: bool = False
    """Browsers send the session over HTTPS alone; for servers behind a TLS proxy."""
