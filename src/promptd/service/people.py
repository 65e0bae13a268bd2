"""Everything about people, put together: they share one memory of callers, and one lock against guessing."""

from __future__ import annotations

from msgspec import Struct

from promptd.core.ports import Passwords, Records, Signer
from promptd.service.callers import Callers, Known, TokenRules
from promptd.service.clock import Clock, Ids
from promptd.service.keys import Keys
from promptd.service.logins import Logins
from promptd.service.permits import Permits
from promptd.service.sessions import Sessions
from promptd.service.throttle import Throttle
from promptd.service.users import Users


class People(Struct, frozen=True, kw_only=True):
    """Everything about users: who calls, their accounts, logins, permits and sessions."""

    callers: Callers  #: who is it
    users: Users  #: profiles, passwords, roles
    logins: Logins  #: tokens
    permits: Permits  #: who may do more
    sessions: Sessions  #: what tokens stand for


def gather(
    *,
    records: Records,
    keys: Keys,
    passwords: Passwords,
    signer: Signer,
    clock: Clock,
    ids: Ids,
    rules: TokenRules,
) -> People:
    """The parts, made and told of each other."""
    known, throttle = Known(keys.changes), Throttle(clock)
    permits = Permits(records=records, clock=clock, changed=known.forget)
    sessions = Sessions(records=records, signer=signer, clock=clock, ids=ids, seconds=rules.seconds, ended=known.forget)
    users = Users(
        records=records,
        keys=keys,
        sessions=sessions,
        known=known,
        passwords=passwords,
        throttle=throttle,
        clock=clock,
        ids=ids,
    )
    return People(
        callers=Callers(
            records=records,
            keys=keys,
            sessions=sessions,
            permits=permits,
            signer=signer,
            known=known,
            clock=clock,
            rules=rules,
        ),
        users=users,
        logins=Logins(
            records=records,
            users=users,
            sessions=sessions,
            passwords=passwords,
            signer=signer,
            throttle=throttle,
        ),
        permits=permits,
        sessions=sessions,
    )
