"""The log of judgments and what stands around it: SQLite by default, PostgreSQL by URL."""
