"""A local Ray cluster is for this machine alone, and says at once what it cannot do."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.execution.ray_backend import RayBackend, what_lacks

# In a process of its own: Ray decides on its addresses when it is imported.
LOCAL_CLUSTER = """
import json, psutil
from harness.errors import HarnessError
from harness.execution.job import Job
from harness.execution.ray_backend import RayBackend
from harness.plan.graph import make_step
from harness.study.document import Resources
backend = RayBackend(num_cpus=1)
listening = [
    (process.name(), connection.laddr.ip)
    for process in psutil.Process().children(recursive=True)
    for connection in process.net_connections(kind="tcp")
    if connection.status == psutil.CONN_LISTEN
]
step = make_step("download", {"name": "x"}, label="x", resources=Resources(gpus=64))
try:
    backend.submit(Job(step=step, study="s", home="unused", inputs={}))
    refused = ""
except HarnessError as error:
    refused = str(error)
backend.close()
print(json.dumps({"listening": listening, "refused": refused}))
"""


def test_a_local_cluster_listens_on_loopback_and_refuses_what_it_can_never_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOCAL_CLUSTER], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert any(name.startswith("gcs_server") for name, _ in said["listening"])
    for name, address in said["listening"]:
        plain = ipaddress.ip_address(address.removeprefix("::ffff:"))
        assert plain.is_loopback, f"{name} listens on {address}"
    assert "download asks for 64 GPU, the largest machine of the cluster has 0" in said["refused"]


# The step fails, which is as good an end as any.
TWO_RANKS = """
import json, sys
from harness.execution.job import Job
from harness.execution.ray_backend import RayBackend
from harness.plan.graph import make_step
from harness.study.document import Resources
backend = RayBackend(num_cpus=2)
from ray.util import placement_group_table
seen = []
for ranks in (1, 2):
    step = make_step("download", {"ranks": ranks}, label="x", resources=Resources(cpus=2, ranks=ranks))
    backend.submit(Job(step=step, study="s", home=sys.argv[1], inputs={}))
    groups = list(placement_group_table().values())
    seen.append([(group["strategy"], list(group["bundles"].values())) for group in groups])
    backend.wait()
left = [group["state"] for group in placement_group_table().values()]
step = make_step("download", {"ranks": 3}, label="x", resources=Resources(cpus=1, ranks=2))
backend.submit(Job(step=step, study="s", home=sys.argv[1], inputs={}))
backend.cancel([step.fingerprint])
after = [group["state"] for group in placement_group_table().values()]
backend.close()
print(json.dumps({"seen": seen, "left": left, "after": after}))
"""


def test_what_several_ranks_need_is_set_aside_on_one_machine_and_given_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_RANKS, str(tmp_path)], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["seen"] == [[], [["STRICT_PACK", [{"CPU": 2.0}]]]]
    assert said["left"] == ["REMOVED"]
    assert said["after"] == ["REMOVED", "REMOVED"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_told_before_ray_waits_for_it(address: str) -> None:
    with pytest.raises(HarnessError, match="no Ray cluster answers at"):
        RayBackend(address=address)


@pytest.mark.parametrize(
    ("cpus", "gpus", "said"),
    [
        (8, 1, ""),
        (64, 0, ""),
        (4, 4, "4 GPU, the largest machine of the cluster has 1"),
        (65, 0, "65 CPU, the largest machine of the cluster has 64"),
        (9, 1, "9 CPU and 1 GPU, no machine of the cluster has both"),
    ],
)
def test_a_step_must_fit_on_one_machine_however_many_there_are(cpus: int, gpus: int, said: str) -> None:
    nodes = [{"CPU": 8.0, "GPU": 1.0} for _ in range(8)] + [{"CPU": 64.0}]
    assert what_lacks({"CPU": cpus, "GPU": gpus}, nodes) == said


def test_nothing_fits_where_no_machine_is() -> None:
    assert what_lacks({"CPU": 1, "GPU": 0}, []) == "1 CPU, the largest machine of the cluster has 0"
