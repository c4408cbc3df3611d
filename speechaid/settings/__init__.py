"""Settings from the environment, a file and files of secrets: read once, checked whole, then never changed.

``get_settings`` gives the settings or raises with every fault at once; ``settings_warnings`` finds likely
mistakes. ``reload_changes`` says what a reload can apply, ``after_reload`` applies just that.

    groups     every setting, declared once, in frozen models
    fields     how a setting is declared, and kinds of value
    table      the declarations as a table: for faults, warnings, reload and the page in the docs
    sources    environment and systemd's credentials as sources of pydantic-settings
    env_file   the environment file as one
    secrets    files that hold one secret
    loading    all sources together, faults and warnings
    reload     old settings against new ones
    certificates, zone_data   files beside them that must be usable, or new enough
"""

from __future__ import annotations

from speechaid.settings.groups import AlertSettings, DatabaseSettings, Settings
from speechaid.settings.loading import get_settings, get_web_settings, profile, settings_warnings
from speechaid.settings.reload import after_reload, reload_changes
from speechaid.settings.table import settings_table

__all__ = [
    "AlertSettings",
    "DatabaseSettings",
    "Settings",
    "after_reload",
    "get_settings",
    "get_web_settings",
    "profile",
    "reload_changes",
    "settings_table",
    "settings_warnings",
]
