"""How far a task is, as the contract has it: the details of its activity's heartbeats."""

from typing import Annotated

from pydantic import AfterValidator, Field

from workflows.wire.encoding import preview
from workflows.wire.fields import Carried, Text
from workflows.wire.limits import PREVIEW_BYTES

_Amount = Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class Progress(Carried):
    """`done` of `total` units, whichever the kind counts in; `total` null where nobody knows. `note`: one line."""

    done: _Amount
    total: _Amount | None = None
    note: Annotated[Text, AfterValidator(lambda text: preview(text, PREVIEW_BYTES))] | None = None
