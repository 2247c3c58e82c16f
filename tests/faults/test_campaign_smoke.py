"""The fault campaign itself, with a few kills: make faults runs it with a hundred."""

from __future__ import annotations

from helpers import run_command


def test_a_few_kills_lose_no_epoch_and_change_no_number() -> None:
    done = run_command(
        "tests/faults/campaign.py", "--kills", "4", "--kinds", "linear, sgd", "large, slow to save", timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs, kills, _, lost, differing = map(int, done.stdout.splitlines()[-1].split()[1:])
    assert runs >= 1 and kills >= 4 and (lost, differing) == (0, 0)
