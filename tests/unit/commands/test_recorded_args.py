"""What a command's record keeps of its arguments, and what its handler gets of a reason."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.commands.audit import recorded_args
from speechaid.protocol.messages import COMMANDS, Request, validate

REASON = "Ana, +56 9 1234 5671 or 912345671, complained on 2026-11-20"
MASKED = "Ana, +569******71 or *******71, complained on 2026-11-20"


def request(command: str, **args: Any) -> Request:
    attachment = b"x" if COMMANDS[command].takes_file else None
    checked = validate({"v": 1, "id": "q", "command": command, "args": args}, attachment)
    assert isinstance(checked, Request)
    return checked


@pytest.mark.parametrize(
    ("command", "args", "recorded"),
    [
        ("hold", {"reason": REASON}, {"reason": MASKED}),
        ("dnc-add", {"number": "912 345 671", "reason": REASON}, {"number": "*******71", "reason": MASKED}),
        (
            "dnc-import",
            {"filename": "de 912345671.csv", "dry_run": True},
            {"filename": "de *******71.csv", "dry_run": True},
        ),
        ("forget", {"person": "Ana Rojas", "reason": "by letter"}, {"person": "***", "reason": "by letter"}),
        ("person", {"person": "12.345.678-5"}, {"person": "***", "limit": 50}),
        ("create-batch", {"name": "912345671"}, {"name": "*******71"}),
        ("pause-batch", {"batch": "batch-20261122193112"}, {"batch": "batch-20261122193112"}),
        (
            "user-add",
            {"name": "maria", "role": "admin", "password": "correct horse battery"},
            {"name": "maria", "role": "admin"},
        ),
        ("export", {"after": "1" * 12}, {"after": "1" * 12, "what": "calls", "limit": 1000}),
    ],
)
def test_numbers_are_masked_in_what_people_type_and_ids_stay(
    command: str, args: dict[str, Any], recorded: dict[str, Any]
) -> None:
    assert recorded_args(request(command, **args)) == recorded


def test_each_text_of_a_list_is_masked() -> None:
    found = recorded_args(request("import", filename="a.csv", map=["912345671=phone", "Fono=phone"]))
    assert found["map"] == ["*******71=phone", "Fono=phone"]
