"""Whether Bronze of an hour is what Kafka held: nothing left out, nothing twice, nothing unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ecom_lakehouse.core.checks import BRONZE_CHECKS
from ecom_lakehouse.lake.bronze import COORDINATES, stored_coordinates
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.quality import findings
from ecom_lakehouse.lake.quality.findings import Finding, slice_subject
from ecom_lakehouse.lake.quality.verdicts import MOST_NAMED, Verdict, failing, on_findings, passing
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.tables import Lake

OFFSETS_CONTIGUOUS, NO_OFFSETS_LOST, COORDINATES_UNIQUE, ROWS_INSIDE_RANGES = BRONZE_CHECKS

UNKNOWN = "slices beyond the ledger"


def bronze_verdicts(session: WriterSession, hour: datetime, written: Sequence[Slice]) -> list[Verdict]:
    """The verdicts on Bronze of the hour so far, after a run has written these slices."""
    return [
        offsets_contiguous(session.ledger, hour),
        no_offsets_lost(session.ledger, hour),
        coordinates_unique(session, hour, written),
        rows_inside_ranges(session.ledger, session.lake, hour, written),
    ]


def offsets_contiguous(ledger: Ledger, hour: datetime) -> Verdict:
    """Each range of the hour starts where the range of the slice before it ended."""
    rows = ledger.connection.execute(
        "with of_hour as (select r.* from lake.slice_ranges r join lake.slices using (slice_id)"
        "                 where planned_hour = %s)"
        " select h.slice_id, h.kafka_partition, h.start_offset, h.end_offset, h.bronze_rows,"
        " before.end_offset as before"
        " from of_hour h left join lateral"
        "  (select end_offset from lake.slice_ranges b where b.topic_id = h.topic_id"
        "   and b.kafka_partition = h.kafka_partition and b.end_offset < h.end_offset"
        "   order by b.end_offset desc limit 1) before on true"
        " order by h.slice_id, h.kafka_partition",
        (hour,),
    ).fetchall()
    broken = [row for row in rows if row["before"] not in (None, row["start_offset"])]
    offsets = sum(row["end_offset"] - row["start_offset"] for row in rows)
    stored = sum(row["bronze_rows"] or 0 for row in rows)
    if not broken:
        return passing(
            OFFSETS_CONTIGUOUS,
            f"{offsets:,} offsets in {len(rows)} ranges, each from where the one before it ended.",
            offsets=offsets,
            **{"offsets without a stored message": offsets - stored},
        )
    first = broken[0]
    verdict = failing(
        OFFSETS_CONTIGUOUS,
        f"{len(broken)} ranges do not start where the one before them ended; the first: slice {first['slice_id']}, "
        f"partition {first['kafka_partition']} starts at {first['start_offset']}, not at {first['before']}.",
        ranges=len(broken),
    )
    verdict.samples.extend(
        {
            "slice": str(row["slice_id"]),
            "kafka_partition": str(row["kafka_partition"]),
            "starts at": str(row["start_offset"]),
            "should start at": str(row["before"]),
        }
        for row in broken[:MOST_NAMED]
    )
    return verdict


def no_offsets_lost(ledger: Ledger, hour: datetime) -> Verdict:
    """Kafka still held every offset of the hour when it was read."""
    lost = ledger.connection.execute(
        "select slice_id, kafka_partition, start_offset, end_offset, noticed_at from lake.lost_offsets"
        " join lake.slices using (slice_id) where planned_hour = %s order by slice_id, kafka_partition",
        (hour,),
    ).fetchall()
    if not lost:
        return passing(NO_OFFSETS_LOST, "Kafka held every offset when it was read.", offsets=0)
    offsets = sum(row["end_offset"] - row["start_offset"] for row in lost)
    verdict = failing(
        NO_OFFSETS_LOST,
        f"Kafka had dropped {offsets:,} offsets before they were read.",
        offsets=offsets,
    )
    verdict.samples.extend(
        {
            "slice": str(row["slice_id"]),
            "kafka_partition": str(row["kafka_partition"]),
            "offsets": f"{row['start_offset']} to {row['end_offset'] - 1}",
            "noticed": f"{row['noticed_at']:%Y-%m-%d %H:%M:%S}Z",
        }
        for row in lost[:MOST_NAMED]
    )
    return verdict


def coordinates_unique(session: WriterSession, hour: datetime, written: Sequence[Slice]) -> Verdict:
    """No coordinate is stored twice in a slice; between slices their ranges keep them apart."""
    found = []
    for slice_ in written:
        stored = stored_coordinates(session, slice_)
        distinct = stored.group_by(COORDINATES).aggregate([]).num_rows
        if distinct < stored.num_rows:
            found.append(
                Finding.in_slice(slice_, stored.num_rows - distinct, "coordinates are stored more than once")
            )
    looked_at = [slice_subject(each.slice_id) for each in written]
    findings.replace(session.ledger, COORDINATES_UNIQUE, looked_at, found)
    standing = findings.standing(session.ledger, COORDINATES_UNIQUE, hour)
    return on_findings(COORDINATES_UNIQUE, standing, "Every coordinate is stored once.")


def rows_inside_ranges(ledger: Ledger, lake: Lake, hour: datetime, written: Sequence[Slice]) -> Verdict:
    """Bronze holds no slice that the ledger doesn't know, and no row outside its slice's ranges."""
    found = [each for slice_ in written if (each := _outside(lake, slice_)) is not None]
    found += [
        Finding(UNKNOWN, hour, None, rows, f"rows of slice {slice_id}, which the ledger doesn't know")
        for slice_id, rows in list(lake.bronze.known_slices(after=ledger.last_slice_id()).items())[:1]
    ]
    looked_at = [UNKNOWN, *(slice_subject(each.slice_id) for each in written)]
    findings.replace(ledger, ROWS_INSIDE_RANGES, looked_at, found)
    standing = findings.standing(ledger, ROWS_INSIDE_RANGES, hour)
    return on_findings(ROWS_INSIDE_RANGES, standing, "Every row lies in a slice that the ledger planned.")


def _outside(lake: Lake, slice_: Slice) -> Finding | None:
    planned = {each.partition: each for each in slice_.ranges}
    for partition, (first, last) in lake.bronze.slice_offsets(slice_.slice_id).items():
        inside = planned.get(partition)
        if inside is None or first < inside.start or last >= inside.end:
            return Finding.in_slice(
                slice_,
                lake.bronze.slice_rows(slice_.slice_id),
                f"offsets {first} to {last} of Kafka partition {partition} lie outside the slice's range",
            )
    return None
