"""Questions that the learner answers when it can: here and now as a rule, else from the thread that is done."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING

from .backend import Pending
from .groups import outcome_of

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["room", "when_done"]

MsgId = int | None


def room(session: Outgoing) -> None:
    """Raise BusyError if there is none for one request more."""
    full = session.service.busy(1)
    if full is not None:
        raise full


def when_done(session: Outgoing, msgid: MsgId, method: str, params: object, pending: Pending) -> None:
    """Answer once it is done; in this turn if it is already, as it is when nobody had to be waited for, because
    waking the loop would take longer than most questions do."""
    if pending.is_set() and not session.lanes.waits(method):
        _say(session, msgid, method, params, pending)
        return
    service, asking, here = session.service, True, get_ident()
    place = session.lanes.place(method)

    def say() -> None:
        _say(session, msgid, method, params, pending)
        session.leave(1)

    def done(_: Pending) -> None:
        if asking and get_ident() == here:
            place.answer(say)
        else:
            service.post(place.answer, say)

    session.enter(None, 1)
    pending.add_done_callback(done)
    asking = False


def _say(session: Outgoing, msgid: MsgId, method: str, params: object, pending: Pending) -> None:
    """Answer with what is done."""
    result, error = outcome_of(pending)
    if error is not None:
        session.answer_error(msgid, error, method, params)
    else:
        session.answer(msgid, result)
