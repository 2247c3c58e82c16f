"""What became of a job, as text for a terminal: counts, what runs and waits, what failed and what that has in common."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from src import config
from src.jobs import folders
from src.jobs.states import Fate, Fates, State, age, duration

WIDTH = 100  # characters of a line
MAX_RUNNING = 20
MAX_CAUSES = 12
FAILED = (State.FAILED, State.DIVERGED, State.LOST)


def overview(job: Path, fates: Fates) -> list[str]:
    """The lines that tell it, without those that have nothing to tell."""
    n = len(fates.all)
    lines = [f"{job}: {n} experiment{'s' * (n != 1)}: {fates.counts()}"]
    if reused := sum("reused_from" in fate.said for fate in fates.of(State.DONE)):
        lines.append(f"  {reused} of the finished ones reused from other jobs; their state.json says from where")
    if fates.problem:
        lines += ["", *textwrap.wrap(f"This is what the folders know; {fates.problem}", WIDTH)]
    for part in (_running(fates.of(State.RUNNING)), *(_waiting(fates, state) for state in _WAITING), _failures(fates)):
        lines += ["", *part] if part else []
    return lines


# --- what runs and waits ------------------------------------------------------------------------------


def _running(fates: list[Fate]) -> list[str]:
    """A line each: where, since when, how far, its loss, and when it will end."""
    if not fates:
        return []
    head = ("#", "where", "for", "epoch", "steps", "loss", "ends in", "")
    rows = [head, *(_row(fate) for fate in fates[:MAX_RUNNING])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (1, 7) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    if len(fates) > MAX_RUNNING:
        rests = [rest for fate in fates if (rest := seconds_left(fate.said)) is not None]
        lines.append(
            f"and {len(fates) - MAX_RUNNING} more" + (f"; the last ends in {duration(max(rests))}" * bool(rests))
        )
    return ["Running:", *(f"  {line}".rstrip() for line in lines)]


def _row(fate: Fate) -> tuple[str, ...]:
    said = fate.said
    job = f", job {fate.job.job_id}" if fate.job else ""
    if fate.note.startswith("starting"):  # what state.json says is of an earlier attempt, if of any
        return (_number(fate), f"job {fate.job.job_id}" if fate.job else "", "", "", "", "", "", fate.note)
    since, left = age(said, "started"), seconds_left(said)
    figures = said.get("figures") or {}
    loss = figures.get("train/loss", next((value for name, value in figures.items() if name.endswith("/loss")), None))
    steps = f"{said.get('step') or 0} of {said['total_steps']}" if said.get("total_steps") else ""
    return (
        _number(fate),
        _shorten(str(said.get("host") or "?"), 24) + job,
        duration(since) if since is not None else "",
        str(said.get("epoch") or 0),
        steps,
        f"{loss:.4g}" if isinstance(loss, float) else "",
        duration(left) if left is not None else "",
        fate.note,
    )


def seconds_left(said: dict[str, Any]) -> float | None:
    """How long a run with this state.json will take to its end, at the pace of this attempt; None before a step."""
    since, silent = age(said, "started"), age(said)
    done = (said.get("step") or 0) - (said.get("first_step") or 0)
    if since is None or silent is None or done <= 0 or not said.get("total_steps"):
        return None
    return max(0.0, (since - silent) / done * (said["total_steps"] - said["step"]) - silent)


_WAITING = {
    State.QUEUED: "Queued, with the reason that SLURM gives:",
    State.REQUEUED: "Requeued: stopped, and SLURM starts them again:",
    State.NOT_STARTED: "Not started, and in no queue; -r starts them:",
}


def _waiting(fates: Fates, state: State) -> list[str]:
    """By reason, the most frequent first."""
    by_reason: dict[str, list[Fate]] = {}
    for fate in fates.of(state):
        by_reason.setdefault(fate.text, []).append(fate)
    lines = []
    for reason, group in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        lines.append(f"  {len(group):>3} x {reason + ': ' if reason else ''}{_names(group, WIDTH - 12 - len(reason))}")
    return [_WAITING[state], *lines] if lines else []


# --- what failed --------------------------------------------------------------------------------------


def _failures(fates: Fates) -> list[str]:
    """For each cause its text, what its experiments have in common, and their names; the most frequent first."""
    groups: dict[tuple[str, str], list[Fate]] = {}
    for fate in fates.of(*FAILED):
        groups.setdefault((str(fate.cause), re.sub(r"\d+(\.\d+)?", "#", fate.text)), []).append(fate)
    if not groups:
        return []
    done = [fate.folder for fate in fates.of(State.DONE)]
    values = _Values([fate.folder for fate in fates.all]) if max(map(len, groups.values())) > 1 else None
    lines = ["Failed, by cause; -r starts all of them again, -r --only CAUSE those of one cause:"]
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    for (cause, _), group in ordered[:MAX_CAUSES]:
        lines.append(_shorten(f"  {len(group):>3} x {cause:9}  {group[0].text}", WIDTH))
        indent = " " * 19
        if values and len(group) > 1:
            lines += [indent + _shorten(said, WIDTH - 19) for said in values.common([f.folder for f in group], done)]
        lines.append(indent + _names(group, WIDTH - 19))
    if len(ordered) > MAX_CAUSES:
        rest = sum(len(group) for _, group in ordered[MAX_CAUSES:])
        lines.append(f"  and {rest} more, of {len(ordered) - MAX_CAUSES} other causes")
    return lines


class _Values:
    """Which option has which value in which experiment, where the experiments differ."""

    def __init__(self, experiments: list[Path]) -> None:
        defaults = config.DEFAULTS
        options = {folder: folders.options_of(folder) for folder in experiments}
        named = list(
            dict.fromkeys(key for values in options.values() for key in values if key in config.CHANGES_NUMBERS)
        )
        self.of = {f: {key: repr(v.get(key, defaults[key])) for key in named} for f, v in options.items()}
        self.named = [key for key in named if len({values[key] for values in self.of.values()}) > 1]

    def common(self, group: list[Path], done: list[Path]) -> list[str]:
        """What all of the group have, and less than half of those that are done; at most two sentences."""
        found = []
        others = set(self.of) - set(group)
        who = "both" if len(group) == 2 else f"all {len(group)}"
        for key in self.named:
            values = {self.of[folder][key] for folder in group}
            if len(values) == 1:
                value = values.pop()
                n = sum(self.of[folder][key] == value for folder in done)
                n_others = sum(self.of[folder][key] == value for folder in others)
                said = f", and {n or 'none'} of the {len(done)} that are done" if done else ""
                found.append((n / max(1, len(done)), n_others, f"{who} have {key} {value.strip(chr(39))}{said}"))
        return [text for share, _, text in sorted(found)[:2] if share < 0.5]


# --- words --------------------------------------------------------------------------------------------


def _number(fate: Fate) -> str:
    return fate.folder.name.partition("_")[0]


def _names(group: list[Fate], room: int) -> str:
    """As many folder names as there is room for, and how many more there are."""
    names = [fate.folder.name for fate in group]
    shown: list[str] = []
    while names and len(", ".join([*shown, names[0]])) <= room - 14:
        shown.append(names.pop(0))
    if not shown:
        shown = [_shorten(names.pop(0), max(20, room - 14))]
    return ", ".join(shown) + (f" and {len(names)} more" if names else "")


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
