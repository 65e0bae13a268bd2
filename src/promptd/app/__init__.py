"""The composition root: builds the house from settings, and changes it when they do."""

from promptd.app.house import House, build

__all__ = ["House", "build"]
