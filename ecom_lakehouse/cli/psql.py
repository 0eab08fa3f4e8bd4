"""`lakehouse psql`, `kpi-sample`, `alerts-sample`: the platform's database by PostgreSQL's own client."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ecom_lakehouse.settings import load_settings, without_password

KPI_SAMPLE = """
select to_char(window_start, 'YYYY-MM-DD HH24:MI') as "minute (UTC)",
       max(value) filter (where metric = 'events_total') as events_total,
       max(value) filter (where metric = 'events_click') as clicks,
       max(value) filter (where metric = 'events_add_to_cart') as carts,
       max(value) filter (where metric = 'events_checkout') as checkouts,
       max(value) filter (where metric = 'events_purchase') as purchases,
       max(value) filter (where metric = 'revenue') as revenue,
       max(value) filter (where metric = 'aov') as aov,
       max(value) filter (where metric = 'add_to_cart_rate') as cart_rate,
       max(value) filter (where metric = 'checkout_rate') as checkout_rate,
       max(value) filter (where metric = 'purchase_conversion') as conversion
from serving.kpi_minute group by window_start order by window_start desc limit {limit}
"""
ALERTS_SAMPLE = """
select to_char(created_at, 'YYYY-MM-DD HH24:MI:SS') as "created (UTC)",
       to_char(window_start, 'MM-DD HH24:MI') as "minute", metric, severity, state,
       value, round(baseline, 2) as baseline, round(score::numeric, 2) as score, rule_name
from serving.alerts order by created_at desc, alert_id limit {limit}
"""


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("psql", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(psql)
    app.command("kpi-sample")(kpi_sample)
    app.command("alerts-sample")(alerts_sample)


def psql(context: typer.Context) -> None:
    """Open psql on the platform's database; what follows is psql's own, such as -c 'select 1'."""
    _psql(*context.args)


def kpi_sample(limit: Annotated[int, typer.Option(min=1, help="Minutes to show.")] = 10) -> None:
    """Print the newest minutes of Gold."""
    _psql("-P", "footer=off", "-c", KPI_SAMPLE.format(limit=limit))


def alerts_sample(limit: Annotated[int, typer.Option(min=1, help="Alerts to show.")] = 10) -> None:
    """Print the newest alerts."""
    _psql("-P", "footer=off", "-c", ALERTS_SAMPLE.format(limit=limit))


def _psql(*arguments: str) -> None:
    from ecom_lakehouse.stack.postgres import program

    url, password = without_password(load_settings().postgres_url)
    pager = os.environ.get("PAGER", "less -FSRX")
    environment = {**os.environ, **password, "PGTZ": "UTC", "PAGER": pager}
    os.execve(program("psql"), ["psql", url, *arguments], environment)
