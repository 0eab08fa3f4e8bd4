"""The terminal that a stack was started from, and whether it is still there."""

from __future__ import annotations

import os
import signal
import termios


class Terminal:
    """The terminal of this process, if it has one and was not told by `nohup` to outlive it.

    A shell passes the hang-up of its terminal on to what it runs. Where no shell is between (`ssh HOST make
    run`), only the first process hears of it, and `make` keeps it to itself: so the terminal is looked at.
    """

    def __init__(self) -> None:
        outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._file = None if outlives else next((one for one in (0, 1, 2) if os.isatty(one)), None)

    def is_gone(self) -> bool:
        """Whether there was a terminal and it has hung up."""
        if self._file is None:
            return False
        try:
            termios.tcgetattr(self._file)
        except termios.error:
            return True
        return False
