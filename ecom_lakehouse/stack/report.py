"""What the supervisor says: to the terminal while there is one, and always to its own log file."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text


class Report:
    """Lines for a person; a terminal that is gone costs nothing but the sight of them."""

    def __init__(self, console: Console, log: Path) -> None:
        self._console = console
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)

    def say(self, line: str, style: str = "") -> None:
        """Prints one line, and logs it with its time."""
        with contextlib.suppress(OSError):  # the terminal died: the log still has it
            self._console.print(Text(line, style), soft_wrap=True)
        with self._log.open("a") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")

    def ready(self, name: str, where: str, seconds: float) -> None:
        """A service answers."""
        self.say(f"  ✓ {name:<12} {where:<28} ready after {seconds:.1f} s", "green")

    def ended(self, name: str, exit_code: int | None, last_lines: str, log: Path, then: str) -> None:
        """A service ended though nobody asked it to."""
        code = f"with code {exit_code}" if exit_code is not None else "without an answer"
        self.say(f"  ✗ {name} ended {code}; {then}. Its last lines ({log}):", "bold red")
        if last_lines:
            self.say(last_lines, "red")
