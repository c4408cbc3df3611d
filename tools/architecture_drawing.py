"""The drawing of the architecture page: ``python -m tools.architecture_drawing docs/architecture.svg``."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Final

WIDTH, HEIGHT = 960, 500
#: Boxes: left, top, width, height, colour, title, lines.
BOXES: Final = (
    (40, 40, 170, 84, "#e8f0fe", "speechctl", ("operators' commands", "by unix socket or TCP")),
    (40, 170, 170, 84, "#e8f0fe", "Prometheus", ("/metrics /healthz", "/readyz")),
    (40, 300, 170, 84, "#e8f0fe", "systemd", ("start, watchdog,", "reload, stop")),
    (
        330,
        150,
        250,
        128,
        "#fef3d6",
        "supervisor",
        (
            "loop: owns all state, never blocks",
            "database thread: queries, history",
            "metrics, webhook: a thread each",
        ),
    ),
    (330, 40, 250, 62, "#fef3d6", "zygote", ("forks workers on request",)),
    (330, 330, 250, 62, "#fef3d6", "embedded database", ("with MONGO_URI=embedded:DIR",)),
    (690, 40, 230, 62, "#e4f4e5", "worker-1", ("one call at a time",)),
    (690, 128, 230, 62, "#e4f4e5", "worker-2", ("claim, dial, follow, settle",)),
    (690, 216, 230, 62, "#e4f4e5", "worker-N", ("recovers jobs of dead workers",)),
    (690, 306, 190, 62, "#e4f4e5", "follower", ("asks which calls have ended",)),
    (330, 428, 250, 52, "#f3e8fd", "MongoDB", ("jobs, intents, leases, results",)),
    (690, 428, 230, 52, "#f3e8fd", "Retell AI", ("create, get, list, stop",)),
)
#: Arrows: from, to, label, position of the label, dashed.
ARROWS: Final = (
    ((210, 82), (330, 190), "ZeroMQ, JSON", (268, 120), False),
    ((210, 212), (330, 214), "HTTP", (268, 206), False),
    ((210, 342), (330, 240), "sd_notify, signals", (268, 318), False),
    ((455, 150), (455, 102), "fork requests", (500, 130), False),
    ((580, 71), (690, 71), "forks", (635, 64), True),
    ((580, 200), (690, 159), "", (0, 0), False),
    ((580, 228), (690, 247), "beats up,", (634, 210), False),
    ((455, 278), (455, 330), "starts, watches", (506, 308), False),
    ((690, 268), (580, 345), "", (0, 0), False),
    ((690, 274), (580, 444), "or", (634, 378), True),
    ((580, 262), (690, 322), "", (0, 0), False),
    ((785, 368), (785, 428), "HTTPS", (785, 402), False),
    ((905, 278), (905, 428), "HTTPS", (905, 402), False),
)


def draw() -> str:
    """The drawing as SVG."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13" role="img" aria-labelledby="title"><title id="title">The processes of one host, '
        "and how they communicate</title>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        '<rect x="300" y="16" width="640" height="390" rx="8" fill="none" stroke="#bbb" '
        'stroke-dasharray="5 4"/>'
        '<text x="312" y="33" fill="#777">one host: speechaid run</text>'
    )
    arrows, boxes = map(_arrow, ARROWS), map(_box, BOXES)
    return "\n".join([head, *arrows, *boxes, _label(634, 225, "orders down"), "</svg>", ""])


def _box(box: tuple[int, int, int, int, str, str, tuple[str, ...]]) -> str:
    left, top, width, height, colour, title, lines = box
    middle = left + width // 2
    first = top + height // 2 - 8 * len(lines) + 4
    size = f'x="{left}" y="{top}" width="{width}" height="{height}"'
    frame = f'<rect {size} rx="6" fill="{colour}" stroke="#555"/>'
    heading = f'<text x="{middle}" y="{first}" text-anchor="middle" font-weight="bold">{escape(title)}</text>'
    return (
        frame
        + heading
        + "".join(
            f'<text x="{middle}" y="{first + 18 * number}" text-anchor="middle">{escape(line)}</text>'
            for number, line in enumerate(lines, 1)
        )
    )


def _arrow(arrow: tuple[tuple[int, int], tuple[int, int], str, tuple[int, int], bool]) -> str:
    (x1, y1), (x2, y2), text, place, dashed = arrow
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#555" marker-end="url(#tip)"{dashes}/>'
    return line + (_label(*place, text) if text else "")


def _label(x: int, y: int, text: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle" font-size="12" fill="#333" stroke="#fff" '
        f'stroke-width="4" paint-order="stroke">{escape(text)}</text>'
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
