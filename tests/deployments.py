"""Worker versions as an operator handles them."""

import asyncio

from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import WorkerDeploymentConfig

from tests.harness import WAIT

NAME = "sessions"


def version(build_id: str, behavior: VersioningBehavior = VersioningBehavior.PINNED) -> WorkerDeploymentConfig:
    """What makes a worker that version."""
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(NAME, build_id),
        use_worker_versioning=True,
        default_versioning_behavior=behavior,
    )


async def make_current(temporal: Client, build_id: str) -> None:
    """Let new runs start on that version, as soon as a worker of it polls."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=temporal.namespace, deployment_name=NAME, build_id=build_id
    )
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await temporal.workflow_service.set_worker_deployment_current_version(request)
            except RPCError:
                await asyncio.sleep(0.1)
            else:
                return
