"""A kind's context and patch as pydantic models, and the kind of `docs/kinds.md` that has them."""

import importlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.models.offline import OfflineModel
from starter.client import Session
from tests.harness import Harness, run_task
from worker import KINDS, build_worker
from workflows.contract import ContextPatch, InjectedContext, TaskInput
from workflows.kinds.typed import context_of, patch_of

ROOT = Path(__file__).resolve().parents[1]


class Preferences(BaseModel):
    guest: str = "nobody"
    visits: int = 0
    dishes: list[str] = []
    allergy: str | None = None
    table: str | None = Field(default=None, alias="table-number")


class Learned(BaseModel):
    guest: str
    topic: str


def given(write: bool = True, **values: Any) -> TaskInput:  # noqa: FBT002 (as in the contract)
    context = InjectedContext(version=1, write=write, values=values, transcript=[])
    return TaskInput(session_id="s", task_id="a", input=None, context=context)


def test_what_the_model_names_is_read_and_the_rest_left_alone() -> None:
    assert context_of(given(guest="Ada", other=[1]), Preferences) == Preferences(guest="Ada")


def test_a_mismatch_names_each_key_and_shows_no_value() -> None:
    with pytest.raises(ApplicationError) as failure:
        context_of(given(guest="Ada", visits="often", dishes=["soup", 5]), Preferences)
    assert ("InvalidContext", True) == (failure.value.type, failure.value.non_retryable)
    says = "visits: Input should be a valid integer"
    assert failure.value.message.startswith(f"the context does not fit Preferences: {says}")
    assert "; dishes.1: Input should be a valid string" in failure.value.message
    assert "often" not in failure.value.message


PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing": ({"guest": "Ada"}, {}, {}),
    "a default is no change": ({}, {"visits": 0}, {}),
    "a value": ({"visits": 1}, {"visits": 2}, {"set": {"visits": 2}}),
    "a list that grew": ({"dishes": ["soup"]}, {"dishes": ["soup", "tea"]}, {"append": {"dishes": ["tea"]}}),
    "a new list": ({}, {"dishes": ["tea"]}, {"append": {"dishes": ["tea"]}}),
    "a list that changed": ({"dishes": ["soup"]}, {"dishes": ["tea", "soup"]}, {"set": {"dishes": ["tea", "soup"]}}),
    "a null removes": ({"allergy": "nuts"}, {"allergy": None}, {"unset": ["allergy"]}),
    "by the name in the context": ({}, {"table": "7"}, {"set": {"table-number": "7"}}),
}
"""What was given, what the kind changed of it, the patch."""


@pytest.mark.parametrize(("values", "changes", "patch"), PATCHES.values(), ids=PATCHES)
def test_the_patch_holds_what_changed(values: dict[str, Any], changes: dict[str, Any], patch: dict[str, Any]) -> None:
    task = given(**values)
    after = context_of(task, Preferences)
    for name, value in changes.items():
        setattr(after, name, value)
    assert ContextPatch(**patch) == patch_of(task, after)


def test_a_change_in_place_counts_and_leaves_what_was_given_as_it_was() -> None:
    task = given(dishes=["soup"])
    after = context_of(task, Preferences)
    after.dishes.append("tea")
    assert ContextPatch(append={"dishes": ["tea"]}) == patch_of(task, after)
    assert {"dishes": ["soup"]} == task.context.values


@pytest.mark.parametrize(
    ("values", "changed"),
    [({}, ["guest", "topic"]), ({"guest": 5}, ["guest", "topic"]), ({"guest": "Ada", "visits": 1}, ["topic"])],
)
def test_a_patch_may_have_a_model_that_what_was_given_does_not_fit(values: dict[str, Any], changed: list[str]) -> None:
    patch = patch_of(given(**values), Learned(guest="Ada", topic="space"))
    assert ContextPatch(set={key: {"guest": "Ada", "topic": "space"}[key] for key in changed}) == patch


def test_what_was_made_to_not_fit_is_an_invalid_output_that_names_the_key() -> None:
    task = given()
    after = context_of(task, Preferences)
    after.dishes.append(5)  # type: ignore[arg-type]
    with pytest.raises(ApplicationError, match=r"dishes\.0: Input should be a valid string") as failure:
        patch_of(task, after)
    assert "InvalidOutput" == failure.value.type


def test_a_task_that_may_not_write_has_no_patch() -> None:
    assert None is patch_of(given(write=False), Preferences(guest="Ada"))


@pytest.fixture
async def session(temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    """A session, and a worker with the kind of the page, word for word, as a module of its own."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/kinds.md").read_text(), flags=re.DOTALL)
    (tmp_path / "page_like.py").write_text(next(block for block in blocks if "LikeWorkflow" in block))
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("page_like").LikeWorkflow
    harness = Harness(temporal)
    async with build_worker(temporal, OfflineModel(), queue=harness.queue, kinds=[*KINDS, kind]):
        yield await harness.open(context={"guest": "Ada", "other": 1})
    del sys.modules["page_like"]


async def test_the_kind_of_the_page_keeps_what_it_is_told(session: Session) -> None:
    outputs = [(await run_task(session, dish, kind="Like")).output for dish in ("soup", "tea")]
    assert ["Ada: ['soup']", "Ada: ['soup', 'tea']"] == outputs
    view = await session.context()
    assert ({"guest": "Ada", "other": 1, "dishes": ["soup", "tea"]}, 2) == (view.values, view.version)
    assert [["dishes"], ["dishes"]] == [entry.changed for entry in view.log]


async def test_a_context_that_does_not_fit_fails_the_task_and_names_the_key(session: Session) -> None:
    await session.patch_context({"set": {"dishes": "soup"}, "unset": ["guest"]})
    record = await run_task(session, "tea", kind="Like")
    assert record.error
    assert ("failed", "InvalidContext") == (record.status, record.error.type)
    says = "the context does not fit Preferences: guest: Field required; dishes: Input should be a valid list"
    assert says == record.error.message
    await session.rollback(0)
    record = await run_task(session, 5, kind="Like")
    assert record.error
    assert ("failed", "InvalidOutput") == (record.status, record.error.type)
    assert record.error.message.endswith("dishes.0: Input should be a valid string")
    assert 2 == (await session.context()).version
