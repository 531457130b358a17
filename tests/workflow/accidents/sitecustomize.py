"""Accidents on demand, in the processes of a workflow that has this folder on PYTHONPATH.

Python imports this module by its name when it starts. The environment says where the accident happens:
KILL_AT_LOG, KILL_AT_WRITE: part of a log line, or of the path of a file that is about to take its place;
the whole process group is killed there as by `kill -9`. FULL_AT_WRITE: there the disk is full instead.
PAUSE_AT_LOG: after that line the process waits as long as the file PAUSE_WHILE is there.
"""

import builtins
import errno
import os
import signal
import time

_print, _replace = builtins.print, os.replace


def _meets(name: str, text: str) -> bool:
    place = os.environ.get(name)
    return bool(place) and place in text


def _kill() -> None:
    os.killpg(0, signal.SIGKILL)


def _printing(*values, **options):
    _print(*values, **options)
    if _meets("KILL_AT_LOG", " ".join(map(str, values))):
        _kill()
    while _meets("PAUSE_AT_LOG", " ".join(map(str, values))) and os.path.exists(os.environ["PAUSE_WHILE"]):
        time.sleep(0.05)


def _replacing(source, target, **options):
    if _meets("KILL_AT_WRITE", str(target)):
        _kill()
    if _meets("FULL_AT_WRITE", str(target)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    _replace(source, target, **options)


builtins.print, os.replace = _printing, _replacing
