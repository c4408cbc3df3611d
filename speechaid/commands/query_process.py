"""The process of reports, forecasts and exports: ``python -m speechaid.commands.query_process``.

It has a client of the database of its own, which serves the next query, too: an export asks for page after
page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from speechaid.commands.interfaces import BackgroundHandler, CommandRefused, HandlerContext, Invocation
from speechaid.importing.child import serve
from speechaid.importing.output import Output
from speechaid.protocol.translation import wire_text

#: The process is ended by its parent, long before.
_MOST_TASKS: Final = 10_000
#: Bytes of one part of an answer.
_PART: Final = 128 * 1024


def run(arguments: Mapping[str, Any], _file: bytes, output: Output) -> None:
    """Carry out one command, and send its answer: JSON in parts, ``{"result"}`` or ``{"refused"}``.

    Raises:
        SpeechaidError: those that ``importing.tasks.REFUSALS`` has are passed on.
    """
    from speechaid.protocol.messages import encode  # noqa: PLC0415 - after the limits

    command = Invocation(
        args=arguments["args"],
        actor=arguments["actor"],
        attachment=None,
        progress=lambda _progress: None,
        snapshot=arguments["snapshot"],
    )
    context = _context(arguments["settings"], arguments["fingerprint"])
    try:
        result = _handlers()[arguments["command"]](context, command)
        answer: dict[str, Any] = {"result": result}
    except CommandRefused as exc:
        answer = {"refused": {"code": exc.code, "message": wire_text(str(exc))}}
    data = encode(answer)
    for begin in range(0, len(data), _PART):
        output.send_part(data[begin : begin + _PART])


def _handlers() -> Mapping[str, BackgroundHandler]:
    from speechaid.commands.queries import HANDLERS  # noqa: PLC0415 - after the limits

    return HANDLERS


def _context(settings: Mapping[str, Any], fingerprint: str) -> HandlerContext:
    return _connected(json.dumps(settings), fingerprint)


@lru_cache(maxsize=1)
def _connected(wire: str, fingerprint: str) -> HandlerContext:
    from speechaid.settings import Settings  # noqa: PLC0415 - after the limits
    from speechaid.settings.zone_data import use_newest_zone_data  # noqa: PLC0415
    from speechaid.store.connection import connect  # noqa: PLC0415

    use_newest_zone_data()
    settings = Settings.from_wire(json.loads(wire))
    return HandlerContext(
        store=connect(settings.database),
        settings=settings,
        in_loop=lambda call: call(),
        api_key_fingerprint=fingerprint,
    )


if __name__ == "__main__":
    serve(run, "query", most_tasks=_MOST_TASKS)
