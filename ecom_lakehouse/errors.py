"""The platform's errors.

Every message names what was wrong, where, and what to do about it.

    LakehouseError
    ├── SettingsError        a setting is wrong, unknown or contradicts another
    ├── StackError           a local process, port, download or disk stands in the way
    ├── TopicError           Kafka's topic is not what the ledger knows, or cannot be read
    ├── LedgerError          the ledger and the lake disagree, or a step came out of order
    │   └── WriterBusyError  somebody else holds the right to write
    ├── TableError           a Delta table refused a write, or would have lost rows
    ├── ReplayError          repaired messages cannot be sent back to the topic
    └── ServingError         a question to Gold or the alerts cannot be answered
"""


class LakehouseError(Exception):
    """Anything the platform refuses, with a message for the person who must act."""


class SettingsError(LakehouseError):
    """A setting is wrong, unknown or contradicts another."""


class StackError(LakehouseError):
    """A local process, port, download or disk stands in the way."""


class TopicError(LakehouseError):
    """Kafka's topic is not what the ledger knows, or cannot be read."""


class LedgerError(LakehouseError):
    """The ledger and the lake disagree, or a step came out of order."""


class WriterBusyError(LedgerError):
    """Somebody else holds the right to write."""


class TableError(LakehouseError):
    """A Delta table refused a write, or would have lost rows."""


class ReplayError(LakehouseError):
    """Repaired messages cannot be sent back to the topic."""


class ServingError(LakehouseError):
    """A question to Gold or the alerts cannot be answered."""
