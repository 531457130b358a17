"""A Slurm cluster of two nodes on this machine, to try profiles/slurm on and to test it.

    python tools/slurm.py start     # prints the line that makes this shell use the cluster
    python tools/slurm.py stop      # ends it and deletes its folder

Debian and Ubuntu have the daemons in the package `slurm-wlm`. They run as the user who starts them, listen on this
machine only and keep everything in one folder.
"""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / "papa-slurm"
NODES = ("one", "two")
DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
PATIENCE = 60  # seconds

CONFIGURATION = """\
# Made by tools/slurm.py.
ClusterName=papa
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
# A job that is put back into the queue waits until its credential has expired: seconds, in place of two minutes.
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
# Processes are found by their parents: control groups would need rights that a container does not have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
# There is no accounting, so `squeue` must show finished jobs for this long.
MinJobAge=300
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
# Each node has half of the cores and all the memory of the machine.
SlurmdParameters=config_overrides
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs that are needed and not installed."""
    return [name for name in (*DAEMONS, *COMMANDS) if program(name) is None]


def program(name: str) -> str | None:
    """Path of a program; only root has the daemons on the path."""
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


def configuration(folder: Path) -> str:
    """slurm.conf of a cluster in this folder, on ports that are free now."""
    port, *ports = free_ports(1 + len(NODES))
    cores = max(1, (os.cpu_count() or 1) // len(NODES))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    # Debian's Slurm refuses two nodes with one host name.
    nodes = [
        f"NodeName={name} NodeHostname=papa-{name} NodeAddr=127.0.0.1 Port={at} CPUs={cores} RealMemory={memory}"
        for name, at in zip(NODES, ports, strict=True)
    ]
    return CONFIGURATION.format(
        host=socket.gethostname(), user=getpass.getuser(), port=port, folder=folder, nodes="\n".join(nodes)
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start(folder: Path) -> Path:
    """Start the daemons and wait until both nodes are idle; returns the folder of commands for PATH."""
    if names := missing():
        sys.exit(f"{', '.join(names)}: not on the path. Install Slurm, on Debian with `apt-get install slurm-wlm`.")
    if folder.exists():
        sys.exit(f"{folder} exists; stop that cluster with `python tools/slurm.py stop --folder {folder}`.")
    folder.mkdir(parents=True)
    (folder / "state").mkdir()
    key = folder / "munged.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    conf = folder / "slurm.conf"
    conf.write_text(configuration(folder), encoding="utf-8")
    write_commands(folder, conf)
    files = [f"--{what}-file={folder}/munged.{what}" for what in ("key", "pid", "log", "seed")]
    # Without --force every user must be able to reach the socket.
    run("munged", "--force", f"--socket={folder}/munge.socket", *files)
    run("slurmctld", "-f", str(conf))
    for name in NODES:
        (folder / name).mkdir()
        run("slurmd", "-N", name, "-f", str(conf))
    wait_until(lambda: states(folder) == ["idle"] * len(NODES), f"both nodes are idle; the logs are in {folder}")
    return folder / "bin"


def write_commands(folder: Path, conf: Path) -> None:
    """Slurm's commands for this cluster; each sets SLURM_CONF, which Snakemake's plugin removes for its jobs."""
    (folder / "bin").mkdir()
    for name in COMMANDS:
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {program(name)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)


def stop(folder: Path) -> None:
    """End all jobs and daemons and delete the folder."""
    if not folder.exists():
        sys.exit(f"There is no folder {folder}.")
    if (folder / "slurmctld.pid").exists():
        run(f"{folder}/bin/scancel", f"--user={getpass.getuser()}")  # jobs outlive the daemon
        wait_until(lambda: not run(f"{folder}/bin/squeue", "--noheader"), "all jobs have ended")
    for pid in daemons(folder):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not daemons(folder), "the daemons have ended")
    shutil.rmtree(folder)


def daemons(folder: Path) -> list[int]:
    """Running daemons; the number in a file may belong to another process by now, so its name is checked."""
    pids = [file.read_text(encoding="utf-8").strip() for file in folder.glob("*.pid")]
    names = {pid: Path("/proc", pid, "comm") for pid in pids}
    return [int(pid) for pid, file in names.items() if file.exists() and file.read_text().strip() in DAEMONS]


def states(folder: Path) -> list[str]:
    return run(f"{folder}/bin/sinfo", "--noheader", "--Node", "--format=%T").split()


def run(*command: str) -> str:
    """Output of a program; exits if it fails."""
    path = program(command[0]) or command[0]
    done = subprocess.run([path, *command[1:]], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
    return done.stdout


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            sys.exit(f"Not after {PATIENCE} seconds: {what}.")
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the cluster (default: %(default)s)")
    options = parser.parse_args()
    folder = options.folder.absolute()
    if options.what == "start":
        print(f"export PATH={start(folder)}:$PATH")
    else:
        stop(folder)


if __name__ == "__main__":
    main()
