"""A run that is killed where the test says: `python -m …killed_run SETTINGS SLICES POINT`.

The process ends itself by SIGKILL just before the named method of the ledger would do its work: what was
written stays, what was to be marked is not.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.pipeline import Pipeline

SURVIVED = 3


def main() -> None:
    settings_file, slices, point = sys.argv[1:]
    setattr(Ledger, point, _die)
    pipeline = Pipeline(Settings.model_validate_json(Path(settings_file).read_text()))
    if slices == "rebuild":
        pipeline.rebuild(pipeline.ledger.slice(1).hour)
    else:
        pipeline.run([pipeline.ledger.slice(int(slice_id)) for slice_id in slices.split(",")])
    sys.exit(SURVIVED)


def _die(*_arguments: object, **_named: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
