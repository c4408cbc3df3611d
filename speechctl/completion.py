"""Completion scripts for bash, zsh and fish, from the command table; ids come from the daemon."""

from __future__ import annotations

from speechaid.protocol.messages import COMMANDS, Argument, CommandSpec, Kind

_COMMON = ("--json", "--socket", "--key", "--timeout", "--yes", "--help")


def script(shell: str) -> str:
    """The script for a shell."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _flags(spec: CommandSpec) -> list[str]:
    return [argument.flag for argument in spec.arguments if not argument.positional]


def _candidates(argument: Argument) -> str:
    """A shell command that prints the candidates for an argument: ids of the daemon, choices, or nothing."""
    if argument.choices:
        return f"echo {' '.join(argument.choices)}"
    if argument.completes == "worker":
        return _WORKERS
    if argument.completes:
        return f'speechctl ids {argument.completes} "$cur" --timeout 1s 2>/dev/null'
    return ":"


_WORKERS = 'speechctl status --json --timeout 1s 2>/dev/null | sed -n \'s/^ *"slot": *"\\([^"]*\\)".*/\\1/p\''


def _cases() -> str:
    """The candidates for each position and option of each command, as arms of a shell's ``case``."""
    arms: list[str] = []
    for spec in COMMANDS.values():
        for argument in spec.arguments:
            candidates = _candidates(argument)
            if candidates != ":" and not argument.positional:
                arms.append(f"    {spec.name}:{argument.flag}) {candidates} ;;")
        place = 0
        for argument in spec.arguments:
            if argument.positional:
                place += 1
                candidates = "echo __files__" if argument.kind is Kind.FILE else _candidates(argument)
                if candidates != ":":
                    arms.append(f"    {spec.name}:{place}) {candidates} ;;")
        arms.append(f"    {spec.name}:flags) echo {' '.join([*_flags(spec), *_COMMON])} ;;")
    return "\n".join(arms)


def _shared() -> str:
    """A function for bash and zsh that prints the candidates for one position."""
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
    return f"""_speechctl_words() {{
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
  if [ -z "$command" ]; then echo {" ".join(COMMANDS)} {" ".join(_COMMON)}; return; fi
  local key="$command:$((place + 1))"
  case "$cur" in -*) key="$command:flags" ;; esac
  case "$previous" in --*) case " {takes_value} " in *" $previous "*) key="$command:$previous" ;; esac ;; esac
  case "$key" in
{_cases()}
  esac
}}"""


def _bash() -> str:
    return f"""# eval "$(speechctl completion bash)"
{_shared()}
_speechctl() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" words
  words="$(_speechctl_words "$cur" "${{COMP_WORDS[@]:1:COMP_CWORD-1}}")"
  if [ "$words" = __files__ ]; then COMPREPLY=( $(compgen -f -- "$cur") ); return; fi
  COMPREPLY=( $(compgen -W "$words" -- "$cur") )
}}
complete -o default -F _speechctl speechctl"""


def _zsh() -> str:
    return f"""#compdef speechctl
# eval "$(speechctl completion zsh)", after compinit
{_shared()}
_speechctl() {{
  local answer
  answer="$(_speechctl_words "${{words[CURRENT]}}" "${{(@)words[2,CURRENT-1]}}")"
  if [ "$answer" = __files__ ]; then _files; return; fi
  compadd -- ${{(f)"$(echo $answer | tr ' ' '\\n')"}}
}}
compdef _speechctl speechctl"""


def _fish() -> str:
    lines = ["# speechctl completion fish | source", "complete -c speechctl -f"]
    names = " ".join(COMMANDS)
    lines.append(f"set -l commands {names}")
    for spec in COMMANDS.values():
        lines.append(
            f"complete -c speechctl -n 'not __fish_seen_subcommand_from {names}' -a {spec.name} "
            f"-d {_quoted(spec.help)}"
        )
        seen = f"-n '__fish_seen_subcommand_from {spec.name}'"
        for argument in spec.arguments:
            candidates = _candidates(argument).replace('"$cur"', "(commandline -ct)")
            offers = f" -a {_quoted(f'({candidates})')}" if candidates != ":" else ""
            if argument.kind is Kind.FILE:
                lines.append(f"complete -c speechctl {seen} -F")
            elif argument.positional:
                lines += [f"complete -c speechctl {seen}{offers}"] if offers else []
            else:
                value = "" if argument.kind is Kind.FLAG else " -r"
                flag = f"-l {argument.flag[2:]}{value}{offers}"
                lines.append(f"complete -c speechctl {seen} {flag} -d {_quoted(argument.help)}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
