"""Sends Kafka a record that no client would build: the produce request, byte by byte.

The format is Kafka's protocol guide's: ProduceRequest v3 with a record batch of magic 2.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

_CASTAGNOLI = 0x82F63B78


def send_raw_record(
    bootstrap_servers: str,
    topic: str,
    partition: int,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes | None]] = (),
    timestamp: int = -1,
) -> None:
    """Sends one record, its headers' keys any bytes, its timestamp any number of milliseconds."""
    batch = _record_batch(_record(value, headers), timestamp)
    name = struct.pack(">h", len(topic)) + topic.encode()
    body = (
        struct.pack(">hhih", 0, 3, 1, -1)  # produce, version 3, correlation id, no client id
        + struct.pack(">hhi", -1, -1, 10_000)  # no transaction, all replicas, milliseconds
        + struct.pack(">i", 1) + name + struct.pack(">ii", 1, partition)
        + struct.pack(">i", len(batch)) + batch
    )  # fmt: skip
    host, port = bootstrap_servers.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            content = answer.read(size)
    (error,) = struct.unpack_from(">h", content, 4 + 4 + len(name) + 4 + 4)
    assert error == 0, f"Kafka refused the record with error {error}"


def _record(value: bytes, headers: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    content = b"\x00" + _varint(0) + _varint(0) + _varint(-1) + _varint(len(value)) + value
    content += _varint(len(headers))
    for name, header in headers:
        content += (
            _varint(len(name)) + name + _varint(-1 if header is None else len(header)) + (header or b"")
        )
    return _varint(len(content)) + content


def _record_batch(record: bytes, timestamp: int) -> bytes:
    checked = struct.pack(">hiqqqhii", 0, 0, timestamp, timestamp, -1, -1, -1, 1) + record
    after_length = struct.pack(">ibI", -1, 2, _crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(after_length)) + after_length


def _varint(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    encoded = b""
    while rest > 0x7F:
        encoded += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return encoded + bytes([rest])


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
