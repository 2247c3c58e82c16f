"""Hostile formulas: nothing runs, nothing hangs, nothing fills the memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers import ROOT

ATTEMPTS = [
    "__import__('os').system('touch ran')",
    "open('ran', 'w')",
    "[open('ran', 'w') for i in range(1)]",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "getattr(np, 'load')('x')",
    "globals()",
    "print(1)",
    "input()",
    "type(1)",
    "().__class__",
    "().__class__.__base__.__subclasses__()",
    "[].__class__.__mro__[1].__subclasses__()",
    "[x for x in ().__class__.__bases__]",
    "dict.__subclasses__(dict)",
    "str.mro()",
    "[].append(1)",
    "range(3).__reduce__()",
    "(i for i in range(3)).gi_frame.f_globals",
    "[i for i in range(3)].sort()",
    "''.format()",
    "'{0.__class__}'.format(1)",
    "'{0.__class__}'.format_map({})",
    "'a'.join(['b'])",
    "f'{().__class__}'",
    "f'{1:{().__class__}}'",
    "f'{np.__dict__}'",
    "[np]",
    "[np.arange]",
    "[np.__dict__]",
    "np.load('x')",
    "np.save('ran', 1)",
    "np.fromfile('/etc/passwd')",
    "np.genfromtxt('/etc/passwd')",
    "np.memmap('ran')",
    "np.arange.__self__",
    "np.arange(3).tofile('ran')",
    "np.arange(3).dump('ran')",
    "np.arange(3).ctypes.data",
    "np.arange(3).__array_interface__",
    "np.testing.measure('1')",
    "np.array([1], dtype='O')",
    "np.linspace(0, 1, 3).__class__('x')",
    "[math.__loader__]",
    "math.__spec__.loader.load_module('os')",
    "numpy.ctypeslib.load_library('x', '.')",
    "[os.environ]",
    "sorted([1], key=print)",
    "sorted([1], key=lambda x: x)",
    "(lambda: 1)()",
    "max([1], key=eval)",
    "dict(**{'a': open})",
    "[*open('x')]",
    "(yield 1)",
    "[await x for x in [1]]",
    "int.from_bytes(b'1')",
    "float.__call__('1')",
]
HANGING = [
    "9**9**9**9",
    "[9**9**9**9]",
    "10**10**8",
    "[2**10**15]",
    "(-3)**10**9",
    "[10**14 for i in range(9)][0]**(10**9)",
    "round(5, -10**9)",
    "round(5, ndigits=-10**9)",
    "np.round(np.arange(3), -10**9)",
    "np.arange(3.0).round(10**9)",
    "range(10**12)",
    "list(range(-10**14, 10**14))",
    "max(range(10**12))",
    "[*range(10**12)]",
    "np.arange(1e12)",
    "np.arange(0, 1, 1e-12)",
    "np.arange(-1e12, stop=0)",
    "np.arange(5, stop=1e12)",
    "np.linspace(0, 1, num=10**10)",
    "np.logspace(0, 1, 10**10)",
    "np.linspace(np.arange(99999), 1, 99999)",
    "np.logspace(0, 1, 99999, base=np.arange(1, 99999))",
    "np.array([1, 2], dtype='S1000000000')",
    "np.arange(3).astype('S1000000000')",
    "np.arange(99999) * [[i] for i in range(999)]",
    "[0]*10**10",
    "10**10*[0]",
    "['a'*10**9]",
    "('a',)*10**9",
    "[[0]*99999]*99999",
    "[[[[[0]*999]*999]*999]*999]*999",
    "[[x, x] for x in [[0]*99999] for i in range(99999)]",
    "['%999999999d' % 1]",
    "f'{1:>999999999}'",
    "f'{1:{9**9}}'",
    "[f'{x}{x}' for x in ['a'*99999] for i in range(99999)]",
    "[str(x) for x in [[0]*99999] for i in range(99999)]",
    "[i for i in range(99999) for j in range(99999)]",
    "[0 for i in range(99999) for j in range(99999) for k in []]",
    "[0 for " + " for ".join("i in range(99)" for i in range(99)) + "]",
    "[" * 60 + "i" + " for i in range(9)]" * 60,
    "[0 for " + "i, " * 999 + "in [range(999)]*99 for j in range(9999)]",
    "{i for i in range(99999) for j in range(99999)}",
    "{i: j for i in range(99999) for j in range(99999)}",
    "sum(sum(i for j in range(9999)) for i in range(9999))",
    "sum([[0]]*99999, [])",
    "sum([np.arange(9999)]*9999)",
    "[sorted(x) for x in [list(range(50000))] for i in range(9999)]",
    "[x == y for x in [[0]*9999] for y in [[0]*9999] for i in range(99999)]",
    "[0 in x for x in [[1]*9999] for i in range(99999)]",
    "[x * x for x in [np.arange(9999)] for i in range(99999)]",
    "[x.max() for x in [np.arange(9999)] for i in range(99999)]",
    "zip(*[range(999)]*999)",
    "[d[t] for t in [tuple(range(40000))] for d in [{t: 1}] for i in range(99999)]",
    "{t for t in [tuple(range(40000))] for i in range(99999)}",
    "{t: i for t in [tuple(range(40000))] for i in range(99999)}",
    "[{" + "t, " * 999 + "} for t in [tuple(range(40000))] for i in range(99)]",
    "[x[m] for x in [np.arange(40000)] for m in [[False]*40000] for i in range(99999)]",
    "[f'{x}' for x in [np.arange(9999)] for i in range(99999)]",
    "[x.round(99999) for x in [np.arange(3.0)] for i in range(99999)]",
    "[-x for x in [np.arange(9999)] for i in range(99999)]",
    "[x[::1] for x in [[0]*9999] for i in range(99999)]",
    "[sorted(x, key=str) for x in [[[0]*99]*99] for i in range(99999)]",
    "[(0 and [" + "0, " * 999 + "]).copy() for i in range(99999)]",
    "int('9'*99999)",
    "-" * 9000 + "1",
    "1" + "+1" * 4000,
    "(" * 4000 + "1" + ")" * 4000,
    "[0" + "[0]" * 3000 + "]",
]
EVALUATE_ALL = """
import json, resource, sys, time
import numpy
from src.formulas import evaluate
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
events = []
sys.addaudithook(lambda event, _: events.append(event))
for text in json.load(sys.stdin):
    start, events[:] = time.process_time(), []
    try:
        outcome = "text" if evaluate(text) == text else "value"
    except ValueError as error:
        outcome = f"refused: {error}"
    ran = sorted(set(events) - {"compile", "builtins.id"})  # reading the syntax tree; printing an array
    if sys.platform == "linux":  # where getrusage counts what the process held that started this one
        peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) / 2**10
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([text, outcome, time.process_time() - start, peak, ran]))
"""


def evaluate_all(texts: list[str], folder: Path) -> list[tuple[str, str, float, float, list[str]]]:
    """(text, outcome, CPU seconds, peak megabytes, what was run) of each, in one process with limits."""
    done = subprocess.run(
        [sys.executable, "-c", EVALUATE_ALL],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()[-1:]
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_attempt_runs_anything_or_hangs(tmp_path: Path) -> None:
    results = evaluate_all(ATTEMPTS + HANGING, tmp_path)
    assert len(results) == len(ATTEMPTS + HANGING)
    for text, outcome, seconds, megabytes, ran in results:
        assert outcome.startswith(("refused: ", "text")), (text[:60], outcome)
        assert seconds < 2, (text[:60], seconds)  # half of that on a quiet machine
        assert megabytes < 200, (text[:60], megabytes)
        assert not ran, (text, ran)
    assert not list(tmp_path.iterdir())
