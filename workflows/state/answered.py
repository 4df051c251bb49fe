"""The answers given to updates, by `request_id`: a repeated update takes effect once. Pure state."""

from collections.abc import Callable

from pydantic import BaseModel, Field

from workflows.wire import limits
from workflows.wire.encoding import short_hash

_CHARACTERS = 8  # 48 bits, as for task ids


class AnsweredRequests(BaseModel):
    """The context version that each of the newest requests was answered with, oldest first."""

    versions: dict[str, int] = Field(default_factory=dict)

    def __contains__(self, request_id: str | None) -> bool:
        return request_id is not None and short_hash(request_id, _CHARACTERS) in self.versions

    def once(self, request_id: str | None, work: Callable[[], int]) -> int:
        """Do `work`, or give the answer that the same request got before. Without an id there is nothing to know."""
        if request_id is None:
            return work()
        key = short_hash(request_id, _CHARACTERS)
        if key not in self.versions:
            self.versions[key] = work()
            if len(self.versions) > limits.REQUEST_IDS:
                del self.versions[next(iter(self.versions))]
        return self.versions[key]
