"""Whether two commits measure the same: run the same configurations on both and compare the long tables.

    python tools/same_values.py OLD NEW                           # config/smoke.yaml and config/every.yaml
    python tools/same_values.py OLD NEW --config config/ppd.yaml

Each commit is checked out into its own folder of --work, which is kept for the next call. Both run the configurations
of NEW (--own: each its own). Every value except seconds and memory must be equal to the last bit; the exit code is 0 if
all are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
MEASURED = ("seconds", "peak_memory")
AXES = ["task", "method", "user", "seed", "stage", "round", "metric"]


def checked_out(commit: str, work: Path) -> Path:
    """A checkout of a commit (a folder is taken as it is)."""
    if Path(commit).is_dir():
        return Path(commit).resolve()
    parse = ["git", "rev-parse", "--short", f"{commit}^{{commit}}"]
    name = subprocess.check_output(parse, cwd=REPOSITORY, encoding="utf-8").strip()
    place = work / name
    if not place.exists():
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(place)], check=True)
        subprocess.run(["git", "checkout", "-q", name], cwd=place, check=True)
    return place


def long_table(place: Path, config: Path, cores: int, own: bool) -> pd.DataFrame:
    """The long table of a configuration, made by the code in `place`."""
    copied = place / "config" / config.name
    if copied.resolve() != config.resolve() and not (own and copied.is_file()):
        shutil.copyfile(config, copied)
    results = yaml.safe_load(copied.read_text(encoding="utf-8"))["results"]
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), f"{results}/runs.parquet"]
    command += ["--configfile", f"config/{config.name}"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(place), "PATH": path}
    log = place / f"same-values-{config.stem}.log"
    print(f"{place.name}: {config.name} (log: {log})", flush=True)
    with open(log, "w", encoding="utf-8") as said:
        done = subprocess.run(command, cwd=place, env=environment, stdout=said, stderr=said, check=False)
    if done.returncode:
        raise SystemExit(f"the run failed; see {log}")
    table = pd.read_parquet(place / results / "runs.parquet")
    return table[~table.metric.isin(MEASURED)].set_index(AXES).sort_index()


def differences(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The values that differ, or that only one of them has (NaN equals NaN)."""
    both = pd.concat({"old": old.value, "new": new.value}, axis=1)
    same = (both.old == both.new) | (both.old.isna() & both.new.isna())
    one_sided = ~both.index.isin(old.index.intersection(new.index))
    return both[~same | one_sided]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a commit, or a folder with its checkout")
    parser.add_argument("new", help="a commit, or a folder with its checkout")
    parser.add_argument("--config", nargs="+", default=["config/smoke.yaml", "config/every.yaml"])
    work = Path(tempfile.gettempdir()) / "papa-same-values"
    parser.add_argument("--work", type=Path, default=work, help="folder of the checkouts")
    parser.add_argument("--own", action="store_true", help="each commit runs its own file of that name")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    places = [checked_out(commit, args.work) for commit in (args.old, args.new)]
    unequal = 0
    for config in args.config:
        old, new = (long_table(place, places[1] / config, args.cores, args.own) for place in places)
        found = differences(old, new)
        print(f"{config}: {len(old)} values before, {len(new)} after, {len(found)} not the same", flush=True)
        if len(found):
            print(found.to_string(max_rows=40))
        unequal += len(found)
    return int(unequal > 0)


if __name__ == "__main__":
    sys.exit(main())
