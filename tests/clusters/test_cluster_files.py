"""The cluster files are what they say: they parse, their amounts fit, and they call what they should."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "clusters"
_STAND_IN = """\
#!/usr/bin/env bash
line=$(basename "$0")$(printf ' %q' "$@")
# One write a call: those in the background write at the same time.
echo "$line" >> "$CALLS"
{more}
"""


def _documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text()))


def _groups() -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Return what Ray is told and what Kubernetes gives, of each group of pods."""
    spec = _documents()[0]["spec"]
    return [
        (group["rayStartParams"], group["template"]["spec"])
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])
    ]


def test_ray_is_told_of_what_a_pod_has() -> None:
    for told, pod in _groups():
        (container,) = pod["containers"]
        limits = container["resources"]["limits"]
        assert container["resources"]["requests"] == limits
        assert int(told["num-cpus"]) <= int(limits["cpu"])
        assert int(told["num-gpus"]) == int(limits.get("nvidia.com/gpu", 0))
        sizes = [v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if "emptyDir" in v]
        assert all(int(size[:-2]) < int(limits["memory"][:-2]) for size in sizes)


def test_all_pods_have_the_store_and_one_image() -> None:
    cluster, claim = _documents()
    images = set()
    for _, pod in _groups():
        (container,) = pod["containers"]
        images.add(container["image"])
        (volume,) = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        assert mounts.keys() == {one["name"] for one in pod["volumes"]}
        environment = {one["name"]: one["value"] for one in container["env"]}
        assert environment["HARNESS_HOME"] == mounts[volume["name"]]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert len(images) == 1
    assert cluster["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_the_cluster_has_the_version_of_ray_that_is_tested() -> None:
    pinned = re.search(r"^ray==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert _documents()[0]["spec"]["rayVersion"] == pinned[1]


@pytest.mark.parametrize("name", ["slurm.sh", "hosts.sh"])
def test_scripts_parse_and_say_how_they_are_used(name: str) -> None:
    subprocess.run(["bash", "-n", FOLDER / name], check=True)
    done = subprocess.run(["bash", FOLDER / name], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"clusters/{name}" in done.stderr
    assert os.access(FOLDER / name, os.X_OK)


def _call(folder: Path, script: str, *arguments: str, **stand_ins: str) -> tuple[str, list[str]]:
    """Run a script with stand-ins for the programs that it calls; return what it said and the calls."""
    calls = folder / "calls"
    for name, more in stand_ins.items():
        path = folder / name
        path.write_text(_STAND_IN.format(more=more))
        path.chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(folder),
        "CALLS": str(calls),
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_GPUS_ON_NODE": "4",
    }
    done = subprocess.run(
        ["bash", FOLDER / script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout, calls.read_text().splitlines()


def test_slurm_starts_a_head_workers_and_one_run(tmp_path: Path) -> None:
    _, calls = _call(
        tmp_path,
        "slurm.sh",
        *("study.yaml", "--profile", "cluster"),
        # More than a pipe holds: whoever reads the first line alone breaks it.
        scontrol="seq --format=node%.0f 20000",
        srun='case "$*" in *hostname*) echo "10.0.0.1 fe80::1";; esac',
        ray="",
        # Those in the background have been called by then.
        harness='until [ "$(grep -c "^srun" "$CALLS")" = 3 ]; do sleep 0.01; done',
    )
    port = 20000 + 123456 % 20000
    (head,) = [call for call in calls if "--head" in call]
    assert head.startswith("srun --nodes=1 --ntasks=1 --nodelist=node1")
    assert f"--node-ip-address=10.0.0.1 --port={port}" in head
    assert "--num-cpus=32 --num-gpus=4" in head
    (workers,) = [call for call in calls if "--exclude=node1" in call]
    assert workers.startswith("srun --nodes=2 --ntasks=2")
    assert workers.endswith(f" 10.0.0.1:{port} 32 4")
    assert f"harness run study.yaml --address 10.0.0.1:{port} --profile cluster" in calls


def test_slurm_ends_as_the_run_ended(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as ended:
        _call(
            tmp_path,
            *("slurm.sh", "study.yaml"),
            scontrol="echo node1",
            srun='case "$*" in *hostname*) echo 10.0.0.1;; esac',
            ray="",
            harness="exit 1",
        )
    assert ended.value.returncode == 1


def test_hosts_are_started_with_the_heads_token_and_stopped_in_turn(tmp_path: Path) -> None:
    stand_ins = {
        "ssh": 'case "$*" in *"cat .ray"*) echo secret;; esac',
        "getent": 'echo "10.0.0.1 STREAM one"',
        "ray": "",
    }
    said, calls = _call(tmp_path, "hosts.sh", "start", "one", "two", "three", **stand_ins)
    started = [call for call in calls if "ray" in call and "start" in call]
    assert [call.split()[1] for call in started] == ["one", "two", "three"]
    assert "dashboard-host=127.0.0.1" in started[0]
    assert all("10.0.0.1:6379" in call for call in started[1:])
    assert not any("secret" in call for call in calls)
    assert said == "harness run STUDY --address 10.0.0.1:6379\n"
    (tmp_path / "calls").unlink()
    _, calls = _call(tmp_path, "hosts.sh", "stop", "one", "two", **stand_ins)
    assert [call.split()[1] for call in calls] == ["two", "one"]
