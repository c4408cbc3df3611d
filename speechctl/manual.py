"""The commands' reference as Markdown, from the command table: ``python -m speechctl.manual`` prints it."""

from __future__ import annotations

from speechaid.protocol.messages import COMMANDS, Argument, CommandSpec, Kind, Runs

_WHERE = {
    Runs.LOOP: "answered at once",
    Runs.BACKGROUND: "works in the database",
    Runs.STREAM: "progress without end, no last answer",
}
_WORDS = {
    Kind.TEXT: "text",
    Kind.INTEGER: "whole number",
    Kind.NUMBER: "number",
    Kind.FLAG: "true or false",
    Kind.DURATION: "seconds",
    Kind.FILE: "file name; the contents are the attachment",
}


def manual() -> str:
    """One section a command."""
    return "\n".join(line for spec in COMMANDS.values() for line in _section(spec))


def _section(spec: CommandSpec) -> list[str]:
    if spec.runs is Runs.CLIENT:
        return [f"### {spec.name}", "", f"{spec.help[:1].upper()}{spec.help[1:]}. (speechctl's own)", ""]
    where = _WHERE[spec.runs]
    lines = [f"### {spec.name}", "", f"{spec.help[:1].upper()}{spec.help[1:]}. ({spec.access}; {where})", ""]
    if spec.wire_arguments:
        lines += ["| argument | on the command line | value | meaning |", "|---|---|---|---|"]
        lines += [_row(argument) for argument in spec.wire_arguments]
        lines.append("")
    return lines


def _row(argument: Argument) -> str:
    written = argument.name.upper() if argument.positional else argument.flag
    value = ", ".join(f"`{choice}`" for choice in argument.choices) or _WORDS[argument.kind]
    if argument.minimum is not None and argument.maximum is not None:
        value += f", {argument.minimum:,g} to {argument.maximum:,g}"
    if argument.default is not None:
        value += f" (default `{argument.default}`)"
    need = "**required**: " if argument.required else ""
    return f"| `{argument.name}` | `{written}` | {value} | {need}{argument.help} |"


if __name__ == "__main__":
    print(manual())
