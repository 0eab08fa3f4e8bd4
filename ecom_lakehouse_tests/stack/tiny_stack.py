"""A supervisor over three tiny services, `ground`, `middle` (with a child of its own) and `top`.

`python tiny_stack.py HOME [--port NUMBER] [--min-free-disk-mb NUMBER] [--stubborn] [--broken NAME]`
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.report import Report
from ecom_lakehouse.stack.service import Service
from ecom_lakehouse.stack.supervisor import Supervisor

SERVICE = """
home=$1 name=$2 stubborn=$3 has_child=$4 broken=$5
note() { echo "$name $1" >> "$home/events.txt"; }
end() { note "was asked to end"; if [ "$stubborn" = 0 ]; then note ended; exit 0; fi; }
if [ "$broken" = 1 ]; then echo "no such setting: colour"; exit 3; fi
trap end TERM
if [ "$has_child" = 1 ]; then setsid sleep 600 & fi
note started
touch "$home/$name.ready"
while true; do sleep 600 & wait $!; done
"""


def _service(home: Path, name: str, options: argparse.Namespace, **more: object) -> Service:
    ready = home / f"{name}.ready"
    flags = (options.stubborn and name == "middle", name == "middle", options.broken == name)
    command = ["bash", "-c", SERVICE, "tiny", str(home), name, *(str(int(flag)) for flag in flags)]
    return Service(
        name=name,
        command=command,
        is_ready=ready.exists,
        prepare=partial(ready.unlink, missing_ok=True),
        **more,  # type: ignore[arg-type]
    )


def main() -> None:
    """Runs the tiny stack until it is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--min-free-disk-mb", type=int, default=0)
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--broken", default="")
    options = parser.parse_args()
    home = options.home
    console = Console()
    services = [
        _service(
            home, "ground", options, stop_stage=2, port=options.port, port_setting="LAKEHOUSE_GROUND_PORT"
        ),
        _service(home, "middle", options, stop_stage=1, needs=("ground",), stop_seconds=1.0),
        _service(home, "top", options, stop_stage=0, needs=("middle",)),
    ]
    try:
        Supervisor(
            home,
            services,
            Report(console, home / "logs" / "supervisor.log"),
            min_free_disk_mb=options.min_free_disk_mb,
            when_up=lambda _seconds: console.print("all up"),
        ).run()
    except StackError as error:
        console.print(f"refused: {error}", soft_wrap=True, markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
