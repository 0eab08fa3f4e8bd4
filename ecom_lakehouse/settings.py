"""Every setting, once: its name, its default, what is allowed.

Names carry the prefix `LAKEHOUSE_` in the environment or in `.env`; the environment wins. Spark's own
`SPARK_REMOTE` and the `AWS_*` variables keep their names, and the generator's settings carry no prefix.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit
from zoneinfo import available_timezones

from dotenv import dotenv_values
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from ecom_lakehouse.core.checks import TOLERANCES
from ecom_lakehouse.core.detection.rules import KINDS
from ecom_lakehouse.errors import SettingsError

PREFIX = "LAKEHOUSE_"
PROJECT_ROOT = Path(__file__).resolve().parent.parent
LOCALHOST = "127.0.0.1"

# Of the options of Kafka's clients only these are shown: new ones may be secrets.
SHOWN_KAFKA_OPTIONS = frozenset(
    {"security.protocol", "sasl.mechanism", "sasl.mechanisms", "ssl.ca.location", "client.id", "debug"}
)

Port = Annotated[int, Field(ge=1, le=65535)]


class ApiKey(BaseModel):
    """Who may call the API: a role, and the SHA-256 of the key (`lakehouse api-key` makes both)."""

    role: Literal["read", "write"]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ToleranceSetting(BaseModel):
    """What replaces a tolerance of the catalogue: only the parts that are given do."""

    model_config = ConfigDict(extra="forbid")

    warn_above: float | None = Field(None, ge=0, le=1)
    error_above: float | None = Field(None, ge=0, le=1)
    min_count: int | None = Field(None, ge=1)


class Settings(BaseSettings):
    """The platform's settings, resolved: paths are absolute, what was left empty is filled in."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    # places
    home: Path = Field(Path(".lakehouse"), description="The one folder that holds all local state.")
    lake_root: str = Field("", description="The Delta tables' root, a folder or s3://…; $HOME/lake if empty.")

    cache: Path = Field(
        PROJECT_ROOT / ".lakehouse" / "cache",
        description="Downloads of the local stack, shared by all homes.",
    )
    maven_repository: str = Field("", description="Where Kafka's jars come from; Maven Central if empty.")
    min_free_disk_mb: int = Field(1024, ge=0, description="Disk that `run` wants to find and to keep free.")

    # ports of the local stack
    kafka_port: Port = Field(19092, description="Kafka's port on this machine.")
    postgres_port: Port = Field(5432, description="Postgres' port on this machine.")
    api_port: Port = Field(8000, description="The API's port.")
    dashboard_port: Port = Field(8501, description="The dashboard's port.")
    dagster_port: Port = Field(3000, description="The port of Dagster's UI.")

    # where things are, if not in the local stack
    kafka_bootstrap_servers: str = Field("", description="Kafka's brokers; the local one if empty.")
    kafka_options: dict[str, str] = Field(
        default_factory=dict, description="More options of Kafka's clients (JSON), such as security.protocol."
    )
    postgres_url: str = Field("", description="Gold, ledger and alerts; the local Postgres if empty.")
    api_postgres_url: str = Field("", description="The same database, as the API's read-only role.")
    dagster_postgres_url: str = Field(
        "", description="Dagster's own storage; a database of the local Postgres."
    )
    api_url: str = Field("", description="Where the dashboard and links find the API.")
    dashboard_url: str = Field("", description="Where links find the dashboard.")
    dagster_url: str = Field("", description="Where links find Dagster's UI.")
    dagster_internal_url: str = Field(
        "", description="Where the API asks whether Dagster is there; as links do if empty."
    )

    # ingestion
    topic: str = Field("ecom.events.raw.v1", min_length=1, description="The topic of raw events.")
    topic_partitions: int = Field(3, ge=1, le=1000, description="Partitions of the topic that `run` creates.")
    topic_retention_hours: int = Field(168, ge=1, description="How long that topic keeps messages.")
    start_offsets: Literal["earliest", "latest"] = Field(
        "earliest", description="Where a first start begins to read; earliest loses nothing."
    )
    start_hour: AwareDatetime | None = Field(
        None, description="The first hourly partition; the hour of the first start if empty."
    )
    micro_batch_seconds: int = Field(
        60, ge=5, le=3600, description="A slice is cut at every such mark, later by CLOSE_GRACE_SECONDS."
    )
    slice_max_messages: int = Field(500_000, ge=1, description="The most messages one slice takes.")
    run_max_seconds: int = Field(1800, ge=60, description="A run that takes longer is ended.")
    slice_max_attempts: int = Field(
        10, ge=1, description="Tries before a slice waits for a person; ten take 20 minutes."
    )
    retry_base_seconds: float = Field(5.0, gt=0, description="Back-off after the first failure; it doubles.")

    # the contract's tolerances
    dedupe_horizon_minutes: int = Field(
        60, ge=1, description="How far apart in ingestion a re-used id is found."
    )
    future_limit_minutes: int = Field(5, ge=0, description="How far ahead of the broker an event may be.")
    age_limit_days: int = Field(365, ge=1, description="How far behind the broker an event may be.")
    close_grace_seconds: float = Field(5.0, ge=0, description="How long after its end a minute may close.")

    # quality
    tolerances: dict[str, ToleranceSetting] = Field(
        default_factory=dict,
        description='Tolerances by check in place of their own: {"malformed_json": {"warn_above": 0.02}} (JSON).',
    )
    runbook_url: str = Field("", description="Where links find the runbook; the project's own file if empty.")

    # the detector
    detector_rule: Literal["surprise_v1", "ewma_zscore_v1"] = Field(
        "surprise_v1", description="The rule that judges every closed minute."
    )
    detector_metrics: tuple[str, ...] = Field(
        ("events_total", "events_purchase", "revenue", "purchase_conversion", "add_to_cart_rate"),
        min_length=1,
        description="The metrics that are watched (JSON).",
    )
    detector_time_zone: str = Field(
        "UTC", description="The shop's local time, whose day and week the default rule learns."
    )
    detector_warn_surprise: float = Field(
        4.0, gt=0, le=14, description="Default rule: warns of what comes once in 10 to this power minutes."
    )
    detector_critical_surprise: float = Field(
        6.0, gt=0, le=14, description="Default rule: critical from this on."
    )
    detector_ewma_alpha: float = Field(0.2, gt=0, lt=1, description="Plain rule: weight of a new value.")
    detector_ewma_window: int = Field(60, ge=10, le=100_000, description="Plain rule: residuals remembered.")
    detector_ewma_lookback_minutes: float = Field(180, gt=0, description="Plain rule: none older than this.")
    detector_ewma_warn_z: float = Field(3.0, gt=0, description="Plain rule: warns from this z score on.")
    detector_ewma_critical_z: float = Field(5.0, gt=0, description="Plain rule: critical from this on.")
    detector_min_clicks: int = Field(50, ge=0, description="Clicks a minute needs for ratios over them.")
    detector_min_carts: int = Field(30, ge=0, description="Carts a minute needs for ratios over them.")
    detector_ignore_newest_minutes: int = Field(
        0, ge=0, le=60, description="Closed minutes left for later; closed ones are complete, so none."
    )
    detector_minutes_per_tick: int = Field(
        720, ge=1, description="The most minutes one call scores; the next goes on."
    )
    detector_rescore_minutes: int = Field(
        180, ge=0, le=10_080, description="How far behind a changed minute is judged anew."
    )
    alert_cooldown_minutes: int = Field(
        10, ge=0, description="Quiet after an incident's end before a new warning; not for critical."
    )
    alert_resolve_minutes: int = Field(
        10, ge=1, description="Ordinary minutes in a row that end an incident."
    )
    alert_no_events_minutes: int = Field(5, ge=1, description="Closed minutes without events that alarm.")
    alert_late_seconds: int = Field(
        300, ge=30, description="Age of the newest complete state at which the pipeline counts as late."
    )
    webhook_url: str = Field("", description="Where alerts are sent (JSON, Slack-compatible); off if empty.")
    webhook_secret: str = Field("", description="Signs what is sent (HMAC-SHA256); unsigned if empty.")
    webhook_max_attempts: int = Field(12, ge=1, le=50, description="Tries before a message is given up.")
    webhook_timeout_seconds: float = Field(5.0, gt=0, le=15, description="How long one try may take.")

    # the API
    api_host: str = Field(LOCALHOST, description="Where the API listens; beyond localhost it wants keys.")
    api_keys: dict[str, ApiKey] = Field(
        default_factory=dict, description="Keys by name, hashed (JSON); `lakehouse api-key` prints an entry."
    )
    api_key: str = Field("", description="The key that the dashboard and `lakehouse` present to the API.")
    api_rate_limit_per_minute: int = Field(
        0, ge=0, description="Requests a minute for each key (or address); 0 is no limit."
    )
    api_pool_size: int = Field(8, ge=1, le=100, description="The most connections the API holds to Postgres.")
    api_statement_timeout_seconds: float = Field(
        5.0, gt=0, le=15, description="A question to Postgres that takes longer is ended."
    )
    api_stream_clients: int = Field(200, ge=1, description="The most listeners of /kpis/stream at once.")
    api_stream_poll_seconds: float = Field(
        1.0, ge=0.05, le=60, description="How often the stream looks for new minutes, once for all listeners."
    )
    stale_after_seconds: int = Field(
        180, ge=5, description="How long after the newest closed minute the data counts as stale."
    )

    @field_validator("home", "cache")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("tolerances")
    @classmethod
    def _known_tolerances(cls, value: dict[str, ToleranceSetting]) -> dict[str, ToleranceSetting]:
        for name, given in value.items():
            if name not in TOLERANCES:
                raise ValueError(f"{name!r} has no tolerance; allowed are {', '.join(TOLERANCES)}")
            try:
                replace(TOLERANCES[name], **given.model_dump(exclude_none=True))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return value

    @field_validator("detector_time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("allowed is a name of the time zone database, such as Europe/Berlin")
        return value

    @field_validator("detector_metrics")
    @classmethod
    def _metrics_of_gold(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in KINDS]
        if unknown:
            raise ValueError(f"{unknown[0]} is no metric of Gold; there are {', '.join(KINDS)}")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("allowed is an http:// or https:// URL, or nothing")
        return value

    @field_validator("start_hour")
    @classmethod
    def _whole_hour(cls, value: AwareDatetime | None) -> AwareDatetime | None:
        if value is not None and (value.minute, value.second, value.microsecond) != (0, 0, 0):
            raise ValueError("allowed is a whole hour with an offset, such as 2026-01-31T12:00:00Z")
        return value

    def model_post_init(self, _context: Any) -> None:
        """Fills in what follows from other settings, so that a reader never has to."""
        local_postgres = f"{LOCALHOST}:{self.postgres_port}"
        resolved = {
            "lake_root": str(self.home / "lake"),
            "kafka_bootstrap_servers": f"{LOCALHOST}:{self.kafka_port}",
            "postgres_url": f"postgresql://app:app@{local_postgres}/analytics",
            "api_postgres_url": f"postgresql://lakehouse_api:lakehouse_api@{local_postgres}/analytics",
            "dagster_postgres_url": f"postgresql://app:app@{local_postgres}/dagster",
            "api_url": f"http://{LOCALHOST}:{self.api_port}",
            "dashboard_url": f"http://{LOCALHOST}:{self.dashboard_port}",
            "dagster_url": f"http://{LOCALHOST}:{self.dagster_port}",
            "dagster_internal_url": self.dagster_url or f"http://{LOCALHOST}:{self.dagster_port}",
        }
        for name, value in resolved.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        if "://" not in self.lake_root:
            object.__setattr__(self, "lake_root", str(Path(self.lake_root).expanduser().absolute()))

    @property
    def storage_options(self) -> dict[str, str]:
        """What delta-rs needs to open the lake: the `AWS_*` variables on S3, nothing on a folder."""
        if not self.lake_root.startswith(("s3://", "s3a://")):
            return {}
        return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    @property
    def spark_remote(self) -> str | None:
        """The Spark Connect server to use; None lets a run start its own engine."""
        return os.environ.get("SPARK_REMOTE") or None

    def public(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The resolved settings by name, passwords masked and storage options left out unless asked."""
        values = self.model_dump(mode="json")
        values["spark_remote"] = self.spark_remote
        if show_secrets:
            return {**values, "storage_options": self.storage_options}
        if self.spark_remote:
            values["spark_remote"] = re.sub(r"(?i)(;token=)[^;]*", r"\1***", self.spark_remote)
        for name in ("postgres_url", "api_postgres_url", "dagster_postgres_url"):
            values[name] = masked_url(values[name])
        values["api_key"] = "***" if self.api_key else ""
        values["webhook_secret"] = "***" if self.webhook_secret else ""
        if self.webhook_url:  # its path is often a secret itself
            values["webhook_url"] = (
                f"{urlsplit(self.webhook_url).scheme}://{urlsplit(self.webhook_url).hostname}/***"
            )
        values["kafka_options"] = {
            name: value if name in SHOWN_KAFKA_OPTIONS else "***"
            for name, value in self.kafka_options.items()
        }
        return values


def masked_url(url: str) -> str:
    """The same URL with its passwords replaced by `***`, also those among its parameters."""
    parts = urlsplit(url)
    query = re.sub(r"(?i)(password=)[^&]*", r"\1***", parts.query)
    if parts.password is not None:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{parts.username}:***@{host}")
    return urlunsplit(parts._replace(query=query))


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """The URL of a database for a command line, which everybody can read, and what the environment must add."""
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    password = dict(given).get("password") or unquote(parts.password or "")
    host = parts.netloc.rpartition("@")[2]
    bare = parts._replace(
        netloc=f"{parts.username}@{host}" if parts.username else host,
        query=urlencode([(name, value) for name, value in given if name != "password"]),
    )
    return urlunsplit(bare), {"PGPASSWORD": password} if password else {}


class GeneratorSettings(BaseSettings):
    """What the event generator makes, by the names that its users know: no prefix."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    events_per_sec: float = Field(20, ge=0, description="Events a second; 0 is as many as it can.")
    dup_rate: float = Field(0.02, ge=0, le=1, description="Share of messages that are re-sent earlier ones.")
    late_rate: float = Field(0.05, ge=0, le=1, description="Share of new events whose event_time lies back.")
    late_max_seconds: int = Field(600, ge=1, description="How far back a late event's event_time may lie.")
    invalid_rate: float = Field(0.05, ge=0, le=1, description="Share of new events that break the contract.")
    seed: int = Field(42, description="The same seed makes the same events, but for their times.")
    log_every: int = Field(1000, ge=0, description="Events between two lines of progress; 0 is none.")
    max_events: int = Field(0, ge=0, description="Messages after which to stop; 0 is never.")


def load_generator_settings(**given: Any) -> GeneratorSettings:
    """The generator's settings from the environment and `.env`, with those given in their place.

    Raises:
        SettingsError: a value is not allowed; names it and what is.
    """
    try:
        return GeneratorSettings(**given)
    except ValidationError as error:
        raise SettingsError(_explained(error, GeneratorSettings, prefix="")) from None


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process, read once from the environment and `.env`.

    Raises:
        SettingsError: a setting is unknown or its value is not allowed; names it, its value and what is.
    """
    _refuse_unknown({**dotenv_values(".env"), **os.environ})
    try:
        return Settings()
    except UnreadableError as error:
        raise SettingsError(_unreadable(error)) from None
    except ValidationError as error:
        raise SettingsError(_explained(error, Settings, PREFIX)) from None


def _refuse_unknown(variables: Mapping[str, Any]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in variables:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`lakehouse settings` lists those that there are."
            raise SettingsError(f"{name} is no setting of the lakehouse: {hint}")


def _unreadable(error: UnreadableError) -> str:
    found = re.search(r'field "(\w+)"', str(error))
    field = found[1] if found else ""
    meaning = Settings.model_fields[field].description if field in Settings.model_fields else ""
    # Its value is not repeated: Kafka's options hold passwords.
    return f"{PREFIX}{field.upper()} is not allowed: it is not valid JSON ({error.__cause__}). ({meaning})"


def _explained(error: ValidationError, model: type[BaseSettings], prefix: str) -> str:
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        allowed = problem["msg"].removeprefix("Value error, ")
        meaning = model.model_fields[field].description if field in model.model_fields else ""
        lines.append(
            f"{prefix}{field.upper()}={problem.get('input')!r} is not allowed: {allowed}. ({meaning})"
        )
    return "\n".join(lines)
