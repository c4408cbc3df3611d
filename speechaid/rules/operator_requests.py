"""How an operator request, recorded while a dial was open, changes the job at settlement.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from speechaid.model.reading import Document
from speechaid.model.states import JobStatus, status_dates

#: The status that each request leads to.
REQUESTED_STATUS: Final[Mapping[str, JobStatus]] = MappingProxyType(
    {
        "cancel": JobStatus.CANCELLED,
        "suspend": JobStatus.SUSPENDED,
        "hang_up": JobStatus.CANCELLED,
        "reset": JobStatus.PENDING,
    }
)
#: The request to close a job whose call Retell does not know; it sets no status, and stands beside another.
GIVE_UP: Final = "give_up"
#: ``cancel_reason`` of a job that no request may reopen.
DO_NOT_CALL: Final = "do_not_call"


def apply_request(changes: Document, request: Document | None) -> Document:
    """Adapt a settlement's changes to the job, ``status`` included, to the request."""
    action = str((request or {}).get("action"))
    status = REQUESTED_STATUS.get(action)
    if request is None or status is None or _is_final(changes):
        return changes
    reason = request.get("reason") or action
    moved = {**changes, "status": status, **status_dates(status, changes["updated_at"])}
    if status is JobStatus.CANCELLED:
        return {**moved, "cancel_reason": reason}
    if status is JobStatus.SUSPENDED:
        return {**moved, "suspend_reason": reason}
    first_phone = (
        {"contact": {"next_phone_index": 0}} if "contact" in changes else {"contact.next_phone_index": 0}
    )
    reset = {"status": status, "attempts": 0, "reset_at": changes["updated_at"]}
    return {**moved, **first_phone, **reset}


def _is_final(changes: Document) -> bool:
    """Done, or on the do-not-call list: no request changes that."""
    return changes["status"] == JobStatus.DONE or changes.get("cancel_reason") == DO_NOT_CALL
