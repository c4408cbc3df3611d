"""Where settings come from, as sources of pydantic-settings.

pydantic-settings asks the sources in turn, strongest first, shows each one what the stronger ones found,
merges the answers and has the result validated. Its built-in sources do not fit: they look for a nested field
by a name made of its path, replace ``${NAME}`` in a file, skip a line that they cannot read, and stop at the
first fault.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from speechaid.protocol.translation import say
from speechaid.settings.secrets import Unusable, file_variable, read_secret
from speechaid.settings.table import DECLARATIONS, Declaration


class VariableSource(PydanticBaseSettingsSource):
    """Settings by the names of their variables; a secret may be given by its ``_FILE`` variable instead.

    Values stay text, secrets hidden in ``SecretStr``: validation turns them into settings.
    """

    def __init__(self, variables: Mapping[str, str], place: str) -> None:
        """``variables`` may be other programs' too; ``place`` says where they stand."""
        super().__init__(BaseSettings)  # for its configuration: sources are made before the model they fill
        self.place = place
        #: Those with a value; blanks count as none.
        self.variables = {name: value.strip() for name, value in variables.items() if value.strip()}
        self.empty = variables.keys() - self.variables.keys()

    def __call__(self) -> dict[str, Any]:
        """What this source adds to the stronger ones."""
        return {"settings": self.groups}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Value and name of the model's one field, and that the value needs no parsing."""
        return self.groups, field_name, False

    @functools.cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """Values by group and field, without those that a stronger source has; read at the first use."""
        groups: dict[str, dict[str, Any]] = {declared.group: {} for declared in DECLARATIONS}
        stronger = self.current_state.get("settings", {})
        for declared in DECLARATIONS:
            if declared.field in stronger.get(declared.group, {}):
                continue
            value: object = self.value_of(declared)
            if declared.secret and isinstance(value, str):
                value = SecretStr(value)
            if value is not None:
                groups[declared.group][declared.field] = value
        return groups

    def value_of(self, declared: Declaration) -> str | Unusable | None:
        """The setting's value here, None where it is not set."""
        value = self.variables.get(declared.variable)
        name = file_variable(declared.variable)
        path = self.variables.get(name) if declared.secret else None
        if path is None:
            return value
        if value is not None:
            # One of the two is probably the key of yesterday.
            return Unusable(
                say(
                    "{variable} and {name} are both set: set one of them",
                    variable=declared.variable,
                    name=name,
                )
            )
        return read_secret(Path(path), f"{name}={path}")


class CredentialsSource(VariableSource):
    """systemd's credentials: one file for each secret, named like its variable in small letters."""

    def __init__(self, directory: str | None) -> None:
        """``directory`` is ``$CREDENTIALS_DIRECTORY``; None where systemd passes no credentials."""
        super().__init__({}, say("in {directory}", directory=directory))
        self._directory = directory

    def value_of(self, declared: Declaration) -> str | Unusable | None:
        """The content of the setting's credential, None where there is none."""
        path = self.path_of(declared)
        return None if path is None else read_secret(path, say("the credential {name}", name=path.name))

    def path_of(self, declared: Declaration) -> Path | None:
        """The setting's credential, also one that cannot be read: reading it gives the fault."""
        if not declared.secret or not self._directory:
            return None
        path = Path(self._directory) / declared.variable.lower()
        try:
            return path if path.exists() else None
        except OSError:
            return path
