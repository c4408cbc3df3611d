"""The commands' reference in the docs, from the command table: ``python -m tools.commands_page``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from speechaid.protocol.messages import COMMANDS, Argument, CommandSpec, Kind, Runs

#: What comes after this line of the page is written from the command table.
REFERENCE_BEGINS: Final = "<!-- From here on written by `python -m tools.commands_page` -->\n"

_RUNS: Final = {
    Runs.LOOP: "answered at once",
    Runs.BACKGROUND: "works in the database",
    Runs.STREAM: "endless progress messages, no final answer",
}
_KINDS: Final = {
    Kind.TEXT: "text",
    Kind.INTEGER: "whole number",
    Kind.NUMBER: "number",
    Kind.FLAG: "true or false",
    Kind.DURATION: "seconds",
    Kind.FILE: "file name; the contents are the attachment",
}


def commands_reference() -> str:
    """Markdown: one section for each command."""
    return "\n" + "\n".join(line for spec in COMMANDS.values() for line in _section(spec))


def _section(spec: CommandSpec) -> list[str]:
    sentence = f"{spec.help[:1].upper()}{spec.help[1:]}."
    if spec.runs is Runs.CLIENT:
        return [f"### {spec.name}", "", f"{sentence} (done by speechctl itself)", ""]
    urgent = "urgent, " if spec.urgent else ""
    lines = [f"### {spec.name}", "", f"{sentence} ({spec.access}; {urgent}{_RUNS[spec.runs]})", ""]
    if spec.wire_arguments:
        lines += ["| argument | on the command line | value | meaning |", "|---|---|---|---|"]
        lines += [_row(argument, is_secret=argument in spec.secrets) for argument in spec.wire_arguments]
        lines.append("")
    return lines


def _row(argument: Argument, *, is_secret: bool) -> str:
    written = f"`{argument.name.upper() if argument.positional else argument.flag}`"
    if is_secret:
        written = "asked for, or `--password-file`"
    value = ", ".join(f"`{choice}`" for choice in argument.choices) or _KINDS[argument.kind]
    if argument.repeatable:
        value = f"list of {value}s"
    if argument.minimum is not None and argument.maximum is not None:
        value += f", {argument.minimum:,g} to {argument.maximum:,g}"
    if argument.default is not None:
        value += f" (default `{argument.default}`)"
    required = "**required**: " if argument.required else ""
    return f"| `{argument.name}` | {written} | {value} | {required}{argument.help} |"


def _rewrite(page: Path) -> None:
    introduction, _, _ = page.read_text(encoding="utf-8").partition(REFERENCE_BEGINS)
    page.write_text(introduction + REFERENCE_BEGINS + commands_reference(), encoding="utf-8")


if __name__ == "__main__":
    _rewrite(Path("docs/control-protocol.md"))
