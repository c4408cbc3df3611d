"""What speechctl does itself, with other commands or without a daemon."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.specification import Access, Argument, CommandSpec, Runs

SPECS: Final = (
    CommandSpec(
        name="keys",
        help="keys for control over TCP: make the server's, add or revoke a client's, list them",
        access=Access.STATUS,
        arguments=(
            Argument(
                name="action",
                positional=True,
                required=True,
                choices=("server", "add", "revoke", "list"),
                help="what to do with the keys on this machine",
            ),
            Argument(name="name", positional=True, help="the client's name: maria"),
            Argument(
                name="access",
                choices=tuple(Access),
                default=Access.READ,
                help="what the client may do: see counts and health, see people's data, or command",
            ),
            Argument(
                name="dir", help="the directory of the keys (default: the daemon's SPEECHAID_CONTROL_KEYS)"
            ),
            Argument(name="out", help="the client's key file to write (default: NAME.key)"),
        ),
        runs=Runs.CLIENT,
    ),
    CommandSpec(
        name="completion",
        help='a shell\'s completion script: eval "$(speechctl completion bash)"',
        access=Access.STATUS,
        arguments=(
            Argument(
                name="shell",
                positional=True,
                required=True,
                choices=("bash", "zsh", "fish"),
                help="the shell",
            ),
        ),
        runs=Runs.CLIENT,
    ),
    CommandSpec(
        name="ids",
        help="ids with a prefix, for shell completion",
        access=Access.READ,
        arguments=(
            Argument(
                name="kind",
                positional=True,
                required=True,
                choices=("batch", "job", "account"),
                help="what the ids name",
            ),
            Argument(name="prefix", positional=True, is_id=True, help="the beginning of the ids"),
        ),
        timeout_seconds=2.0,
    ),
)
