"""The detector in Dagster: one scorer, called when Gold was written and, for silence, when it was not."""

from __future__ import annotations

import dagster as dg

from ecom_lakehouse.defs.assets import GROUP, KPI_MINUTE, OWNERS
from ecom_lakehouse.serving.alerts import Scoring, score_closed_minutes
from ecom_lakehouse.serving.webhook import deliver
from ecom_lakehouse.settings import load_settings

ALERTS = dg.AssetKey("alerts")

alerts = dg.AssetSpec(
    ALERTS,
    deps=[KPI_MINUTE],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    description=(
        "`serving.alerts`: one row an incident, opened, raised, resolved or retracted by the detector, with all "
        "that is needed to check its verdict by hand. How it judges: docs/detection.md."
    ),
)


@dg.asset_sensor(
    asset_key=KPI_MINUTE,
    name="anomaly_detector",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Scores every closed minute once, in order, and again when late data changed it. Keeps its own position: "
        "missed, merged or replayed ticks lose and repeat nothing."
    ),
)
def anomaly_detector(
    context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry
) -> dg.SensorResult | dg.SkipReason:
    """A tick after Gold was written."""
    return tick(context)


@dg.sensor(
    name="alerts_watch",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Calls the same scorer while nothing is written: silence, a held slice and a stuck pipeline alarm too. "
        "Sends what waits for the webhook."
    ),
)
def alerts_watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """A tick by the clock."""
    return tick(context)


def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Scores what there is, sends what waits, and reports the alerts as materialised where minutes were scored."""
    settings = load_settings()
    try:
        scoring = score_closed_minutes(settings)
    finally:  # what waits is sent, though the scoring fails
        sent = deliver(settings)
        if sent.failed or sent.given_up:
            context.log.warning(
                f"The webhook refused {sent.failed + sent.given_up} messages; {sent.given_up} were given up."
            )
    if scoring.idle is not None:
        return dg.SkipReason(scoring.pipeline or scoring.idle)
    return dg.SensorResult(
        skip_reason=None,
        asset_events=[dg.AssetMaterialization(ALERTS, metadata=metadata(scoring))],
    )


def metadata(scoring: Scoring) -> dict[str, dg.MetadataValue]:
    """What a tick did, for Dagster's asset page."""
    shown: dict[str, dg.MetadataValue] = {
        "minutes_scored": dg.MetadataValue.int(scoring.minutes),
        "minutes_scored_again": dg.MetadataValue.int(scoring.minutes_again),
        "minutes_left": dg.MetadataValue.int(scoring.minutes_left),
        "slowest_step": dg.MetadataValue.text(scoring.slowest_step),
        "seconds": dg.MetadataValue.float(round(sum(scoring.seconds.values()), 3)),
    }
    for severity in ("warn", "critical", "retracted"):
        shown[f"alerts_{severity}"] = dg.MetadataValue.int(scoring.alerts.get(severity, 0))
    if scoring.next_minute is not None:
        shown["scored_before"] = dg.MetadataValue.timestamp(scoring.next_minute)
    if scoring.pipeline is not None:
        shown["pipeline"] = dg.MetadataValue.text(scoring.pipeline)
    return shown
