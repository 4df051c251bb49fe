"""Under which key the tasks of an owner share the workers with those of others. Pure."""

from workflows.wire.encoding import short_hash
from workflows.wire.limits import FAIRNESS_KEY_DIGEST_CHARS


def fairness_key(owner: str | None) -> str | None:
    """The key that Temporal divides a task queue by; null for sessions without an owner, which share one line.

    A digest, since the server keeps the keys of its queues apart from any session: an owner's name would outlast the
    erasure of all that there is of it.
    """
    return None if owner is None else f"owner-{short_hash(owner, FAIRNESS_KEY_DIGEST_CHARS)}"
