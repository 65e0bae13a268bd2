"""Guards applied to prompts: which checks, on whose text, and what happens then."""

from promptd.service.guarding.checks import NOTHING, Check, Checks, Plan
from promptd.service.guarding.judging import kept
from promptd.service.guarding.service import Guarding, Opinion
from promptd.service.guarding.watch import Watch

__all__ = ["NOTHING", "Check", "Checks", "Guarding", "Opinion", "Plan", "Watch", "kept"]
