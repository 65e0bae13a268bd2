"""Files of the Arch gateway (now Plano), of every era, as one model (contracts/arch.md §1)."""

from promptd.dialects.arch.config import ArchConfig
from promptd.dialects.arch.expanding import variables
from promptd.dialects.arch.reading import FILE_NAMES, is_arch, read

__all__ = ["FILE_NAMES", "ArchConfig", "is_arch", "read", "variables"]
