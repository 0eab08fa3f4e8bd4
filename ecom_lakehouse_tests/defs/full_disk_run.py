"""A slice that the disk has no room for: `unshare -rm python -m …full_disk_run SETTINGS`, in a mount space of its own.

The lake is put on a disk of 4 MB. What the topic holds is planned as one slice; its run must fail and leave the
table as it was. Then the disk grows, and the next runs must finish everything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.pipeline import Pipeline


def main() -> None:
    pipeline = Pipeline(Settings.model_validate_json(Path(sys.argv[1]).read_text()))
    disk = Path(pipeline.settings.lake_root)
    disk.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", disk)
    (slice_,) = pipeline.plan()
    result = pipeline.run([slice_], fails=True)
    error = next(each for each in result.all_events if each.is_step_failure).step_failure_data.error
    assert "which is as it was" in str(error), error
    assert "No space left on device" in str(error), error
    assert pipeline.rows("bronze") == []
    assert pipeline.ledger.slice(slice_.slice_id).next_layer == "bronze"
    _mount("-o", "remount,size=256m", disk)
    pipeline.finish()
    assert len(pipeline.rows("bronze")) == sum(each.offsets for each in slice_.ranges)
    assert audit(pipeline.settings).passed
    pipeline.close()


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main()
