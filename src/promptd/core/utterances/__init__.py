"""Values in what users said: the arguments of a target, by rules, in linear time, and nothing that was not said."""

from promptd.core.utterances.filling import extract
from promptd.core.utterances.text import Utterance

__all__ = ["Utterance", "extract"]
