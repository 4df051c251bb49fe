"""Ids that carry what they stand for: any gateway can read them, and no gateway remembers any. Pure.

After the prefix comes `session/task`, `session/task/question` or `session/task/hash` of a file, in URL-safe base64.
"""

import binascii
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass

RESPONSE, MESSAGE, APPROVAL, COMPLETION, CONVERSATION = "resp_", "msg_", "mcpr_", "chatcmpl-", "conv_"
FILE = "file-"
"""How OpenAI's ids of these begin."""

ID_CHARS = 1_024
"""No id of ours is longer: twice 128 letters and a question's 255 make 700."""


@dataclass(frozen=True)
class Ref:
    """A task of a session; with `part`, the question that was asked, or the one that was answered before."""

    session_id: str
    task_id: str
    part: str | None = None

    def id(self, prefix: str) -> str:
        """The id of what that prefix is of."""
        parts = [self.session_id, self.task_id, *([] if self.part is None else [self.part])]
        return prefix + urlsafe_b64encode("/".join(parts).encode()).decode().rstrip("=")


def ref_in(text: str, prefix: str) -> Ref | None:
    """What an id stands for; null for what is none of ours."""
    encoded = text.removeprefix(prefix)
    if encoded == text or len(text) > ID_CHARS:
        return None
    try:
        parts = b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode().split("/", 2)
    except (binascii.Error, ValueError):
        return None
    if len(parts) < 2:  # noqa: PLR2004 (session and task)
        return None
    ref = Ref(*parts)
    return ref if ref.id(prefix) == text else None  # one id for each thing
