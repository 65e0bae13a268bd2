"""From the text of an answer to the value that was asked for (contracts/trustgraph.md §4.4)."""

from promptd.core.extraction.reading import Extracted, OutputKind, extract, repair_messages
from promptd.core.extraction.strictness import strict_compatible

__all__ = ["Extracted", "OutputKind", "extract", "repair_messages", "strict_compatible"]
