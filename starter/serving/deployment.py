"""Which version of the code a worker is: what Temporal's worker versioning needs to know of it."""

import os

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig


def deployment() -> WorkerDeploymentConfig | None:
    """What `TEMPORAL_DEPLOYMENT_NAME` and `TEMPORAL_WORKER_BUILD_ID` say: what Temporal's Worker Controller sets.

    Null without them: a worker that takes whatever comes. With them a run stays with the version that it began on
    (pinned), so that no change of the code reaches it half-way. Sessions move on when they continue as new, which they
    do as soon as another version is current; tasks are runs of their own. Raises ValueError where only one is set.
    """
    name, build_id = os.environ.get("TEMPORAL_DEPLOYMENT_NAME"), os.environ.get("TEMPORAL_WORKER_BUILD_ID")
    if not name and not build_id:
        return None
    if not (name and build_id):
        raise ValueError("TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID belong together")
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(name, build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
