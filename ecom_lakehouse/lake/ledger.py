"""The ledger: which slices there are, what each still lacks, and what was counted.

It is the write-ahead log of the lake, by the protocol of Spark Structured Streaming: a slice is planned
durably, written idempotently layer by layer, and marked after each. All statements run on one connection;
who writes layers holds the right to write (`lake.writer`) on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from ecom_lakehouse.errors import LedgerError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.lake.topic import TopicSnapshot
from ecom_lakehouse.settings import Settings

Layer = Literal["bronze", "silver", "gold"]
LAYERS: tuple[Layer, ...] = ("bronze", "silver", "gold")
MAX_BACK_OFF = timedelta(minutes=5)


@dataclass(frozen=True)
class Slice:
    """What one micro-batch ingests; `next_layer` is the first layer still to be written, None when done."""

    slice_id: int
    topic_id: str
    planned_at: datetime
    hour: datetime
    next_layer: Layer | None
    rebuilding: bool
    held_reason: str | None
    attempts: int
    ranges: tuple[OffsetRange, ...]

    @property
    def topic(self) -> str:
        """The name of the topic that it was planned on."""
        return self.ranges[0].topic

    def lacks(self, layer: Layer) -> bool:
        """Whether the layer is the next to be written."""
        return self.next_layer == layer


class Ledger:
    """Reads and writes the ledger on one connection; each method is one transaction."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        self.connection = connection

    # what there is

    def slice(self, slice_id: int) -> Slice:
        """The slice of that id.

        Raises:
            LedgerError: there is none.
        """
        found = self._slices("where s.slice_id = %s", (slice_id,))
        if not found:
            raise LedgerError(
                f"Slice {slice_id} is not in the ledger; `lakehouse status` lists those that are."
            )
        return found[0]

    def unfinished(self) -> list[Slice]:
        """Every slice that still lacks a layer, oldest first, held ones included."""
        return self._slices("where s.next_layer is not null", ())

    def finished_in(self, hour: datetime) -> list[Slice]:
        """The hour's slices that were finished at least once and are not held, in order."""
        return self._slices(
            "where s.planned_hour = %s and (s.next_layer is null or s.rebuilding or s.held_reason is not null)",
            (hour,),
        )

    def in_hour(self, hour: datetime) -> list[Slice]:
        """All slices planned for the hour, in order."""
        return self._slices("where s.planned_hour = %s", (hour,))

    def last_slice(self) -> Slice | None:
        """The slice planned last."""
        found = self._slices("where s.slice_id = (select max(slice_id) from lake.slices)", ())
        return found[0] if found else None

    def ingested_between(self, start: datetime, end: datetime) -> list[int]:
        """Ids of the slices planned within [start, end]."""
        rows = self._rows(
            "select slice_id from lake.slices where planned_at between %s and %s order by slice_id",
            (start, end),
        )
        return [row["slice_id"] for row in rows]

    def planned_at(self, slice_ids: Iterable[int]) -> dict[int, datetime]:
        """When these slices were planned."""
        rows = self._rows(
            "select slice_id, planned_at from lake.slices where slice_id = any(%s)", (list(slice_ids),)
        )
        return {row["slice_id"]: row["planned_at"] for row in rows}

    def positions(self, topic_id: str) -> dict[int, int]:
        """Where the next slice starts: the end of what is planned, by Kafka partition."""
        rows = self._rows(
            "select kafka_partition, max(end_offset) as position from lake.slice_ranges"
            " where topic_id = %s group by kafka_partition",
            (topic_id,),
        )
        return {row["kafka_partition"]: row["position"] for row in rows}

    def last_slice_id(self) -> int:
        """The highest slice id that was planned; 0 before the first."""
        return int(self._row("select coalesce(max(slice_id), 0) as last from lake.slices")["last"])

    def barrier(self) -> int | None:
        """The first slice that is held or has never reached Silver: later ones must wait for it."""
        row = self._row(
            "select min(slice_id) as first from lake.slices where held_reason is not null or silver_at is null"
        )
        return None if row["first"] is None else int(row["first"])

    def hour_totals(self, hour: datetime) -> DictRow:
        """The hour so far: slices, and rows by layer (bronze_rows, silver_rows, quarantine_rows, duplicate_rows,
        late_rows)."""
        return self._row(
            "select count(*) as slices, "
            "coalesce(sum(bronze_rows), 0)::bigint as bronze_rows, "
            "coalesce(sum(silver_rows), 0)::bigint as silver_rows, "
            "coalesce(sum(quarantine_rows), 0)::bigint as quarantine_rows, "
            "coalesce(sum(duplicate_rows), 0)::bigint as duplicate_rows, "
            "coalesce(sum(late_rows), 0)::bigint as late_rows "
            "from lake.slices where planned_hour = %s",
            (hour,),
        )

    def lag_messages(self) -> int:
        """How many messages the topic held beyond what is planned, at the last look."""
        row = self._row(
            "select coalesce(sum(end_offset - position), 0)::bigint as lag from lake.topic_progress p"
            " where topic_id = (select topic_id from lake.topics order by adopted_at desc limit 1)"
        )
        return int(row["lag"])

    def hours_by_slice(self) -> dict[int, datetime]:
        """The hour, that is the partition, of every slice."""
        rows = self._rows("select slice_id, planned_hour from lake.slices")
        return {row["slice_id"]: row["planned_hour"] for row in rows}

    def lost_offsets_in_all(self) -> int:
        """How many offsets Kafka had dropped before they were read, over all slices."""
        row = self._row(
            "select coalesce(sum(end_offset - start_offset), 0)::bigint as lost from lake.lost_offsets"
        )
        return int(row["lost"])

    def lost_offsets(self, slice_id: int) -> list[OffsetRange]:
        """What of the slice Kafka had dropped before it was read."""
        rows = self._rows(
            "select t.topic, l.* from lake.lost_offsets l join lake.slices s using (slice_id)"
            " join lake.topics t using (topic_id) where slice_id = %s order by kafka_partition, start_offset",
            (slice_id,),
        )
        return [
            OffsetRange(row["topic"], row["kafka_partition"], row["start_offset"], row["end_offset"])
            for row in rows
        ]

    # the topic

    def topic_ids(self) -> dict[int, str]:
        """The id of the topic that each slice was planned on."""
        rows = self._rows("select slice_id, topic_id from lake.slices")
        return {row["slice_id"]: row["topic_id"] for row in rows}

    def adopted_topics(self, topic: str) -> list[DictRow]:
        """The incarnations of the topic that were read so far, newest first."""
        return self._rows("select * from lake.topics where topic = %s order by adopted_at desc", (topic,))

    def adopt_topic(self, snapshot: TopicSnapshot, starts: Mapping[int, int] | None = None) -> None:
        """Makes this incarnation of the topic the one to read, from `starts` on (the earliest offsets if not given).

        One that was read before goes on where it was left.
        """
        starts = snapshot.earliest if starts is None else starts
        with self.connection.transaction():
            self._run(
                "insert into lake.topics (topic_id, cluster_id, topic, adopted_at)"
                " values (%s, %s, %s, clock_timestamp()) on conflict (topic_id) do update"
                " set cluster_id = excluded.cluster_id, adopted_at = excluded.adopted_at",
                (snapshot.topic_id, snapshot.cluster_id, snapshot.topic),
            )
            self.connection.execute(
                "insert into lake.topic_starts select %(id)s, partition, start from"
                " unnest(%(partitions)s::int[], %(starts)s::bigint[]) as given (partition, start)"
                " where not exists (select from lake.topic_starts where topic_id = %(id)s)",
                {
                    "id": snapshot.topic_id,
                    "partitions": list(starts),
                    "starts": list(starts.values()),
                },
            )

    def starts(self, topic_id: str) -> dict[int, int]:
        """Where reading began of each Kafka partition that was there when the topic was first seen."""
        rows = self._rows(
            "select kafka_partition, start_offset from lake.topic_starts where topic_id = %s", (topic_id,)
        )
        return {row["kafka_partition"]: row["start_offset"] for row in rows}

    def record_look(self, snapshot: TopicSnapshot, caught_up: bool) -> None:
        """Remembers a look at the topic: its ends, our position, and whether nothing was left to plan."""
        positions = self.starts(snapshot.topic_id) | self.positions(snapshot.topic_id)
        with self.connection.transaction():
            for partition, end in snapshot.stable_end.items():
                self.connection.execute(
                    "insert into lake.topic_progress values (%s, %s, %s, %s, %s, %s)"
                    " on conflict (topic_id, kafka_partition) do update set"
                    " earliest_offset = excluded.earliest_offset, end_offset = excluded.end_offset,"
                    " position = excluded.position, looked_at = excluded.looked_at",
                    (
                        snapshot.topic_id,
                        partition,
                        snapshot.earliest[partition],
                        end,
                        positions.get(partition, 0),
                        snapshot.seen_at,
                    ),
                )
            self.connection.execute(
                "update lake.looks set looked_at = %(at)s,"
                " caught_up_at = case when %(caught_up)s then %(at)s else caught_up_at end,"
                " last_slice_id = case when %(caught_up)s"
                "   then (select coalesce(max(slice_id), 0) from lake.slices) else last_slice_id end",
                {"at": snapshot.seen_at, "caught_up": caught_up},
            )

    # planning

    def plan(
        self,
        snapshot: TopicSnapshot,
        hour: datetime,
        ranges: Sequence[OffsetRange],
        lost: Sequence[OffsetRange],
        reaches_end: bool,
    ) -> Slice:
        """Writes one slice durably, in one transaction; two planners at once: one of them fails.

        Raises:
            LedgerError: a range does not start where the one before it ended.
        """
        positions = self.positions(snapshot.topic_id)
        try:
            with self.connection.transaction():
                slice_id = self.last_slice_id() + 1
                self.connection.execute(
                    "insert into lake.slices (slice_id, topic_id, planned_at, planned_hour, reaches_end)"
                    " values (%s, %s, %s, %s, %s)",
                    (slice_id, snapshot.topic_id, snapshot.seen_at, hour, reaches_end),
                )
                self.add_ranges(slice_id, snapshot.topic_id, ranges, positions)
                self._record_lost(slice_id, lost)
        except psycopg.errors.IntegrityError as error:
            raise LedgerError(
                f"A slice of {snapshot.topic} from {positions} was planned by somebody else meanwhile "
                f"({error.diag.message_primary}); nothing was written, the next tick looks again."
            ) from error
        return self.slice(slice_id)

    def add_ranges(
        self, slice_id: int, topic_id: str, ranges: Iterable[OffsetRange], positions: Mapping[int, int]
    ) -> None:
        """Writes a slice's ranges; the first of a Kafka partition follows nothing, every other the one before."""
        for each in ranges:
            self.connection.execute(
                "insert into lake.slice_ranges"
                " (slice_id, topic_id, kafka_partition, start_offset, end_offset, follows)"
                " values (%s, %s, %s, %s, %s, %s)",
                (
                    slice_id,
                    topic_id,
                    each.partition,
                    each.start,
                    each.end,
                    each.start if each.partition in positions else None,
                ),
            )

    # attempts

    def begin_attempt(self, slice_ids: Sequence[int], base_seconds: float) -> datetime:
        """Counts one more try of each slice before it starts, and sets when the next may follow.

        Counted beforehand, so that a run that is killed leaves its trace. The pause doubles with each try, up
        to five minutes. Gives when the try began, which no other try of these slices shares.
        """
        rows = self._rows(
            "update lake.slices set attempts = attempts + 1,"
            " next_attempt_at = clock_timestamp()"
            "   + least(make_interval(secs => %s * power(2, least(attempts, 12))), %s)"
            " where slice_id = any(%s) returning clock_timestamp() as began",
            (base_seconds, MAX_BACK_OFF, list(slice_ids)),
        )
        began: datetime = max(row["began"] for row in rows)
        return began

    def due(self, slice_ids: Sequence[int]) -> bool:
        """Whether the pause after the last try of every one of these slices is over."""
        row = self._row(
            "select coalesce(bool_and(next_attempt_at is null or next_attempt_at <= clock_timestamp()), true)"
            " as due from lake.slices where slice_id = any(%s)",
            (list(slice_ids),),
        )
        return bool(row["due"])

    def record_error(self, slice_ids: Sequence[int], message: str) -> None:
        """Remembers why the last try of these slices failed, at the first of them that is unfinished."""
        self._run(
            "update lake.slices set last_error = %s where slice_id ="
            " (select min(slice_id) from lake.slices where slice_id = any(%s) and next_layer is not null)",
            (message[:4000], list(slice_ids)),
        )

    def hold(self, slice_id: int, reason: str, layer: Layer) -> None:
        """Holds a slice until a person releases it; `layer` is then written anew.

        A blocking check on that layer failed, or every try to write it.
        """
        self._run(
            "update lake.slices set held_reason = %s, next_layer = %s where slice_id = %s",
            (reason[:4000], layer, slice_id),
        )

    def release(self, slice_id: int, layer: Layer | None = None) -> None:
        """Lets a held slice go on, from `layer` anew if one is given."""
        self._run(
            "update lake.slices set held_reason = null, attempts = 0, next_attempt_at = null,"
            " next_layer = coalesce(%s, next_layer) where slice_id = %s",
            (layer, slice_id),
        )

    def hold_exhausted(self, slice_ids: Sequence[int], most_attempts: int) -> int | None:
        """Holds the slice to which so many tries of a run are owed: the first with an error, or the first of all.

        The others begin their tries anew: a run fails as a whole. Gives the held slice, None if tries are left.
        """
        rows = self._rows(
            "select slice_id, next_layer, attempts, last_error from lake.slices where slice_id = any(%s)"
            " and attempts >= %s order by last_error is null, slice_id limit 1",
            (list(slice_ids), most_attempts),
        )
        if not rows:
            return None
        (found,) = rows
        why = found["last_error"] or "its run was killed each time and left no error: see its logs"
        with self.connection.transaction():
            self.hold(found["slice_id"], f"{found['attempts']} tries failed: {why}", found["next_layer"])
            self._run(
                "update lake.slices set attempts = 0, next_attempt_at = null"
                " where slice_id = any(%s) and slice_id <> %s",
                (list(slice_ids), found["slice_id"]),
            )
        return int(found["slice_id"])

    # rebuilding

    def begin_rebuild(self, slice_ids: Sequence[int], layer: Layer, run_id: str) -> None:
        """Marks slices as being written anew from `layer` on; one already further back stays there."""
        self._run(
            "update lake.slices set rebuilding = true, held_reason = null, run_id = %s, attempts = 0,"
            " next_attempt_at = null,"
            " next_layer = case when next_layer is null or array_position(%s, next_layer) > array_position(%s, %s)"
            "              then %s else next_layer end"
            " where slice_id = any(%s)",
            (run_id, list(LAYERS), list(LAYERS), layer, layer, list(slice_ids)),
        )

    # marks

    def mark_bronze(
        self,
        slice_id: int,
        rows_by_partition: Mapping[int, int],
        stored_bytes: int,
        lost: Sequence[OffsetRange],
        seconds: float,
        run_id: str,
    ) -> None:
        """Bronze holds the slice: its rows by Kafka partition, and the offsets that Kafka no longer had."""
        with self.connection.transaction():
            for partition, rows in rows_by_partition.items():
                self.connection.execute(
                    "update lake.slice_ranges set bronze_rows = %s where slice_id = %s and kafka_partition = %s",
                    (rows, slice_id, partition),
                )
            self.connection.execute(
                "update lake.slice_ranges set bronze_rows = 0 where slice_id = %s and not kafka_partition = any(%s)",
                (slice_id, list(rows_by_partition)),
            )
            self._record_lost(slice_id, lost)
            self._mark(
                slice_id,
                "bronze",
                seconds,
                run_id,
                {"bronze_rows": sum(rows_by_partition.values()), "bronze_bytes": stored_bytes},
            )

    def mark_silver(
        self, slice_id: int, counts: Mapping[str, int], rules: Mapping[str, int], seconds: float, run_id: str
    ) -> None:
        """Silver and Quarantine hold the slice.

        `counts`: silver_rows, quarantine_rows, duplicate_rows, late_rows. `rules`: broken rows by code.
        """
        with self.connection.transaction():
            self.connection.execute("delete from lake.slice_rules where slice_id = %s", (slice_id,))
            for code, rows in rules.items():
                self.connection.execute(
                    "insert into lake.slice_rules values (%s, %s, %s)", (slice_id, code, rows)
                )
            self._mark(slice_id, "silver", seconds, run_id, counts)

    def mark_gold(self, slice_ids: Sequence[int], minutes: int, seconds: float, run_id: str) -> None:
        """Gold has followed Silver for these slices; call it inside the transaction that wrote Gold."""
        for slice_id in slice_ids:
            self._mark(slice_id, "gold", seconds, run_id, {"gold_minutes": minutes})

    def _mark(
        self, slice_id: int, layer: Layer, seconds: float, run_id: str, counts: Mapping[str, int]
    ) -> None:
        following = dict(zip(LAYERS, (*LAYERS[1:], None), strict=True))[layer]
        columns = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in {f"{layer}_seconds": round(seconds, 3), "run_id": run_id, **counts}.items()
        )
        marked = self.connection.execute(
            sql.SQL(
                "update lake.slices set {columns}, {at} = clock_timestamp(), next_layer = {following},"
                " rebuilding = rebuilding and {following} is not null, attempts = 0, next_attempt_at = null,"
                " last_error = null where slice_id = {slice_id} and next_layer = {layer}"
            ).format(
                columns=columns,
                at=sql.Identifier(f"{layer}_at"),
                following=sql.Literal(following),
                slice_id=sql.Literal(slice_id),
                layer=sql.Literal(layer),
            )
        )
        if marked.rowcount != 1:
            raise LedgerError(
                f"Slice {slice_id} was not waiting for {layer} when it was to be marked: somebody else changed it. "
                "Nothing is lost; the next run does what the ledger says is undone."
            )

    # dirty minutes

    def mark_dirty(self, slice_id: int, minutes: Iterable[datetime]) -> None:
        """Notes minutes of event time whose Silver is about to change."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute(
                "insert into lake.dirty_minutes (minute, slice_id) select unnest(%s::timestamptz[]), %s"
                " on conflict (minute, slice_id) do update set marked_at = now()",
                (list(minutes), slice_id),
            )

    def dirty_minutes(self, *, held: bool = False) -> list[datetime]:
        """The minutes whose Gold has not followed Silver yet, in order.

        Those that a held slice touched wait with it and are left out, unless `held` asks for them too.
        """
        rows = self._rows(
            "select distinct minute from lake.dirty_minutes where %s or minute not in"
            " (select minute from lake.dirty_minutes join lake.slices using (slice_id)"
            "  where held_reason is not null) order by minute",
            (held,),
        )
        return [row["minute"] for row in rows]

    # whether planning rests

    def looks(self) -> DictRow:
        """The one row that says how the last look at the topic ended, and whether planning rests."""
        return self._row("select * from lake.looks")

    def set_blocked(self, reason: str | None) -> None:
        """Remembers why planning has stopped; None when it goes on."""
        self._run("update lake.looks set blocked = %s where blocked is distinct from %s", (reason, reason))

    def set_lock_free_since(self, since: datetime | None) -> None:
        """Remembers since when runs are believed to work though nobody holds the right to write."""
        self._run("update lake.looks set lock_free_since = %s", (since,))

    def _record_lost(self, slice_id: int, lost: Iterable[OffsetRange]) -> None:
        for each in lost:
            self.connection.execute(
                "insert into lake.lost_offsets (slice_id, kafka_partition, start_offset, end_offset)"
                " values (%s, %s, %s, %s) on conflict (slice_id, kafka_partition, start_offset)"
                " do update set end_offset = greatest(excluded.end_offset, lost_offsets.end_offset)",
                (slice_id, each.partition, each.start, each.end),
            )

    def _slices(self, where: LiteralString, parameters: Sequence[Any]) -> list[Slice]:
        rows = self._rows(
            "select s.*, t.topic, coalesce((select json_agg(json_build_array("
            " r.kafka_partition, r.start_offset, r.end_offset) order by r.kafka_partition)"
            " from lake.slice_ranges r where r.slice_id = s.slice_id), '[]') as ranges"
            f" from lake.slices s join lake.topics t using (topic_id) {where} order by s.slice_id",
            parameters,
        )
        return [
            Slice(
                slice_id=row["slice_id"],
                topic_id=row["topic_id"],
                planned_at=row["planned_at"],
                hour=row["planned_hour"],
                next_layer=row["next_layer"],
                rebuilding=row["rebuilding"],
                held_reason=row["held_reason"],
                attempts=row["attempts"],
                ranges=tuple(OffsetRange(row["topic"], *each) for each in row["ranges"]),
            )
            for row in rows
        ]

    def _rows(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> list[DictRow]:
        return self.connection.execute(statement, parameters).fetchall()

    def _row(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> DictRow:
        return self._rows(statement, parameters)[0]

    def _run(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> None:
        self.connection.execute(statement, parameters)


PausedBy = Literal["person", "stop"]


def pause(settings: Settings, by: PausedBy) -> None:
    """Stops the planning of new slices; a pause by a person outlasts that of a stopping stack."""
    with connect(settings, autocommit=True) as connection:
        connection.execute(
            "update lake.looks set paused_by = %s, paused_at = clock_timestamp()"
            " where paused_by is distinct from 'person'",
            (by,),
        )


def resume(settings: Settings, by: PausedBy) -> None:
    """Lets planning go on; a starting stack lifts only the pause of the stop before it."""
    with connect(settings, autocommit=True) as connection:
        connection.execute(
            "update lake.looks set paused_by = null, paused_at = null where %s = 'person' or paused_by = 'stop'",
            (by,),
        )
