"""The guard `topics`: what a text is about, learned from a few examples of each topic.

Kinds of hazard are switched on by name, and an operator's own topics are given by sentences. A built-in matcher compares
meanings by static word vectors: quick, offline, English, and no more than a first look. It knows nothing of intent or irony; a
guard model (`model`) reads better.
"""

from promptd.guards.topics.guard import HAZARDS, Topics, TopicsConfig

__all__ = ["HAZARDS", "Topics", "TopicsConfig"]
