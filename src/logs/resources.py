"""How much memory a run has used at its peak."""

from __future__ import annotations

import math
import resource
import sys

import torch


def device_peak_mb(device: torch.device) -> float:
    """Peak of the memory that tensors took on a GPU since the last call, in MB; nan on a CPU.

    The peak of a CPU process varies from run to run; it is in state.json and not in stats.csv, whose
    figures repeat to the last digit.
    """
    if device.type != "cuda":
        return math.nan
    peak = torch.cuda.max_memory_allocated(device) / 1e6
    torch.cuda.reset_peak_memory_stats(device)
    return round(peak, 3)


def process_peak_mb() -> float:
    """Peak of the main memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # bytes there, kilobytes on Linux
