"""The guard `pii`: what says who somebody is, and how to reach or pay them. Each number is checked, not only its shape.

Patterns find candidates in linear time (RE2); checksums, ranges and lengths, and for phone numbers the tables of
`phonenumbers`, say which of them are meant. What passes for a number of another kind too (an order, a time, a hash) counts
only behind a word that says what it is.
"""

from promptd.guards.pii.guard import PII, PIIConfig

__all__ = ["PII", "PIIConfig"]
