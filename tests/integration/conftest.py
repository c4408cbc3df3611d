"""What every integration test may ask for."""

from __future__ import annotations

from tests.database import database, database_client, database_uri

__all__ = ["database", "database_client", "database_uri"]
