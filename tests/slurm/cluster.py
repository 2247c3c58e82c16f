"""A private SLURM on this machine: real daemons on loopback, several virtual nodes, nothing left behind.

It needs neither root nor systemd, cgroups or a host name that resolves, and keeps all its files in one
temporary folder. Every process it starts, jobs included, has the path of its slurm.conf in its
environment: that is how they are found again.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where the daemons live; a user's PATH may lack it
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db", "sbatch", "sacct")
NODES = ("n1", "n2", "n3")


class ClusterError(RuntimeError):
    """The cluster did not do in time what it had to; the message shows what it said."""


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


class Cluster:
    """Within its block a SLURM runs; sbatch, squeue and the others reach it with `env`.

    Partitions: `main` preempts `killable`, both on n1 and n2; `closed` queues jobs and starts none;
    `background` is n3. The QOS `three` accepts no more than three jobs of a user, `twohundred` 200.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # the paths of sockets must be short
        self._conf = self.folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def env(self) -> dict[str, str]:
        """The environment of who submits to this cluster."""
        foreign = ("SLURM_", "SBATCH_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SRUN_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return {**kept, "SLURM_CONF": str(self._conf), "PATH": PATH}

    def __enter__(self) -> Cluster:
        try:
            self._write_configuration()
            self._start_munged()
            self._start_accounting()
            self._start_controller()
            for node in NODES:
                self._start_slurmd(node)
            self.wait_until(lambda: self._idle_nodes() == set(NODES), "all nodes are idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    # --- what tests do with it ----------------------------------------------------------------------

    def command(self, *words: str | Path) -> str:
        """What a command prints. Raises ClusterError if it fails."""
        command = [str(word) for word in words]
        result = subprocess.run(command, capture_output=True, text=True, env=self.env, timeout=60)
        if result.returncode != 0:
            raise ClusterError(f"{' '.join(command)}: {result.stderr or result.stdout}")
        return result.stdout.strip()

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Raises ClusterError, with what the cluster says, if the condition does not come true in time.

        A condition that raises ClusterError is not true yet.
        """
        deadline = time.monotonic() + seconds
        refusal = ""
        while True:
            try:
                if condition():
                    return
            except ClusterError as error:
                refusal = str(error)
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"{ended} ended" if ended else f"{seconds:.0f} s were over"
                raise ClusterError(f"{why} before {what}; {refusal}\n{self._report()}")
            time.sleep(0.2)

    def jobs(self) -> dict[str, str]:
        """Job id -> state, of all that squeue knows."""
        return dict(line.split() for line in self.command("squeue", "--noheader", "--format=%i %T").splitlines())

    def kill_node(self, name: str) -> None:
        """Its slurmd and all that runs on it die at once, and SLURM need not wait until it believes that."""
        self._kill(f"SLURMD_NODENAME={name}")
        self._daemons.pop(name).wait()
        self.command("scontrol", "update", f"nodename={name}", "state=down", "reason=killed")

    def start_node(self, name: str) -> None:
        self._start_slurmd(name)
        self.wait_until(lambda: name in self._idle_nodes(), f"{name} is idle")

    @contextlib.contextmanager
    def hanging_controller(self) -> Iterator[None]:
        """Within the block it takes what it is asked and does not answer."""
        self._daemons["slurmctld"].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemons["slurmctld"].send_signal(signal.SIGCONT)

    def restart_controller(self, pause: float = 0) -> None:
        """`pause`: seconds without one."""
        with self.stopped_controller():
            time.sleep(pause)

    @contextlib.contextmanager
    def stopped_controller(self) -> Iterator[None]:
        """Within the block there is none; what runs runs on."""
        slurmctld = self._daemons.pop("slurmctld")
        slurmctld.terminate()
        slurmctld.wait(timeout=60)
        try:
            yield
        finally:
            self._start_controller()

    def stop(self) -> None:
        """End everything that was started, jobs included, and delete the folder."""
        self._kill()
        for daemon in self._daemons.values():
            daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self, *marks: str) -> list[int]:
        """The cluster's processes, those that have all of these NAME=value in their environment."""
        wanted = {mark.encode() for mark in (f"SLURM_CONF={self._conf}", *marks)}
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                if wanted <= set(environ.read_bytes().split(b"\0")):
                    found.append(int(environ.parent.name))
        return found

    def programs(self) -> set[str]:
        """The names of all programs that run in the cluster, or ask it something."""
        names = set()
        for process in self.processes():
            with contextlib.suppress(OSError):
                names.add(Path(f"/proc/{process}/comm").read_text().strip())
        return names

    # --- how it starts and ends ---------------------------------------------------------------------

    def _write_configuration(self) -> None:
        ports = dict(zip(("slurmctld", "slurmdbd", *NODES), _free_ports(2 + len(NODES)), strict=True))
        nodes = "\n".join(
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[name]} CPUs=4 RealMemory=16000"
            for name in NODES
        )
        values = {"folder": self.folder, "user": getpass.getuser(), "ports": ports, "nodes": nodes}
        # The daemons can listen at the address of the host's name, or at all addresses (munge keeps strangers out).
        values["listen"] = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if _host_is_loopback() else ""
        for name in ("slurm.conf", "slurmdbd.conf"):
            (self.folder / name).write_text(Path(__file__).with_name(name).read_text().format(**values))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # slurmd would look for version 2
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        for name in ("slurmdbd.conf", "munge.key"):
            (self.folder / name).chmod(0o600)
        for name in ("state", *NODES):
            (self.folder / name).mkdir()

    def _start_munged(self) -> None:
        socket = f"--socket={self.folder}/munge.socket"
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "seed")]
        # --force: who may write to the folders above ours is not checked
        self._start("munged", ["munged", "--foreground", "--force", socket, *files])
        self._wait_for("munged", "munge", "--no-input", socket)

    def _start_accounting(self) -> None:
        user, socket = getpass.getuser(), self.folder / "mariadb.socket"
        options = [
            "--no-defaults",
            f"--datadir={self.folder}/mariadb",
            f"--user={user}",
            "--innodb-flush-method=nosync",
        ]
        self.command("mariadb-install-db", *options, "--skip-test-db", "--auth-root-authentication-method=normal")
        self._start("mariadbd", ["mariadbd", *options, f"--socket={socket}", "--skip-networking"])
        self.wait_until(socket.exists, "mariadbd listens")
        self._start("slurmdbd", ["slurmdbd", "-D"], MYSQL_UNIX_PORT=str(socket))
        self._wait_for("slurmdbd", "sacctmgr", "show", "cluster")
        self.command("sacctmgr", "-i", "add", "cluster", "test")
        for name, limit in {"three": 3, "twohundred": 200}.items():
            self.command("sacctmgr", "-i", "add", "qos", name, f"MaxSubmitJobsPerUser={limit}")
        if user != "root":  # who is in the account `root` from the start
            self.command("sacctmgr", "-i", "add", "user", user, "account=root")
        self.command("sacctmgr", "-i", "modify", "user", user, "set", "qos=normal,three,twohundred")

    def _start_controller(self) -> None:
        self._start("slurmctld", ["slurmctld", "-D"])
        self._wait_for("slurmctld", "scontrol", "ping")

    def _start_slurmd(self, node: str) -> None:
        self._start(node, ["slurmd", "-D", "-N", node], SLURMD_NODENAME=node)

    def _start(self, name: str, command: list[str], **variables: str) -> None:
        environment = {"PATH": PATH, "SLURM_CONF": str(self._conf), **variables}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_for(self, daemon: str, *question: str) -> None:
        """Until the command succeeds that asks the daemon."""
        self.wait_until(lambda: self.command(*question) is not None, f"{daemon} answers")

    def _idle_nodes(self) -> set[str]:
        return set(self.command("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N").split())

    def _report(self) -> str:
        """Queue, nodes, and the ends of the daemons' logs."""
        parts = []
        for command in (["squeue", "--long"], ["sinfo", "--Node", "--long"]):
            with contextlib.suppress(ClusterError, subprocess.TimeoutExpired):
                parts.append(self.command(*command))
        for log in sorted(self.folder.glob("*.log")):
            parts += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-6:]]
        return "\n".join(parts)

    def _kill(self, *marks: str) -> None:
        deadline = time.monotonic() + 30
        while processes := self.processes(*marks):  # again, as one may have started another meanwhile
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise ClusterError(f"processes {processes} outlive SIGKILL")
            time.sleep(0.02)


def _host_is_loopback() -> bool:
    try:
        return socket.gethostbyname(socket.gethostname()) == "127.0.0.1"
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1, below those that the kernel gives to outgoing connections."""
    ports: list[int] = []
    for port in random.sample(range(10_000, 30_000), 1000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise ClusterError("no free ports on 127.0.0.1")
