"""Documents: the text in files, for models that read text only."""

from promptd.documents.reading import Bounds, Documents, readable

__all__ = ["Bounds", "Documents", "readable"]
