"""One turn of the user, read once for all parameters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Final

from promptd.core.targets import Parameter
from promptd.core.utterances import shapes
from promptd.core.utterances.dates import find_dates, find_times
from promptd.core.utterances.grounded import Evidence
from promptd.core.utterances.quantities import Quantity, find_quantities
from promptd.core.utterances.text import Span, Word, first_from

_BEFORE: Final = 3  #: words before a value that say which of two it is


class Heard:
    """One turn, and what every reader needs of it, read once."""

    def __init__(self, text: str, tokens: Sequence[Word], today: date) -> None:
        self.text, self.tokens, self.today = text, tokens, today

    @cached_property
    def quantities(self) -> list[Quantity]:
        """Without those that are part of a date, a time, or an address."""
        taken = [one for one in self.dates if one.strength >= 3]
        taken += [*self.times, *self.shaped]
        return [
            one
            for one in find_quantities(self.text, self.tokens)
            if not any(t.overlaps(one.start, one.end) for t in taken)
        ]

    @cached_property
    def dates(self) -> list[Span]:
        return find_dates(self.text, self.tokens, self.today)

    @cached_property
    def times(self) -> list[Span]:
        return find_times(self.text)

    @cached_property
    def shaped(self) -> list[Span]:
        find = (shapes.find_emails, shapes.find_urls, shapes.find_ips)
        return [span for finder in find for span in finder(self.text)]

    @cached_property
    def currencies(self) -> list[Span]:
        return shapes.find_currencies(self.text, self.tokens)

    @cached_property
    def quoted(self) -> list[Span]:
        return shapes.find_quoted(self.text)

    def objects(self, parameter: Parameter, kind: type) -> list[Span]:
        """JSON that was said; without what its escapes alone say, and without empty ones."""
        found = shapes.find_objects(self.text, kind)
        evidence = Evidence([self.text], self.today) if found else None
        return [one for one in found if evidence and evidence.holds(parameter, one.value)]

    def before(self, start: int) -> list[str]:
        """The words right before a place, the nearest first."""
        first = first_from(self.tokens, start)
        return [word.low for word in self.tokens[max(0, first - _BEFORE) : first][::-1]]
