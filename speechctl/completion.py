"""Completion scripts for bash, zsh and fish, from the command table; ids come from the daemon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from speechaid.protocol.messages import COMMANDS, Argument, CommandSpec, Kind
from speechaid.protocol.text import SAFE_ID

_COMMON: Final = ("--json", "--socket", "--key", "--timeout", "--yes", "--help")
#: Printed where the names of files are to be completed; no id looks like it.
_FILES: Final = "__files__"


def script(shell: str) -> str:
    """The script for a shell."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _flags(spec: CommandSpec) -> list[str]:
    return [argument.flag for argument in spec.arguments if not argument.positional]


def _candidates(argument: Argument) -> str:
    """A shell command that prints the candidates for an argument, one a line; empty where there are none."""
    if argument.choices:
        return _words(argument.choices)
    if argument.completes == "worker":
        return "_speechctl_workers"
    if argument.completes:
        return f'_speechctl_ids {argument.completes} "$cur"'
    return ""


def _words(words: Iterable[str]) -> str:
    return f"printf '%s\\n' {' '.join(words)}"


#: Asks the daemon. What it answers may come from another program's documents, and a shell expands some words
#: when they are completed or sent: only ids that no shell expands, splits or reads as an option are offered.
_ONLY_SAFE: Final = f"LC_ALL=C grep -xE '{SAFE_ID.pattern}'"
_SHARED: Final = f"""_speechctl_ids() {{
  case "$2" in
    "") speechctl ids "$1" --timeout 1s ;;
    -*) ;;
    *) speechctl ids "$1" "$2" --timeout 1s ;;
  esac 2>/dev/null | {_ONLY_SAFE}
}}
_speechctl_workers() {{
  speechctl status --json --timeout 1s 2>/dev/null |
    sed -n 's/^ *"slot": *"\\([^"]*\\)".*/\\1/p' | {_ONLY_SAFE}
}}"""


def _cases() -> str:
    """The candidates for each position and option of each command, as arms of a shell's ``case``."""
    arms: list[str] = []
    for spec in COMMANDS.values():
        for argument in spec.arguments:
            candidates = _candidates(argument)
            if candidates and not argument.positional:
                arms.append(f"    {spec.name}:{argument.flag}) {candidates} ;;")
        place = 0
        for argument in spec.arguments:
            if argument.positional:
                place += 1
                candidates = _words([_FILES]) if argument.kind is Kind.FILE else _candidates(argument)
                if candidates:
                    arms.append(f"    {spec.name}:{place}) {candidates} ;;")
        arms.append(f"    {spec.name}:flags) {_words([*_flags(spec), *_COMMON])} ;;")
    return "\n".join(arms)


def _functions() -> str:
    """Functions for bash and zsh; ``_speechctl_words`` prints the candidates for one position."""
    takes_value = " ".join(
        sorted(
            {
                argument.flag
                for spec in COMMANDS.values()
                for argument in spec.arguments
                if not argument.positional and argument.kind is not Kind.FLAG
            }
            | {"--socket", "--key", "--timeout"}
        )
    )
    return f"""{_SHARED}
_speechctl_words() {{
  # $1: the word so far; the others: the words before it
  local cur="$1" command="" place=0 previous="" word
  shift
  for word in "$@"; do
    case " {takes_value} " in
      *" $previous "*) previous="$word"; continue ;;
    esac
    previous="$word"
    case "$word" in
      -*) ;;
      *) if [ -z "$command" ]; then command="$word"; else place=$((place + 1)); fi ;;
    esac
  done
  if [ -z "$command" ]; then {_words([*COMMANDS, *_COMMON])}; return; fi
  local key="$command:$((place + 1))"
  case "$cur" in -*) key="$command:flags" ;; esac
  case "$previous" in --*) case " {takes_value} " in *" $previous "*) key="$command:$previous" ;; esac ;; esac
  case "$key" in
{_cases()}
  esac
}}"""


def _bash() -> str:
    # Not ``compgen -W``: it expands each word, so that an id like job-$(...) would be run.
    return f"""# eval "$(speechctl completion bash)"
{_functions()}
_speechctl() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" word
  COMPREPLY=()
  while IFS= read -r word; do
    # Without a candidate, readline completes the names of files.
    if [[ $word == "$cur"* && $word != {_FILES} ]]; then COMPREPLY+=("$word"); fi
  done < <(_speechctl_words "$cur" "${{COMP_WORDS[@]:1:COMP_CWORD-1}}")
}}
complete -o default -F _speechctl speechctl"""


def _zsh() -> str:
    return f"""#compdef speechctl
# eval "$(speechctl completion zsh)", after compinit
{_functions()}
_speechctl() {{
  local answer
  answer="$(_speechctl_words "${{words[CURRENT]}}" "${{(@)words[2,CURRENT-1]}}")"
  if [ "$answer" = {_FILES} ]; then _files; return; fi
  compadd -- "${{(@f)answer}}"
}}
compdef _speechctl speechctl"""


_FISH_IDS: Final = f"""function _speechctl_ids
  string match -q -- '-*' $argv[2]; and return
  test -n "$argv[2]"; and set -l prefix $argv[2]
  speechctl ids $argv[1] $prefix --timeout 1s 2>/dev/null | string match -r '^{SAFE_ID.pattern}$'
end
function _speechctl_workers
  speechctl status --json --timeout 1s 2>/dev/null |
    string replace -rf '^ *"slot": *"({SAFE_ID.pattern})".*' '$1'
end"""


def _fish() -> str:
    lines = ["# speechctl completion fish | source", _FISH_IDS, "complete -c speechctl -f"]
    names = " ".join(COMMANDS)
    lines.append(f"set -l commands {names}")
    for spec in COMMANDS.values():
        lines.append(
            f"complete -c speechctl -n 'not __fish_seen_subcommand_from {names}' -a {spec.name} "
            f"-d {_quoted(spec.help)}"
        )
        seen = f"-n '__fish_seen_subcommand_from {spec.name}'"
        for argument in spec.arguments:
            candidates = f"({_candidates(argument)})".replace('"$cur"', "(commandline -ct)")
            offers = "" if candidates == "()" else f" -a {_quoted(candidates)}"
            if argument.kind is Kind.FILE:
                lines.append(f"complete -c speechctl {seen} -F")
            elif argument.positional:
                lines += [f"complete -c speechctl {seen}{offers}"] if offers else []
            else:
                value = "" if argument.kind is Kind.FLAG else " -x" if offers else " -r"
                flag = f"-l {argument.flag[2:]}{value}{offers}"
                lines.append(f"complete -c speechctl {seen} {flag} -d {_quoted(argument.help)}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
