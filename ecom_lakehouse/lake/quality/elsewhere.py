"""Verdicts on other hours that a run has changed: what stood there was mended from here, or broken."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from ecom_lakehouse.core.checks import CHECKS
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.quality import findings
from ecom_lakehouse.lake.quality.verdicts import Verdict, on_findings

ON_ROWS = {(each.asset, each.name): each for each in CHECKS if each.on_rows}


def verdicts_elsewhere(ledger: Ledger, asset: str, hour: datetime) -> dict[datetime, list[Verdict]]:
    """The checks on data of an asset whose last verdict on another hour no longer says what stands there."""
    rows = ledger.connection.execute(
        "select planned_hour, check_name from lake.checks c where not passed and asset = %(asset)s"
        " and planned_hour <> %(hour)s and check_name = any(%(on_rows)s)"
        " and not exists (select from lake.findings f where f.planned_hour = c.planned_hour"
        "                 and f.asset = c.asset and f.check_name = c.check_name)"
        " union"
        " select f.planned_hour, f.check_name from lake.findings f left join lake.checks c"
        "  on c.planned_hour = f.planned_hour and c.asset = f.asset and c.check_name = f.check_name"
        " where f.asset = %(asset)s and f.planned_hour <> %(hour)s and c.passed is distinct from false",
        {"asset": asset, "hour": hour, "on_rows": [name for owner, name in ON_ROWS if owner == asset]},
    )
    changed: dict[datetime, list[Verdict]] = defaultdict(list)
    for row in rows.fetchall():
        check = ON_ROWS[asset, row["check_name"]]
        standing = findings.standing(ledger, check, row["planned_hour"])
        changed[row["planned_hour"]].append(
            on_findings(check, standing, "What stood here was mended by a run on another hour.")
        )
    return changed
