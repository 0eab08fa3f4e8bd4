"""The hour of the first start: where the hourly partitions begin."""

from __future__ import annotations

from datetime import UTC, datetime

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.settings import Settings


def start_hour(settings: Settings) -> datetime:
    """The setting, or what the first start wrote into the state folder; written now if this is the first.

    Raises:
        SettingsError: the file in the state folder holds something else than an hour.
    """
    if settings.start_hour is not None:
        return settings.start_hour.astimezone(UTC)
    path = settings.home / "start_hour"
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    try:
        with path.open("x") as file:
            file.write(now.isoformat())
    except FileExistsError:
        # Another process was first, at this start or long ago; an empty file is one it is just writing.
        now = _read(path.read_text() or now.isoformat(), str(path))
    return now


def _read(text: str, path: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except ValueError as error:
        raise SettingsError(
            f"{path} holds {text!r}, which is no hour: write the first hourly partition into it "
            "(2026-01-31T12:00:00+00:00) or set LAKEHOUSE_START_HOUR."
        ) from error
