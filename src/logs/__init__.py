"""What is written and shown while a run trains: the listeners training.log, state.json, progress bar; and stats.csv."""

from __future__ import annotations

from pathlib import Path

from src.config import Config
from src.logs.listeners import Listeners
from src.logs.progress_bar import ProgressBar
from src.logs.state_file import StateFile
from src.logs.text_log import TextLog


def build_listeners(config: Config, folder: Path) -> Listeners:
    """The listeners of every run. The state file comes first: it is closed last, when all else is written."""
    return Listeners(StateFile(folder), TextLog(folder, config.log_to_stdout), ProgressBar(folder.name))
