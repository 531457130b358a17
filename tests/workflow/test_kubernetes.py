"""profiles/kubernetes: it plans without a cluster, and its jobs make the same numbers in empty folders of their own."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from support import kubernetes
from support.workplace import TINY, Work, assert_same_numbers, text_of

pytestmark = pytest.mark.skipif(
    not (find_spec("snakemake_executor_plugin_kubernetes") and find_spec("snakemake_storage_plugin_fs")),
    reason='needs pip install -e ".[kubernetes]"',
)

PROFILE = "profiles/kubernetes/config.yaml"


@pytest.fixture
def work(clean: Work, tmp_path: Path) -> Work:
    """The tiny experiment on the plane, with a volume of the test in place of /papa. Jobs get what git has listed."""
    work = clean.copy_to(tmp_path / "work")
    work.configure(grid={"plane": TINY["grid"]["plane"]})
    profile = (work.root / PROFILE).read_text(encoding="ascii")
    (work.root / PROFILE).write_text(profile.replace("/papa", str(tmp_path / "volume")).replace("jobs: 50", "jobs: 2"))
    (tmp_path / "volume").mkdir()
    for command in (("git", "init", "--quiet"), ("git", "add", "--all")):
        subprocess.run(command, cwd=work.root, check=True)
    return work


def test_it_plans_without_a_cluster(work: Work, tmp_path: Path) -> None:
    done = work.snakemake("-n", "--workflow-profile", "profiles/kubernetes", KUBECONFIG=str(tmp_path / "missing"))
    assert done.returncode == 0, text_of(done)
    assert done.stdout.count("rule align:") == 2 and list((tmp_path / "volume").iterdir()) == []


def test_jobs_that_share_a_volume_alone_give_the_same_numbers(finished: Work, work: Work, tmp_path: Path) -> None:
    """What speaks with the plugin is tests/support/kubernetes.py; everything else is real."""
    with kubernetes.running(tmp_path / "cluster") as (cluster, config):
        options = ["--workflow-profile", "profiles/kubernetes", "--seconds-between-status-checks", "1"]
        done = work.snakemake(*options, "table_T1", KUBECONFIG=str(config))
        assert done.returncode == 0, text_of(done) + cluster.logs()
    expected = finished.numbers().query("task == 'gmm2d'")
    assert len(expected) > 10
    assert_same_numbers(expected, work.numbers(tmp_path / "volume/results"))
    assert (tmp_path / "volume/results/tables/T1.md").is_file() and not (work.root / "results").exists()

    given = yaml.safe_load((work.root / PROFILE).read_text())
    for job in cluster.jobs:
        [container] = job["spec"]["template"]["spec"]["containers"]
        assert container["image"] == given["container-image"]
        # Kubernetes refuses a request for GPUs, were it 0 of them, whose limit is another.
        assert container["resources"]["limits"].get("nvidia.com/gpu") == container["resources"]["requests"].get(
            "nvidia.com/gpu"
        )
    assert len(cluster.jobs) >= 7
