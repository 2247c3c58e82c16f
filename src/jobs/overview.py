"""What became of a job, as text for a terminal: counts, what runs and waits, what failed and what the failures have in common."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from src import config, experiment
from src.jobs.states import Outcome, Outcomes, State, seconds_since
from src.jobs.text import count, duration, listed, shorten

WIDTH = 100  # characters of a line
MAX_RUNNING = 20
MAX_CAUSES = 12
FAILED = (State.FAILED, State.DIVERGED, State.LOST)


def overview(job: Path, outcomes: Outcomes) -> list[str]:
    """The lines of the text; a part without content is omitted."""
    lines = [f"{job}: {count(len(outcomes.all))}: {outcomes.counts()}"]
    if reused := sum("reused_from" in outcome.reported for outcome in outcomes.of(State.DONE)):
        lines.append(f"  {reused} of the finished ones reused from other jobs; their state.json has the source")
    if ended := outcomes.of(State.ENDED):
        lines.append(f"  {len(ended)} ended by the calling program, and not started again by -r")
    if outcomes.problem:
        lines += ["", *textwrap.wrap(f"This is what the folders know; {outcomes.problem}", WIDTH)]
    waiting = (_waiting(outcomes, state) for state in _WAITING)
    for part in (_running(outcomes.of(State.RUNNING)), *waiting, _failures(outcomes)):
        lines += ["", *part] if part else []
    return lines


# --- what runs and waits ------------------------------------------------------------------------------


def _running(outcomes: list[Outcome]) -> list[str]:
    """A line each: where, for how long, how far, its loss, and when it will end."""
    if not outcomes:
        return []
    head = ("#", "where", "for", "epoch", "steps", "loss", "ends in", "")
    rows = [head, *(_row(outcome) for outcome in outcomes[:MAX_RUNNING])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (1, 7) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    if len(outcomes) > MAX_RUNNING:
        left = [seconds for outcome in outcomes if (seconds := seconds_left(outcome.reported)) is not None]
        last = f"; the last ends in {duration(max(left))}" if left else ""
        lines.append(f"and {len(outcomes) - MAX_RUNNING} more{last}")
    return ["Running:", *(f"  {line}".rstrip() for line in lines)]


def _row(outcome: Outcome) -> tuple[str, ...]:
    reported, job = outcome.reported, f"job {outcome.job.job_id}" if outcome.job else ""
    if outcome.note.startswith("starting"):  # state.json is from an earlier attempt, if there was one
        return (_number(outcome), job, "", "", "", "", "", outcome.note)
    since, left = seconds_since(reported, "started"), seconds_left(reported)
    figures = reported.get("figures") or {}
    loss = figures.get("train/loss", next((value for name, value in figures.items() if name.endswith("/loss")), None))
    return (
        _number(outcome),
        ", ".join(filter(None, [shorten(str(reported.get("host") or "?"), 24), job])),
        duration(since) if since is not None else "",
        str(reported.get("epoch") or 0),
        f"{reported.get('step') or 0} of {reported['total_steps']}" if reported.get("total_steps") else "",
        f"{loss:.4g}" if isinstance(loss, float) else "",
        duration(left) if left is not None else "",
        outcome.note,
    )


def seconds_left(reported: dict[str, Any]) -> float | None:
    """Until a run with this state.json ends, at the pace of this attempt; None before its first step."""
    since, silent = seconds_since(reported, "started"), seconds_since(reported)
    done = (reported.get("step") or 0) - (reported.get("first_step") or 0)
    if since is None or silent is None or done <= 0 or not reported.get("total_steps"):
        return None
    return max(0.0, (since - silent) / done * (reported["total_steps"] - reported["step"]) - silent)


_WAITING = {
    State.QUEUED: "Queued, with the reason that SLURM gives:",
    State.REQUEUED: "Requeued: stopped, and SLURM starts them again:",
    State.NOT_STARTED: "Not started, and in no queue; -r starts them:",
}


def _waiting(outcomes: Outcomes, state: State) -> list[str]:
    """By reason, the most frequent first."""
    by_reason: dict[str, list[Outcome]] = {}
    for outcome in outcomes.of(state):
        by_reason.setdefault(outcome.text, []).append(outcome)
    lines = []
    for reason, group in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        lines.append(f"  {len(group):>3} x {reason + ': ' if reason else ''}{_names(group, WIDTH - 12 - len(reason))}")
    return [_WAITING[state], *lines] if lines else []


# --- what failed --------------------------------------------------------------------------------------


def _failures(outcomes: Outcomes) -> list[str]:
    """For each cause its text, what its experiments have in common, and their names; the most frequent first."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes.of(*FAILED):
        groups.setdefault((str(outcome.cause), re.sub(r"\d+(\.\d+)?", "#", outcome.text)), []).append(outcome)
    if not groups:
        return []
    done = [outcome.folder for outcome in outcomes.of(State.DONE)]
    values = _Values([outcome.folder for outcome in outcomes.all]) if max(map(len, groups.values())) > 1 else None
    lines = ["Failed, by cause; -r starts all of them again, -r --only CAUSE those of one cause:"]
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    for (cause, _), group in ordered[:MAX_CAUSES]:
        lines.append(shorten(f"  {len(group):>3} x {cause:9}  {group[0].text}", WIDTH))
        indent = " " * 19
        if values and len(group) > 1:
            common = values.common([outcome.folder for outcome in group], done)
            lines += [indent + shorten(sentence, WIDTH - 19) for sentence in common]
        lines.append(indent + _names(group, WIDTH - 19))
    if len(ordered) > MAX_CAUSES:
        rest = sum(len(group) for _, group in ordered[MAX_CAUSES:])
        lines.append(f"  and {rest} more, of {len(ordered) - MAX_CAUSES} other causes")
    return lines


class _Values:
    """Which option has which value in which experiment, for the options in which the experiments differ."""

    def __init__(self, experiments: list[Path]) -> None:
        defaults = config.DEFAULTS
        options = {folder: experiment.read_options(folder) for folder in experiments}
        given = list(
            dict.fromkeys(key for values in options.values() for key in values if key in config.CHANGES_NUMBERS)
        )
        self.of = {f: {key: repr(v.get(key, defaults[key])) for key in given} for f, v in options.items()}
        self.varying = [key for key in given if len({values[key] for values in self.of.values()}) > 1]

    def common(self, group: list[Path], done: list[Path]) -> list[str]:
        """Values that all of the group have, and less than half of the done experiments; at most two sentences."""
        found = []
        others = set(self.of) - set(group)
        who = "both" if len(group) == 2 else f"all {len(group)}"
        for key in self.varying:
            values = {self.of[folder][key] for folder in group}
            if len(values) == 1:
                value = values.pop()
                n = sum(self.of[folder][key] == value for folder in done)
                n_others = sum(self.of[folder][key] == value for folder in others)
                compared = f", and {n or 'none'} of the {len(done)} that are done" if done else ""
                found.append((n / max(1, len(done)), n_others, f"{who} have {key} {value.strip(chr(39))}{compared}"))
        return [text for share, _, text in sorted(found)[:2] if share < 0.5]


def _number(outcome: Outcome) -> str:
    return outcome.folder.name.partition("_")[0]


def _names(group: list[Outcome], width: int) -> str:
    """As many folder names as fit, at least one, and how many more there are."""
    names = [shorten(outcome.folder.name, max(20, width - 14)) for outcome in group]
    n = 1
    while n < len(names) and len(", ".join(names[: n + 1])) <= width - 14:
        n += 1
    return listed(names, n)
