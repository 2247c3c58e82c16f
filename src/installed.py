"""Imported first by the scripts: a Python without the required packages gets a sentence instead of a traceback."""

import sys
from importlib.util import find_spec

for _package in ("yaml", "omegaconf"):
    if find_spec(_package) is None:
        sys.exit(
            f"{_package} is not installed for {sys.executable}: activate the environment (source .venv/bin/activate), "
            "or make it as README.md says"
        )
