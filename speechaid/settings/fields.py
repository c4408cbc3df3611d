"""How a setting is declared, and the kinds of value that need more than a range."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.config import JsonDict

from speechaid.protocol.messages import path_fault
from speechaid.protocol.text import hide_password

#: Retell stops a call after two hours at the latest.
LONGEST_CALL_MINUTES: Final = 120
MONTH_MINUTES: Final = 30 * 24 * 60
#: MongoDB keeps the age at which it deletes documents as 32 bits of seconds.
LONGEST_RETENTION_DAYS: Final = (2**31 - 1) // 86_400


_HOST_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9._-]{0,252}")


class Group(BaseModel):
    """Settings that belong together; nothing changes them, a reload makes new ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def setting(
    variable: str,
    default: Any,
    meaning: str,
    *,
    allowed: str,
    live: bool = True,
    default_shown: str | None = None,
    **limits: Any,
) -> Any:
    """Declare a setting.

    Args:
        variable: its environment variable.
        default: ``...`` where there is none.
        meaning: for the table in the docs.
        allowed: completes "must be".
        live: a reload applies a change; otherwise it takes a restart.
        default_shown: for the table, where the default is worked out at the start.
        limits: pydantic's own constraints.
    """
    declared: JsonDict = {"variable": variable, "allowed": allowed, "live": live}
    if default_shown is not None:
        declared["default_shown"] = default_shown
    return Field(default, description=meaning, json_schema_extra=declared, **limits)


def seconds(variable: str, default: float, meaning: str, *, up_to: float, zero: bool = False) -> Any:
    """Declare a span in seconds; fractions are welcome, and 0 where ``zero`` allows it."""
    return _span(variable, default, meaning, "seconds", up_to, zero=zero)


def minutes(variable: str, default: float, meaning: str, *, up_to: float) -> Any:
    """Declare a span in minutes; fractions are welcome."""
    return _span(variable, default, meaning, "minutes", up_to)


def whole(variable: str, default: int | None, meaning: str, *, low: int, high: int, live: bool = True) -> Any:
    """Declare a whole number."""
    allowed = f"a whole number from {low} to {high}"
    return setting(variable, default, meaning, allowed=allowed, live=live, ge=low, le=high)


def collection(variable: str, default: str, meaning: str) -> Any:
    """Declare the name of a MongoDB collection."""
    allowed = "a collection's name: letters, digits, _ . and -, a letter or _ first, at most 120"
    pattern = r"^[A-Za-z_][A-Za-z0-9_.-]{0,119}$"
    return setting(variable, default, meaning, allowed=allowed, live=False, pattern=pattern)


def _span(variable: str, default: float, meaning: str, unit: str, up_to: float, *, zero: bool = False) -> Any:
    allowed = f"a number of {unit}, {'from 0 to' if zero else 'more than 0 and at most'} {up_to}"
    limits: dict[str, Any] = {"ge" if zero else "gt": 0, "le": up_to, "allow_inf_nan": False}
    return setting(variable, default, meaning, allowed=allowed, **limits)


def hide_credentials(address: str) -> str:
    """An address without password or session token; the user's name stays."""
    return re.sub(r"(?i)((?:password|token)[=:])[^&,]*", r"\1***", hide_password(address))


class Hours(Group):
    """A daily span in local time; an end before the start lies on the next day."""

    start: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    end: str = Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")

    def document(self) -> dict[str, str]:
        """In the form of a batch's ``allowed_hours``."""
        return {"start": self.start, "end": self.end}


def _parse_hours(value: object) -> object:
    """``09:00-20:00``."""
    if not isinstance(value, str):
        return value
    start, dash, end = (part.strip() for part in value.partition("-"))
    if not dash or start == end:
        raise ValueError
    return {"start": start, "end": end}


def _parse_days(value: object) -> object:
    """``1-5`` or ``1,2,6``: Monday is 1, Sunday 7 or 0."""
    if not isinstance(value, str):
        return value
    days: set[int] = set()
    for part in value.split(","):
        match = re.fullmatch(r"\s*([0-7])\s*(?:-\s*([0-7])\s*)?", part)
        if match is None:
            raise ValueError
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError
        days.update(range(first, last + 1))
    return sorted({day or 7 for day in days})


def _check_address(value: SecretStr) -> SecretStr:
    address = value.get_secret_value()
    if not re.fullmatch(r"mongodb(\+srv)?://[^/?#\s]\S*|embedded:.*\S.*", address):
        raise ValueError
    directory = address.removeprefix("embedded:")
    if directory != address:
        # The embedded database cannot open any other; a relative one has the working directory's name in it.
        str(_make_absolute(Path(directory))).encode("utf-8")
    return value


def _check_key(value: SecretStr) -> SecretStr:
    """A blank, a line end or a curly quote would break the header of each request."""
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError
    return value


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, OSError, ValueError) as exc:  # unknown, a directory of the data, a path with dots
        raise ValueError from exc
    return value


def _check_country(value: str) -> str:
    """With a wrong word (UK for GB) every number written without its country code would count as dead."""
    if value.upper() not in SUPPORTED_REGIONS:
        raise ValueError
    return value.upper()


def _make_absolute(value: Path) -> Path:
    try:
        return value.expanduser().absolute()
    except RuntimeError as exc:  # ~NAME of a user that does not exist
        raise ValueError from exc


def _check_socket(value: Path) -> Path:
    path = _make_absolute(value)
    if path_fault(path):
        raise ValueError
    return path


def _check_absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _check_listener(value: str) -> str:
    """``HOST:PORT``, ``[IPv6]:PORT`` or ``off``."""
    if value.lower() == "off":
        return "off"
    host, colon, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = bare != host
    if not (colon and bare and port.isascii() and port.isdecimal() and int(port) <= 65_535):
        raise ValueError
    if re.search(r"\s", value) or (":" in bare) is not bracketed:
        raise ValueError
    return value


def _parse_host_names(value: object) -> object:
    """``dialer1.internal, prometheus.example.com``: names without a port, in lower case."""
    if not isinstance(value, str):
        return value
    names = [part.strip().lower().rstrip(".") for part in value.split(",")]
    if not all(_HOST_NAME.fullmatch(name) for name in names):
        raise ValueError
    return tuple(names)


def _check_web_listener(value: str) -> str:
    if value.lower() == "off":  # what is not to serve is not started
        raise ValueError
    return _check_listener(value)


def _parse_ip_addresses(value: object) -> object:
    """``127.0.0.1, ::1``."""
    if not isinstance(value, str):
        return value
    return tuple(str(ip_address(part.strip())) for part in value.split(","))


def _check_web_address(value: SecretStr | None) -> SecretStr | None:
    """An address to post to; it may hold a token, so it is a secret."""
    if value is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/\S*)?", value.get_secret_value()):
        raise ValueError
    return value


MongoAddress = Annotated[SecretStr, AfterValidator(_check_address)]
HostNames = Annotated[tuple[str, ...] | None, BeforeValidator(_parse_host_names)]
Listener = Annotated[str, AfterValidator(_check_listener)]
WebListener = Annotated[str, AfterValidator(_check_web_listener)]
IpAddresses = Annotated[tuple[str, ...] | None, BeforeValidator(_parse_ip_addresses)]
WebAddress = Annotated[SecretStr | None, AfterValidator(_check_web_address)]
ApiKey = Annotated[SecretStr, AfterValidator(_check_key)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Country = Annotated[str, AfterValidator(_check_country)]
DailyHours = Annotated[Hours | None, BeforeValidator(_parse_hours)]
#: 1 is Monday, 7 Sunday; in order, none twice.
WeekDays = Annotated[tuple[int, ...] | None, BeforeValidator(_parse_days)]
SocketPath = Annotated[Path, AfterValidator(_check_socket)]
#: A relative one is taken from the working directory, ``~`` is the user's home.
StateDirectory = Annotated[Path, AfterValidator(_make_absolute)]
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]
OptionalPath = AbsolutePath | None
LevelName = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
