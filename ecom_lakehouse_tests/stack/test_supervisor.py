"""What the supervisor promises, over tiny services: order, restarts, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket

import psutil
import pytest

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.processes import find
from ecom_lakehouse.stack.remote import process_rows, stop_stack
from ecom_lakehouse.stack.state import read_state
from ecom_lakehouse_tests.stack.conftest import TinyStack, wait_until

IN_ORDER = ["ground started", "middle started", "top started"]
ENDED_IN_ORDER = [
    f"{name} {what}" for name in ("top", "middle", "ground") for what in ("was asked to end", "ended")
]


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_services_in_order(tiny: TinyStack, signal_number: signal.Signals) -> None:
    process = tiny.up()
    process.send_signal(signal_number)
    assert process.wait(60) == 0
    assert tiny.events() == IN_ORDER + ENDED_IN_ORDER
    tiny.nothing_left()


def test_the_death_of_the_terminal_ends_the_stack_though_nobody_passes_it_on(tiny: TinyStack) -> None:
    ours, theirs = os.openpty()
    process = tiny.start(stdin=theirs)
    os.close(theirs)
    wait_until(lambda: "all up" in tiny.said(), "the tiny stack is up")
    assert process.poll() is None
    os.close(ours)
    assert process.wait(60) == 0
    assert "the terminal is gone" in tiny.said()
    tiny.nothing_left()


def test_services_end_on_sigint_though_the_shell_had_it_ignored(tiny: TinyStack) -> None:
    process = tiny.start(ignore_sigint=True)
    wait_until(lambda: "all up" in tiny.said(), "the tiny stack is up")
    state = read_state(tiny.home)
    assert state is not None
    assert state.services[0].running is not None
    with open(f"/proc/{state.services[0].running.pid}/status") as file:
        ignored = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn"))
    assert not ignored & 1 << (signal.SIGINT - 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    tiny.nothing_left()


def test_a_service_that_will_not_end_is_killed_with_its_children(tiny: TinyStack) -> None:
    process = tiny.start("--stubborn")
    wait_until(lambda: "all up" in tiny.said(), "the tiny stack is up")
    process.terminate()
    assert process.wait(60) == 0
    assert "had to be killed: middle" in tiny.said()
    assert tiny.events()[-1] == "ground ended"
    tiny.nothing_left()


def test_a_second_signal_hurries(tiny: TinyStack) -> None:
    process = tiny.start("--stubborn")
    wait_until(lambda: "all up" in tiny.said(), "the tiny stack is up")
    process.terminate()
    wait_until(lambda: "middle was asked to end" in tiny.events(), "the end has begun")
    process.terminate()
    assert process.wait(60) == 0
    tiny.nothing_left()


def test_a_killed_supervisor_leaves_no_process(tiny: TinyStack) -> None:
    process = tiny.up()
    process.kill()
    process.wait()
    tiny.nothing_left()
    assert tiny.events() == IN_ORDER + ENDED_IN_ORDER


def test_a_start_waits_for_the_end_of_a_killed_stack(tiny: TinyStack) -> None:
    process = tiny.start("--stubborn")
    wait_until(lambda: "all up" in tiny.said(), "the tiny stack is up")
    process.kill()
    process.wait()
    second = tiny.start()
    wait_until(lambda: tiny.said().count("all up") == 2, "the second stack is up")
    assert tiny.events()[-3:] == IN_ORDER
    second.terminate()
    assert second.wait(60) == 0


def test_what_is_left_though_supervisor_and_watcher_were_killed_is_ended_by_the_next_start(
    tiny: TinyStack,
) -> None:
    process = tiny.up()
    watcher = next(
        one
        for one in psutil.Process(process.pid).children()
        if "ecom_lakehouse.stack.watcher" in one.cmdline()
    )
    state = read_state(tiny.home)
    assert state is not None
    watcher.kill()
    process.kill()
    process.wait()
    second = tiny.start()
    wait_until(lambda: tiny.said().count("all up") == 2, "the second stack is up")
    assert "what an earlier stack left behind" in tiny.said()
    assert not any(one.running and one.running.process() for one in state.services)
    second.terminate()
    assert second.wait(60) == 0


def test_a_second_stack_on_the_same_home_is_refused(tiny: TinyStack) -> None:
    first = tiny.up()
    second = tiny.start()
    assert second.wait(60) == 2
    assert f"(pid {first.pid}) is already running on {tiny.home}" in tiny.said()
    assert first.poll() is None
    assert tiny.events() == IN_ORDER


def test_a_port_in_use_is_refused_with_who_holds_it(tiny: TinyStack) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert tiny.start("--port", str(port)).wait(60) == 2
    assert f"port {port} (ground) is held by" in tiny.said()
    assert f"(pid {os.getpid()}): end that, or set LAKEHOUSE_GROUND_PORT" in tiny.said()
    assert tiny.events() == []


def test_a_full_disk_is_refused(tiny: TinyStack) -> None:
    assert tiny.start("--min-free-disk-mb", str(2**40)).wait(60) == 2
    assert "MB of disk left" in tiny.said()
    assert "LAKEHOUSE_MIN_FREE_DISK_MB" in tiny.said()
    assert tiny.events() == []


def test_a_service_that_dies_is_reported_and_started_again(tiny: TinyStack) -> None:
    process = tiny.up()
    state = read_state(tiny.home)
    assert state is not None
    top = state.services[2].running
    assert top is not None
    os.kill(top.pid, signal.SIGKILL)
    wait_until(lambda: "top ended with code -9; started again in 1 s" in tiny.said(), "its death is said")
    wait_until(lambda: tiny.events().count("top started") == 2, "it is started again")
    process.terminate()
    assert process.wait(60) == 0


def test_a_service_that_all_need_and_that_cannot_start_ends_the_start_with_its_last_lines(
    tiny: TinyStack,
) -> None:
    assert tiny.start("--broken", "ground").wait(60) == 2
    assert "ground could not be started" in tiny.said()
    assert "no such setting: colour" in tiny.said()
    tiny.nothing_left()


def test_a_service_that_none_needs_is_tried_again_while_the_others_run(tiny: TinyStack) -> None:
    process = tiny.start("--broken", "top")
    wait_until(lambda: "top ended with code 3; started again in 2 s" in tiny.said(), "it is tried again")
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0
    assert tiny.events()[:2] == IN_ORDER[:2]


def test_stop_from_another_terminal_ends_it_in_order(tiny: TinyStack) -> None:
    process = tiny.up()
    assert "ended after" in stop_stack(tiny.home)
    assert process.wait(60) == 0
    assert tiny.events() == IN_ORDER + ENDED_IN_ORDER
    assert stop_stack(tiny.home) == f"No stack runs on {tiny.home}."


def test_ps_shows_each_process_with_what_it_started(tiny: TinyStack) -> None:
    tiny.up()
    rows = {row.name: row for row in process_rows(tiny.home)}
    assert list(rows) == ["supervisor", "ground", "middle", "top"]
    assert {row.state for row in rows.values()} == {"ready"}
    assert rows["middle"].memory_megabytes > rows["ground"].memory_megabytes
    assert all(0 <= row.uptime_seconds < 60 for row in rows.values())


def test_an_id_that_somebody_else_got_is_nobody(tiny: TinyStack) -> None:
    own = psutil.Process()
    assert find(own.pid, own.create_time()) == own
    assert find(own.pid, own.create_time() - 1) is None


def test_clean_is_refused_while_a_stack_runs(tiny: TinyStack) -> None:
    from ecom_lakehouse.settings import Settings
    from ecom_lakehouse.stack.remote import STATE, clean_home

    process = tiny.up()
    settings = Settings(_env_file=None, home=tiny.home, cache=tiny.home / "cache")
    settings.cache.mkdir()
    with pytest.raises(StackError, match="make stop"):
        clean_home(settings)
    process.terminate()
    process.wait(60)
    clean_home(settings)
    assert not {path.name for path in tiny.home.iterdir()} & set(STATE)
    assert settings.cache.exists()
