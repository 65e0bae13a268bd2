"""The default store: one SQLite file, WAL, group commit."""

from promptd.stores.sqlite.database import Database

__all__ = ["Database"]
