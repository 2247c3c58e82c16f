"""What watches a run: training.log, state.json and the progress bar are listeners, each in a file; and stats.csv."""

from __future__ import annotations

from pathlib import Path

from src.config import Config
from src.logs.listeners import Listeners
from src.logs.progress_bar import ProgressBar
from src.logs.state_file import StateFile
from src.logs.text_log import TextLog


def build_listeners(config: Config, folder: Path) -> Listeners:
    """What hears of every run. The state comes first: it is the last to be closed, and says that all is done."""
    return Listeners(StateFile(folder), TextLog(folder, config.log_to_stdout), ProgressBar(folder.name))
