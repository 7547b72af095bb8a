"""The texts of reasons."""

from sedas_sync.model.plan import kept_until
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.text import size

_TEXTS = {
    ReasonCode.PLANNED: "a planned acquisition",
    ReasonCode.UNCHANGED: "held and unchanged",
    ReasonCode.NOT_IN_MIRROR: "not in the mirror",
    ReasonCode.PATH_TAKEN: "not in the mirror; what stands in its place is not this scene and will be set aside",
    ReasonCode.PARTLY_DOWNLOADED: "{amount} of it are here",
    ReasonCode.FILE_GONE: "was held, its file is gone",
    ReasonCode.DAMAGED: "damaged here: the bytes are not those that were fetched",
    ReasonCode.FILES_DAMAGED: "damaged here: a file of it is gone, or is not what was fetched",
    ReasonCode.UNTRACKED: "an untracked file here is this scene",
    ReasonCode.OTHER_PATH: "held at {here}, the layout now puts it at {there}",
    ReasonCode.LOCK_DIFFERS: "differs from the lock: its sha256 here is {here}",
    ReasonCode.FORM_CHANGED: "held as {here}, the archive gives {there}",
    ReasonCode.FILES_MISSING: "{files} of it {are} wanted and not here",
    ReasonCode.FILES_EXTRA: "{files} of it {are} here and not wanted",
    ReasonCode.SIZE_CHANGED: "{file}changed in the archive: {there} bytes there, {here} here",
    ReasonCode.CHECKSUM_CHANGED: "{file}changed in the archive: another digest than when it was fetched",
    ReasonCode.NO_ORDER: "{before}in the long-term archive, no order yet",
    ReasonCode.ORDER_PENDING: "{order} is not ready",
    ReasonCode.ORDER_READY: "{before}{order} is ready",
    ReasonCode.ORDER_FAILED: "in the long-term archive; {order} failed ({detail})",
    ReasonCode.OFFLINE: "{detail}",
    ReasonCode.NOT_DOWNLOADABLE: "{detail}",
    ReasonCode.NO_MATCH: "no longer wanted: {detail}",
    ReasonCode.NOT_LISTED: "still fits; the catalogue does not list it now",
    ReasonCode.NOT_IN_LOCK: "not in the lock; the archive has it, should it be wanted again",
    ReasonCode.SUCCESSOR_MISSING: "{until}; then {cause}",
    ReasonCode.WRONG_CLOCK: "kept, though a relative date leaves it out: {detail}",
    ReasonCode.NOT_CONFIRMED: "kept, since its replacement was not confirmed; {cause}",
    ReasonCode.SEARCH_INCOMPLETE: "nothing is removed after a search that failed or is incomplete",
    ReasonCode.IN_DOUBT: "{detail}",
}


def reason_text(reason: Reason, *, name_orders: bool = True) -> str:
    """Return a reason as a clause.

    Args:
        reason: of an action.
        name_orders: write the ids of orders; if not, scenes that wait for orders have the same text.
    """
    cause = "" if reason.cause is None else reason_text(reason.cause, name_orders=name_orders)
    return _TEXTS[reason.code].format(
        here=reason.here,
        there=reason.there,
        amount=size(reason.here) if isinstance(reason.here, int) else "",
        files=", ".join(reason.names),
        are="is" if len(reason.names) == 1 else "are",
        file="".join(f"{name} " for name in reason.names),
        until=kept_until(reason.names),
        order=f"order {reason.order}" if name_orders else "its order",
        detail=reason.detail,
        cause=cause,
        before=f"{cause}; " if cause else "",
    )
