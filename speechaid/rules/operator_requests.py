"""What an operator's request, recorded while a dial was open, makes of the job in the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from speechaid.model.reading import Document
from speechaid.model.states import JobStatus

#: The status that each request asks for.
REQUESTED_STATUS: Final[Mapping[str, JobStatus]] = MappingProxyType(
    {
        "cancel": JobStatus.CANCELLED,
        "suspend": JobStatus.SUSPENDED,
        "hang_up": JobStatus.CANCELLED,
        "reset": JobStatus.PENDING,
    }
)
#: Why a job is cancelled that nothing may revive.
DO_NOT_CALL: Final = "do_not_call"


def reclassify(changes: Document, request: Document | None) -> Document:
    """The changes to a job, ``status`` among them, as the request would have them."""
    action = str((request or {}).get("action"))
    status = REQUESTED_STATUS.get(action)
    if request is None or status is None or _stands(changes):
        return changes
    reason = request.get("reason") or action
    if status is JobStatus.CANCELLED:
        return {**changes, "status": status, "cancel_reason": reason, "finished_at": changes["updated_at"]}
    if status is JobStatus.SUSPENDED:
        return {**changes, "status": status, "suspend_reason": reason, "suspended_at": changes["updated_at"]}
    first_phone = (
        {"contact": {"next_phone_index": 0}} if "contact" in changes else {"contact.next_phone_index": 0}
    )
    return {**changes, **first_phone, "status": status, "attempts": 0}


def _stands(changes: Document) -> bool:
    """What served its purpose, or must never be called again, stays so whatever was asked."""
    return changes["status"] == JobStatus.DONE or changes.get("cancel_reason") == DO_NOT_CALL
