"""What the API answers, field by field: these models make `/docs` and the OpenAPI document.

Answers are written straight from the rows by msgspec (`answers.py`); tests hold them to these models. A value
is a JSON number with all its decimal digits, so that a reader who parses decimals loses no cent.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

NOON = "2026-01-31T12:00:00Z"
AS_OF = "2026-01-31T12:01:05.250000Z"

Step = Literal["minute", "hour", "day"]
Severity = Literal["warn", "critical"]
AlertState = Literal["open", "resolved", "retracted"]
Verdict = Literal["pass", "warn", "error", "no_data"]


class Answer(BaseModel):
    """Nothing beside the named fields."""

    model_config = ConfigDict(extra="forbid")


class Kpi(Answer):
    """One metric in one window."""

    window_start: AwareDatetime = Field(description="The window's first moment, UTC.", examples=[NOON])
    metric: str = Field(examples=["revenue"])
    value: float | None = Field(
        description="Exact decimal digits; null where there is no data.", examples=[129.9]
    )
    has_data: bool = Field(description="False where no event fell into the window: no data is not zero.")
    provisional: bool = Field(description="True until all that Kafka held at the window's end is counted.")
    revision: int | None = Field(
        description="How often a minute's value changed, 1 at first; null for hours, days and gaps.",
        examples=[1],
    )


class KpiSeries(Answer):
    """A page of a range, oldest window first, every window of the range present."""

    model_config = ConfigDict(populate_by_name=True)

    from_: AwareDatetime = Field(alias="from", description="First window of the range.", examples=[NOON])
    to: AwareDatetime = Field(description="End of the range, itself not in it.", examples=[NOON])
    step: Step
    data_as_of: AwareDatetime | None = Field(
        description="All that Kafka held at this moment is counted; null before the first batch.",
        examples=[AS_OF],
    )
    data: list[Kpi]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Band(Answer):
    """What the detector expected of a metric in one minute, and its verdict on what came."""

    window_start: AwareDatetime = Field(examples=[NOON])
    metric: str = Field(examples=["revenue"])
    value: float | None = Field(description="The value that was judged; null where there was none.")
    baseline: float | None = Field(description="What was expected; null while there is too little history.")
    lower: float | None = Field(description="What lies below would have alarmed.")
    upper: float | None = Field(description="What lies above would have alarmed.")
    score: float = Field(ge=0, le=1, description="How surprising the value was.")
    severity: Literal["none", "warn", "critical"]
    reason: str
    rule_name: str


class Bands(Answer):
    """A page of verdicts, the oldest minute first; minutes that were not scored are left out."""

    model_config = ConfigDict(populate_by_name=True)

    from_: AwareDatetime = Field(alias="from", examples=[NOON])
    to: AwareDatetime
    data: list[Band]
    next_cursor: str | None


class LatestKpi(Kpi):
    """One metric in the newest minute that has data, and what it means."""

    unit: str = Field(examples=["events"])
    formula: str = Field(examples=["Σ price × quantity of purchases"])


class LatestKpis(Answer):
    """The newest minute's KPIs."""

    window_start: AwareDatetime | None = Field(
        description="The newest minute with data; null if there is none.", examples=[NOON]
    )
    provisional: bool
    data_as_of: AwareDatetime | None = Field(examples=[AS_OF])
    fresh: bool = Field(description="Whether `data_as_of` is younger than LAKEHOUSE_STALE_AFTER_SECONDS.")
    data: list[LatestKpi]


class Alert(Answer):
    """An incident: opened, updated, resolved, or retracted when late data took its reason away."""

    alert_id: str = Field(examples=["revenue-20260131T1200"])
    created_at: AwareDatetime
    updated_at: AwareDatetime
    window_start: AwareDatetime = Field(description="The incident's first minute.")
    last_window: AwareDatetime = Field(description="The incident's latest minute.")
    metric: str = Field(examples=["revenue"])
    value: float | None
    baseline: float | None = Field(description="What was expected.")
    score: float | None = Field(description="How surprising it was, by the rule's own measure.")
    severity: Severity
    state: AlertState
    rule_name: str
    reason: str = Field(description="The alert in one sentence.")
    resolved_at: AwareDatetime | None
    retracted_at: AwareDatetime | None
    acknowledged_at: AwareDatetime | None
    acknowledged_by: str | None
    details: dict[str, Any] = Field(description="All that is needed to check the verdict by hand.")


class Alerts(Answer):
    """A page of alerts, the newest first."""

    data: list[Alert]
    next_cursor: str | None


class LatestAlerts(Answer):
    """The newest alerts, and how many are open."""

    open: int = Field(ge=0, description="How many alerts are open now, of any age.")
    data: list[Alert]


class Acknowledgement(BaseModel):
    """Who has taken an alert on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"by": "ana"}]})

    by: str = Field(
        min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
    )


class RuleShare(Answer):
    """How often a rule was broken in one hour."""

    code: str = Field(examples=["malformed_json"])
    rows: int = Field(ge=0)
    share: float | None = Field(description="Of the hour's messages; null where there were none.")
    verdict: Verdict = Field(
        description="What the rule's check says of the hour; no_data where it has not run yet."
    )


class QualityRule(Answer):
    """A rule, what it means, and how often it was broken in the range."""

    code: str
    meaning: str
    severity: str = Field(description="The worst that the rule's check may say.")
    warn_above: float = Field(description="Share of an hour's messages above which the check warns.")
    error_above: float = Field(description="Share of an hour's messages above which it fails.")
    what_to_do: str
    rows: int = Field(ge=0)
    share: float | None


class QualityHour(Answer):
    """What became of the messages ingested in one hour."""

    hour: AwareDatetime = Field(examples=[NOON])
    has_data: bool
    messages: int = Field(ge=0)
    silver_rows: int = Field(ge=0)
    quarantine_rows: int = Field(ge=0)
    duplicate_rows: int = Field(ge=0)
    late_rows: int = Field(ge=0)
    share_passing: float | None = Field(description="Of the messages judged; null where there were none.")
    provisional: bool = Field(description="True while a slice of the hour is unfinished, or the hour runs.")
    rules: list[RuleShare] = Field(description="The rules that were broken, the worst first.")


class Quality(Answer):
    """The rules and the hours of a range."""

    model_config = ConfigDict(populate_by_name=True)

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    data_as_of: AwareDatetime | None
    rules: list[QualityRule]
    hours: list[QualityHour] = Field(description="The oldest first, every hour of the range present.")


class QualitySample(Answer):
    """A message in Quarantine, as it came."""

    validation_errors: list[str]
    raw_json: str | None = Field(description="The value as text, at most 4,000 characters of it.")
    raw_base64: str | None = Field(description="The value's bytes, where they are not UTF-8.")
    truncated: bool
    kafka_topic: str
    kafka_partition: int
    kafka_offset: int
    kafka_key: str | None
    kafka_timestamp: AwareDatetime
    event_id: str | None
    event_type: str | None
    source: str | None
    processing_time: AwareDatetime
    slice_id: int


class QualitySamples(Answer):
    """Broken messages of one hour, those of the newest slice first."""

    rule: str | None
    hour: AwareDatetime | None = Field(description="The hour they were ingested in; null if none is broken.")
    rows: int = Field(ge=0, description="How many there are in that hour.")
    data: list[QualitySample]


class PartitionLag(Answer):
    """One Kafka partition at the last look."""

    kafka_partition: int
    earliest_offset: int
    end_offset: int = Field(description="The last stable offset.")
    position: int = Field(description="Where the next slice will start.")
    waiting: int = Field(ge=0, description="Messages that are in no slice yet.")


class Lag(Answer):
    """What Kafka holds and Gold does not."""

    messages: int = Field(ge=0, description="waiting + in_flight")
    waiting: int = Field(ge=0, description="Messages that are in no slice yet.")
    in_flight: int = Field(ge=0, description="Messages of slices that have not reached Gold.")
    seconds: float | None = Field(description="Age of data_as_of; null before the first batch.")
    looked_at: AwareDatetime | None
    partitions: list[PartitionLag]


class LayerTimes(Answer):
    """Seconds that each layer took; null where it has not been written."""

    bronze: float | None
    silver: float | None
    gold: float | None


class SliceRows(Answer):
    """Rows that each layer holds of a slice; null where it has not been written."""

    bronze: int | None
    silver: int | None
    quarantine: int | None
    duplicate: int | None
    late: int | None


class Slice(Answer):
    """One micro-batch on its way."""

    slice_id: int
    planned_at: AwareDatetime
    planned_hour: AwareDatetime
    partition_key: str = Field(description="Dagster's name of the hour.", examples=["2026-01-31-12:00"])
    state: Literal["planned", "bronze", "silver", "done", "held", "rebuilding"]
    attempts: int
    last_error: str | None
    held_reason: str | None
    bronze_at: AwareDatetime | None
    silver_at: AwareDatetime | None
    gold_at: AwareDatetime | None
    seconds: LayerTimes
    rows: SliceRows
    bronze_bytes: int | None
    gold_minutes: int | None
    run_id: str | None
    run_url: str | None = Field(description="The run in Dagster's UI.")


class FailingCheck(Answer):
    """An asset check whose latest verdict on an hour is bad."""

    planned_hour: AwareDatetime
    partition_key: str
    asset: str
    check_name: str
    severity: Literal["warn", "error"]
    blocking: bool
    description: str
    evaluated_at: AwareDatetime
    url: str = Field(description="The asset's checks in Dagster's UI.")


class Pipeline(Answer):
    """Where the data is on its way from Kafka to Gold."""

    data_as_of: AwareDatetime | None
    fresh: bool
    newest_minute: AwareDatetime | None = Field(description="The newest minute that has KPIs.")
    paused: bool = Field(description="Planning rests by somebody's wish (`lakehouse resume`).")
    blocked: str | None = Field(description="Why planning cannot go on, and what to do.")
    lag: Lag
    slices_by_state: dict[str, int] = Field(
        description="Slices of the last 24 hours that are done, and all that are not, by state."
    )
    dirty_minutes: int = Field(
        ge=0, description="Minutes whose Silver changed and whose Gold has not followed."
    )
    lost_messages: int = Field(ge=0, description="Messages that Kafka dropped before they were read.")
    held: list[Slice] = Field(description="Slices that wait for a person, at most 50.")
    slices: list[Slice] = Field(description="The newest slices, the newest first.")
    failing_checks: list[FailingCheck] = Field(description="Of the last 24 hours, at most 100.")
    dagster_url: str


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str


class Ready(Answer):
    """Whether questions can be answered; stale data is an answer, not an error."""

    status: Literal["ready"] = "ready"
    schema_version: str
    fresh: bool
    data_as_of: AwareDatetime | None


class Dependency(Answer):
    """Something that the platform leans on."""

    name: Literal["postgres", "kafka", "lake", "dagster"]
    state: Literal["up", "down"]
    latency_ms: float | None
    version: str | None
    detail: str


class Dependencies(Answer):
    """Every dependency, looked at no longer ago than a few seconds."""

    checked_at: AwareDatetime
    dependencies: list[Dependency]


class Problem(BaseModel):
    """RFC 9457: what went wrong, and what to do."""

    type: str = Field(examples=["urn:ecom-lakehouse:problem:bad-request"])
    title: str
    status: int
    detail: str
    what_to_do: str
    instance: str = Field(description="Names this answer in the server's log.")
    errors: list[dict[str, str]] = Field(default_factory=list, description="Each wrong parameter.")
