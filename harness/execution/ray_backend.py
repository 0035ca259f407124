"""Jobs on Ray: one Ray Core task a job, with the resources that its step asks for.

Owns starting or joining a cluster and telling a node that went away from a failed step. A step of
several ranks has a placement group, which sets all their devices aside on one machine before it starts;
fractions of devices are asked for by the task itself. A local cluster is bound to loopback, has no
dashboard, and ends with this process.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from harness.errors import HarnessError
from harness.execution.failures import describe_error, lack_of_memory, preemption
from harness.execution.job import Job, Outcome, note_failure
from harness.execution.queue import Room
from harness.execution.workers import Worker
from harness.plan import Step

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0

_worker: Worker | None = None
"""The worker of this Ray worker process, kept for further steps that need no device."""


def run_in_group(job: Job) -> Outcome:
    """Run a job in a process group of its own, which ends with this Ray worker process.

    A step with a device gets a fresh process: what a library keeps of a device's memory, it keeps until
    its process ends.
    """
    global _worker
    if job.step.resources.gpus > 0:
        worker = Worker()
        try:
            return worker.run(job)
        finally:
            worker.kill()
    if _worker is None:
        _worker = Worker()
    outcome = _worker.run(job)
    if outcome.failure is not None or _worker.is_old:
        _worker.kill()
        _worker = None
    return outcome


class RayBackend:
    """Runs jobs as Ray tasks, as many at a time as the cluster's resources allow.

    Args:
        address: Cluster to join (`auto`, `HOST:PORT` or `ray://...`); a local one is started when
            empty.
        num_cpus: Processor cores of a local cluster; all of the machine's when empty.

    Raises:
        HarnessError: If no cluster answers at `address`.
    """

    def __init__(self, *, address: str = "", num_cpus: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Steps that ask for no device must not see one that belongs to another step.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        if address:
            _check_answers(address)
        else:
            # Despite its name this is what decides, when Ray is imported, whether a local cluster takes
            # the machine's public address and listens on all of them, or loopback and nothing else.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray

        self._ray = ray
        shared: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": "ERROR",
        }
        try:
            if address:
                ray.init(address=address, **shared)
            else:
                ray.init(
                    address="local",
                    num_cpus=num_cpus,
                    include_dashboard=False,
                    object_store_memory=128 * 1024 * 1024,
                    **shared,
                )
        except ConnectionError as error:
            raise _no_cluster(address, str(error)) from error
        if not address and not ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback:
            ray.shutdown()
            raise HarnessError(
                "the local Ray cluster would listen on more than loopback",
                cure="Ray was imported before this run was started; start it in a process of its own",
            )
        self._remote = ray.remote(max_retries=0)(run_in_group)
        self._running: dict[Any, Job] = {}
        self._groups: dict[Any, Any] = {}
        """Task -> placement group, of steps of several ranks."""

    def expect(self, steps: Collection[Step]) -> None:
        """Do nothing: Ray starts its workers ahead."""

    def submit(self, job: Job) -> None:
        """Queue a job on the cluster.

        Raises:
            HarnessError: If no machine of the cluster has what the step asks for: Ray would wait for one
                without end.
        """
        resources = job.step.resources
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        wanted = {"CPU": float(resources.cpus), "GPU": float(resources.gpus)}
        if lack := what_lacks(wanted, nodes):
            raise HarnessError(
                f"{job.step.stage} asks for {lack}",
                cure="lower `resources` in the study, or join larger machines with --address",
            )
        name = f"{job.step.stage}: {job.step.label}"
        group = self._set_aside(wanted, name=name) if resources.ranks > 1 else None
        task = self._remote.options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            name=name,
            scheduling_strategy="DEFAULT" if group is None else _within(group),
        ).remote(job)
        self._running[task] = job
        if group is not None:
            self._groups[task] = group

    def _set_aside(self, wanted: Mapping[str, float], *, name: str) -> Any:
        """Return a placement group of what a step asks for, in one bundle: one task starts its ranks."""
        from ray.util import placement_group

        bundle = {resource: amount for resource, amount in wanted.items() if amount}
        return placement_group([bundle], strategy="STRICT_PACK", name=name)

    def _forget(self, task: Any) -> Job:
        """Take a task off the running ones, and give back what was set aside for it."""
        if (group := self._groups.pop(task, None)) is not None:
            from ray.util import remove_placement_group

            remove_placement_group(group)
        return self._running.pop(task)

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
        """Block until one of the submitted jobs has ended, or the timeout is over."""
        finished, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        if not finished:
            return None
        return self._collect(finished[0])

    def _collect(self, finished: Any) -> tuple[str, Outcome]:
        job = self._forget(finished)
        exceptions = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(finished)
        except exceptions.OutOfMemoryError as error:
            said = " ".join(str(error).split())
            failure = lack_of_memory(f"Ray ended the step's process: {said}", stage=job.step.stage)
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError):
            failure = preemption("the step's node or Ray worker went away")
        except exceptions.RayError as error:
            failure = describe_error(error, stage=job.step.stage)
        else:
            return job.step.fingerprint, outcome
        note_failure(job, failure)
        return job.step.fingerprint, Outcome(step=job.step.fingerprint, state="failed", failure=failure)

    @property
    def room(self) -> Room:
        """What the cluster's nodes have together, less what submitted jobs take of it."""
        total = self._ray.cluster_resources()
        taken = [job.step.resources for job in self._running.values()]
        return Room(
            cpus=total.get("CPU", 0.0) - sum(resources.cpus for resources in taken),
            gpus=total.get("GPU", 0.0) - sum(resources.gpus for resources in taken),
        )

    def cancel(self, names: Collection[str]) -> None:
        """End jobs, with the worker processes in which they run."""
        for task, job in list(self._running.items()):
            if job.step.fingerprint in names:
                self._ray.cancel(task, force=True)
                self._forget(task)

    def close(self) -> None:
        """End what is running, and stop a local cluster or leave a joined one."""
        tasks = list(self._running)
        self.cancel([job.step.fingerprint for job in self._running.values()])
        if tasks:
            # A joined cluster learns of it through this process, which must not be gone before.
            self._ray.wait(tasks, num_returns=len(tasks), timeout=_CLOSE_SECONDS)
        self._ray.shutdown()


def what_lacks(wanted: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """Return what no machine can give a step, for people; empty if one can.

    A step is one Ray task, whose resources Ray sets aside at once and on one machine.

    Args:
        wanted: Resource -> amount.
        nodes: What each machine of the cluster has.
    """
    if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        return ""
    for name, amount in wanted.items():
        most = max((node.get(name, 0) for node in nodes), default=0)
        if amount > most:
            return f"{amount:g} {name}, the largest machine of the cluster has {most:g}"
    together = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    return f"{together}, no machine of the cluster has both"


def _within(group: Any) -> Any:
    """Return how Ray places a task in a placement group's only bundle."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=0)


def _check_answers(address: str) -> None:
    """Find out in seconds what Ray finds out in minutes: that nobody listens at `HOST:PORT`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, reason: str) -> HarnessError:
    return HarnessError(
        f"no Ray cluster answers at {address}: {reason}",
        cure="start one with `ray start --head` (set RAY_AUTH_MODE=token here if it asks for a token), "
        "or leave --address out",
    )
