"""Bursts of messages in shares: what one workflow task does not act upon waits for the next."""

from collections import deque
from collections.abc import Iterator, Sequence

from temporalio.common import RawValue

from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.messages import decoded, remains

Message = tuple[str, Sequence[RawValue]]


class Backlog:
    """The messages that wait, in the order they came. A share is bounded by number and by bytes.

    `kept`: how many ever had to wait.
    """

    def __init__(self) -> None:
        self.kept = 0
        self._messages: deque[Message] = deque()
        self._taken = 0

    def __len__(self) -> int:
        return len(self._messages)

    def new_share(self) -> None:
        """A workflow task has acted on its messages; the next one may take as many."""
        self._taken = 0

    def keeps(self, message: Message) -> bool:
        """Whether the message has to wait, here, because others wait or this workflow task has had its share."""
        if self._messages or self._taken >= limits.MESSAGES_AT_ONCE:
            self._messages.append(message)
            self.kept += 1
            return True
        self._taken += _weight(message)
        return False

    def share(self) -> Iterator[Message]:
        """What one workflow task may take, at least one message."""
        taken = 0
        while self._messages and taken < limits.MESSAGES_AT_ONCE:
            taken += _weight(self._messages[0])
            yield self._messages.popleft()

    def has_task(self, task_id: str) -> bool:
        """Whether a submission under that id waits here."""
        return any(name == "submit" and _task_id(args) == task_id for name, args in self._messages)


def _task_id(args: Sequence[RawValue]) -> object:
    try:
        body = decoded(args)
    except SessionError:
        body = remains(args)
    return body.get("task_id") if isinstance(body, dict) else None


def _weight(message: Message) -> int:
    """One, and one more for each unit of bytes: reading a large message takes the time of many small ones."""
    return 1 + sum(len(arg.payload.data) for arg in message[1]) // limits.MESSAGE_UNIT_BYTES
