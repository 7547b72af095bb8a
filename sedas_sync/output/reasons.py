"""The texts of reasons."""

from sedas_sync.model.plan import kept_until
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.text import size

_TEXTS = {
    ReasonCode.PLANNED: "a planned acquisition",
    ReasonCode.UNCHANGED: "in the mirror, unchanged",
    ReasonCode.NOT_IN_MIRROR: "not in the mirror",
    ReasonCode.PATH_TAKEN: "not in the mirror; a different file is at its path and will be moved to replaced/",
    ReasonCode.PARTLY_DOWNLOADED: "{amount} already downloaded",
    ReasonCode.FILE_GONE: "the downloaded file is missing",
    ReasonCode.DAMAGED: "damaged: the file's contents changed since it was downloaded",
    ReasonCode.FILES_DAMAGED: "damaged: a file of the scene is missing or changed since it was downloaded",
    ReasonCode.UNREADABLE: "{here}: {detail}",
    ReasonCode.UNTRACKED: "an untracked file is this scene",
    ReasonCode.OTHER_PATH: "in the mirror at {here}, the layout now puts it at {there}",
    ReasonCode.PACKED: "its zip is in the mirror and will be unpacked",
    ReasonCode.LOCK_DIFFERS: "differs from the lock file: its SHA-256 is {here}",
    ReasonCode.FORM_CHANGED: "{here} in the mirror, {there} in the archive",
    ReasonCode.FILES_MISSING: "{files} {are} missing",
    ReasonCode.FILES_EXTRA: "{files} {are} no longer selected",
    ReasonCode.SIZE_CHANGED: "{file}changed in the archive: {there} bytes there, {here} in the mirror",
    ReasonCode.CHECKSUM_CHANGED: "{file}changed in the archive: its checksum is not the one it had at download",
    ReasonCode.NO_ORDER: "{before}in the long-term archive, no order yet",
    ReasonCode.ORDER_PENDING: "{order} is not ready",
    ReasonCode.ORDER_READY: "{before}{order} is ready",
    ReasonCode.ORDER_FAILED: "in the long-term archive; {order} failed ({detail})",
    ReasonCode.ORDER_FAILING: "in the long-term archive; {order} failed ({detail}); it is ordered again after {there}",
    ReasonCode.OFFLINE: "{detail}",
    ReasonCode.NOT_DOWNLOADABLE: "{detail}",
    ReasonCode.NO_MATCH: "no longer matches: {detail}",
    ReasonCode.AGED: "no longer matches: {detail}",
    ReasonCode.NOT_LISTED: "still matches, but is no longer in the catalogue",
    ReasonCode.LOST: "its file is missing and nothing lists it any more: only the index forgets it",
    ReasonCode.NOT_IN_LOCK: "not in the lock file; the archive still has it",
    ReasonCode.SUCCESSOR_MISSING: "{until}, then removed: {cause}",
    ReasonCode.WRONG_CLOCK: "kept, although a relative date excludes it: {detail}",
    ReasonCode.NOT_CONFIRMED: "kept, because its replacement was not confirmed; {cause}",
    ReasonCode.SEARCH_INCOMPLETE: "nothing is removed after a search that failed or is incomplete",
    ReasonCode.IN_DOUBT: "{detail}",
}


def reason_text(reason: Reason, *, name_orders: bool = True) -> str:
    """Return a reason as a clause.

    Args:
        reason: Of an action.
        name_orders: Write the ids of orders; if not, scenes that wait for orders have the same text.

    Raises:
        TypeError: It is not a reason.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            for action in mirror.plan().actions:
                print(action.id, ss.reason_text(action.reason))
    """
    if not isinstance(reason, Reason):
        raise TypeError(f"reason is {reason!r}; it must be a Reason, such as `action.reason`")
    text = _TEXTS[reason.code]
    if "{" not in text:  # most scenes of a plan
        return text
    cause = "" if reason.cause is None else reason_text(reason.cause, name_orders=name_orders)
    return text.format(
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
