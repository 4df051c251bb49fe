"""An agent's messages from task to task: which opens a turn, what belongs together, what is kept within bounds."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage, messages_to_dict
from langchain_core.messages.utils import convert_to_messages
from pydantic_ai import messages as pai
from temporalio.exceptions import ApplicationError

from tests.samples import NOW, accepted
from workflows.contract import Compaction, ContextPatch, InjectedContext, TaskInput, Turn
from workflows.kinds.history import before_history, history_of, history_patch, trimmed
from workflows.state.context import SessionContext
from workflows.wire import limits
from workflows.wire.conversation import BEFORE, conversation
from workflows.wire.encoding import canonical, json_bytes, model_bytes

Messages = list[dict[str, Any]]


def flat(blocks: Iterable[Messages]) -> Messages:
    return list(chain.from_iterable(blocks))


def test_turns_are_what_a_user_and_an_assistant_said() -> None:
    said = [("How big?", {"text": "So big."}), ({"text": "Why?"}, {"because": [1]}), (60, None)]
    turns = [Turn(task_id="a", version=1, input=i, output=o, finished_at=NOW) for i, o in said]
    contents = ["How big?", "So big.", "Why?", '{"because":[1]}', "60", "null"]
    roles = ["user", "assistant"] * 3
    assert [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)] == conversation(turns)


class OpenAI:
    """Chat completions, as LangGraph takes them too."""

    joins = False

    def user(self, text: str, ids: Sequence[str] = ()) -> Messages:
        return [*self.results(text, ids), {"role": "user", "content": text}]

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        function = {"name": text, "arguments": "{}"}
        calls = [{"id": name, "type": "function", "function": function} for name in ids]
        return [{"role": "assistant", "content": None, "tool_calls": calls}]

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        return [{"role": "tool", "tool_call_id": name, "content": f"{text} {n}"} for n, name in enumerate(ids)]

    def answer(self, text: str) -> Messages:
        return [{"role": "assistant", "content": text}]

    def system(self, text: str) -> Messages:
        return [{"role": "developer", "content": text}]


class Responses(OpenAI):
    """The items of OpenAI's Responses API, as its Agents SDK keeps them."""

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        calls = [
            {"type": "function_call", "call_id": name, "id": f"fc_{name}", "name": f"{text} {n}", "arguments": "{}"}
            for n, name in enumerate(ids)
        ]
        return [{"type": "reasoning", "id": f"rs {text}", "summary": []}, *calls]

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        return [
            {"type": "function_call_output", "call_id": name, "output": f"{text} {n}"} for n, name in enumerate(ids)
        ]

    def answer(self, text: str) -> Messages:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return [{"type": "message", "role": "assistant", "id": "msg", "content": content}]


class Anthropic(OpenAI):
    """Results of tools are messages of the user, and what the user says next may be in the same one."""

    joins = True

    def user(self, text: str, ids: Sequence[str] = ()) -> Messages:
        return [{"role": "user", "content": [*self._results(text, ids), {"type": "text", "text": text}]}]

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        calls = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ids]
        return [{"role": "assistant", "content": [{"type": "text", "text": text}, *calls]}]

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        return [{"role": "user", "content": self._results(text, ids)}]

    def _results(self, text: str, ids: Sequence[str]) -> Messages:
        return [{"type": "tool_result", "tool_use_id": name, "content": text} for name in ids]


class Google(OpenAI):
    """Contents of Gemini."""

    def user(self, text: str, ids: Sequence[str] = ()) -> Messages:
        return [*(self.results(text, ids) if ids else []), {"role": "user", "parts": [{"text": text}]}]

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        return [
            {"role": "model", "parts": [{"function_call": {"id": name, "name": "f", "args": {"a": text}}}]}
            for name in ids
        ]

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        parts = [{"function_response": {"id": name, "name": "f", "response": {"a": text}}} for name in ids]
        return [{"role": "user", "parts": parts}]

    def answer(self, text: str) -> Messages:
        return [{"role": "model", "parts": [{"text": text}]}]


class LlamaIndex(OpenAI):
    """Chat messages: which call a result belongs to stands aside."""

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        calls = [{"tool_id": name, "tool_name": text, "tool_kwargs": {}} for name in ids]
        return [{"role": "assistant", "blocks": [], "additional_kwargs": {"tool_calls": calls}}]

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        return [
            {
                "role": "tool",
                "blocks": [{"block_type": "text", "text": f"{text} {n}"}],
                "additional_kwargs": {"tool_call_id": name},
            }
            for n, name in enumerate(ids)
        ]


class LangChain(OpenAI):
    """Its own message objects, as one of its ways to write them has them."""

    def __init__(self, dump: Callable[[Sequence[BaseMessage]], Messages]) -> None:
        self._dump = dump

    def user(self, text: str, ids: Sequence[str] = ()) -> Messages:
        return [*self.results(text, ids), *self._dump([HumanMessage(text)])]

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        calls = [{"name": text, "args": {}, "id": name} for name in ids]
        return self._dump([AIMessage("", tool_calls=calls)])

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        return self._dump([ToolMessage(f"{text} {n}", tool_call_id=name) for n, name in enumerate(ids)])

    def answer(self, text: str) -> Messages:
        return self._dump([AIMessage(text)])

    def system(self, text: str) -> Messages:
        return self._dump([SystemMessage(text)])


class PydanticAI(OpenAI):
    """Its own messages; what the user says may stand beside the results of tools in one request."""

    joins = True

    def user(self, text: str, ids: Sequence[str] = ()) -> Messages:
        return self._dump([pai.ModelRequest(parts=[*self._results(text, ids), pai.UserPromptPart(text)])])

    def call(self, text: str, ids: Sequence[str]) -> Messages:
        return self._dump([pai.ModelResponse(parts=[pai.ToolCallPart(text, {}, name) for name in ids])])

    def results(self, text: str, ids: Sequence[str]) -> Messages:
        return self._dump([pai.ModelRequest(parts=self._results(text, ids))])

    def answer(self, text: str) -> Messages:
        return self._dump([pai.ModelResponse(parts=[pai.TextPart(text)])])

    def system(self, text: str) -> Messages:
        return self._dump([pai.ModelRequest(parts=[pai.SystemPromptPart(text)])])

    def _results(self, text: str, ids: Sequence[str]) -> list[Any]:
        return [pai.ToolReturnPart("f", text, name) for name in ids]

    def _dump(self, messages: Any) -> Messages:
        dumped: Messages = pai.ModelMessagesTypeAdapter.dump_python(messages, mode="json")
        return dumped


SHAPES: dict[str, OpenAI] = {
    "openai": OpenAI(),
    "responses": Responses(),
    "anthropic": Anthropic(),
    "google": Google(),
    "llama-index": LlamaIndex(),
    "langchain": LangChain(lambda messages: [message.model_dump(mode="json") for message in messages]),
    "langchain, typed": LangChain(messages_to_dict),
    "langchain, loadable": LangChain(lambda messages: [dumpd(message) for message in messages]),
    "pydantic-ai": PydanticAI(),
}


@dataclass
class Said:
    """One turn: how many tools each step calls, and whether it ends with an answer or with the result of a tool."""

    steps: list[int]
    answered: bool
    weight: int
    left: int
    """Calls that are not answered before the user speaks again."""


SAID = st.builds(
    Said,
    steps=st.lists(st.integers(1, 3), max_size=3),
    answered=st.booleans(),
    weight=st.integers(0, 400),
    left=st.sampled_from([0, 0, 0, 1, 2]),
)


def spoken(shape: OpenAI, turns: Sequence[Said], *, same_ids: bool) -> list[Messages]:
    """The messages of each turn; one that leaves calls behind is one with the next. Each message is like no other."""
    blocks: list[Messages] = []
    open_calls: list[str] = []
    for number, turn in enumerate(turns):
        pad = f"turn {number} " + "x" * turn.weight
        if open_calls and not shape.joins:
            blocks[-1] += shape.results(pad, open_calls)
            open_calls = []
        messages = shape.user(pad, open_calls)
        for step, count in enumerate(turn.steps):
            names = [f"call_{n}" if same_ids else f"{number}.{step}.{n}" for n in range(count)]
            messages += shape.call(f"{pad} {step}", names) + shape.results(f"{pad} {step}", names)
        if open_calls:
            blocks[-1] += messages
        else:
            blocks.append(messages)
        open_calls = [f"open_{n}" if same_ids else f"{number}.open.{n}" for n in range(turn.left)]
        blocks[-1] += shape.call(f"{pad} open", open_calls) if open_calls else []
        blocks[-1] += shape.answer(f"{pad} answer") if turn.answered and not open_calls else []
    return blocks


def is_answered(turn: Messages) -> bool:
    return "answer" in json.dumps(turn[-1])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(
    turns=st.lists(SAID, min_size=1, max_size=12),
    same_ids=st.booleans(),
    most=st.integers(1, 40),
    bytes_=st.integers(50, 9_000),
)
def test_the_newest_turns_are_kept_whole_and_as_many_as_fit(
    shape: OpenAI, turns: list[Said], same_ids: bool, most: int, bytes_: int
) -> None:
    blocks = spoken(shape, turns, same_ids=same_ids)
    kept = trimmed(everything := flat(blocks), max_messages=most, max_bytes=bytes_)

    def fits(messages: Messages, share: int = 1) -> bool:
        return len(messages) <= most // share and json_bytes(messages) <= bytes_ // share

    assert fits(kept) or not kept
    if fits(everything):
        assert everything == kept
        return
    for count in range(len(blocks), 0, -1):
        newest = flat(blocks[-count:])
        if kept == newest:
            assert fits(newest, 2) or count == 1
            assert not fits(flat(blocks[-count - 1 :]), 2)
            return
    newest = blocks[-1]
    assert not fits(newest)
    ends = [newest[0], newest[-1]]
    assert kept == (ends if len(newest) > 1 and is_answered(newest) and fits(ends) else [])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(
    tasks=st.lists(st.lists(SAID, max_size=3), min_size=1, max_size=12),
    same_ids=st.booleans(),
)
def test_tasks_leave_their_messages_within_bounds_and_append_what_fits(
    shape: OpenAI, tasks: list[list[Said]], same_ids: bool
) -> None:
    context, wrote, added_bytes = SessionContext.initial({"other": 1}), 0, 0
    for number, turns in enumerate(tasks):
        task = TaskInput(session_id="s", task_id=str(number), input=None, context=context.inject(accepted()))
        before = history_of(task)
        new = flat(spoken(shape, turns, same_ids=same_ids))
        patch = history_patch(task, new, max_messages=30, max_bytes=6_000)
        assert patch
        kept = trimmed(before + new, max_messages=30, max_bytes=6_000)
        appended = {"messages": new} if new else {}
        assert (patch == ContextPatch(append=appended)) == (kept == before + new)
        context.complete(patch, accepted(), None, NOW)
        assert kept == context.values.get("messages", [])
        wrote, added_bytes = wrote + model_bytes(patch), added_bytes + json_bytes(new)
    assert wrote <= 2 * added_bytes + len(tasks) * 100, "no message is written more than twice"
    assert 1 == context.values["other"]


def test_a_list_at_its_bound_is_replaced_once_for_many_that_are_appended() -> None:
    context, replaced = SessionContext.initial({}), []
    for number in range(300):
        task = TaskInput(session_id="s", task_id="t", input=None, context=context.inject(accepted()))
        text = f"{number} " + "x" * 500
        patch = history_patch(task, OpenAI().user(text) + OpenAI().answer(text))
        assert patch
        replaced += [number] if patch.set else []
        context.complete(patch, accepted(), None, NOW)
        assert json_bytes(context.values["messages"]) <= limits.HISTORY_BYTES
    assert {True} == {25 < later - earlier < 40 for earlier, later in pairwise(replaced)}
    assert context.as_of(context.version - 45)[0]["messages"], "what undoes a trimming fits the log"


SYSTEMS = {name: SHAPES[name] for name in ("openai", "langchain", "langchain, typed", "langchain, loadable")}


@pytest.mark.parametrize("shape", SYSTEMS.values(), ids=SYSTEMS)
def test_a_system_message_in_front_is_kept(shape: OpenAI) -> None:
    blocks = spoken(shape, [Said([1], answered=True, weight=50, left=0)] * 20, same_ids=True)
    head = shape.system("be brief")
    kept = trimmed(head + flat(blocks), max_messages=20, max_bytes=100_000)
    assert head + flat(blocks[-2:]) == kept
    assert kept == trimmed(kept, max_messages=20, max_bytes=100_000)
    long = spoken(shape, [Said([1] * 50, answered=True, weight=50, left=0)], same_ids=True)[0]
    assert [*head, long[0], long[-1]] == trimmed(head + long, max_messages=20, max_bytes=100_000)
    assert head == trimmed(head + long[:-1], max_messages=20, max_bytes=100_000)


def test_a_system_prompt_in_the_first_request_stands_in_the_first_that_is_kept() -> None:
    shape = PydanticAI()
    blocks = spoken(shape, [Said([1], answered=True, weight=50, left=0)] * 20, same_ids=True)
    opening, system = blocks[0][0], shape.system("be brief")[0]["parts"]
    opening["parts"] = system + opening["parts"]
    kept = trimmed(flat(blocks), max_messages=20, max_bytes=100_000)
    newest = flat(blocks[-2:])
    expected = [newest[0] | {"parts": system + newest[0]["parts"]}, *newest[1:]]
    assert expected == kept
    half = 2 * json_bytes(expected)
    assert expected == trimmed(flat(blocks), max_messages=99, max_bytes=half)
    assert expected[5:] == trimmed(flat(blocks), max_messages=99, max_bytes=half - 2)[1:]
    ends = trimmed(blocks[0][:1] + blocks[0][1:3] * 20 + blocks[0][3:], max_messages=20, max_bytes=100_000)
    assert [opening, blocks[0][-1]] == ends
    apart = trimmed(shape.system("be brief") + flat(blocks[1:]), max_messages=20, max_bytes=100_000)
    assert [part["part_kind"] for part in apart[0]["parts"]] == ["system-prompt", "user-prompt"]


def test_what_langchain_and_pydantic_ai_kept_is_read_by_them_again() -> None:
    for name in ("langchain", "pydantic-ai"):
        blocks = spoken(SHAPES[name], [Said([2], answered=True, weight=9, left=0)] * 9, same_ids=False)
        kept = trimmed(flat(blocks), max_messages=30, max_bytes=100_000)
        assert flat(blocks[-3:]) == kept
        if name == "langchain":
            types = [message.type for message in convert_to_messages(kept)]
            assert ["human", "ai", "tool", "tool", "ai"] * 3 == types
        else:
            assert len(kept) == len(pai.ModelMessagesTypeAdapter.validate_python(kept))


def given_to(write: bool = True, **values: Any) -> TaskInput:  # noqa: FBT002 (as in the contract)
    context = InjectedContext(version=1, write=write, values=values, transcript=[])
    return TaskInput(session_id="s", task_id="a", input=None, context=context)


def test_a_task_that_may_not_write_keeps_nothing() -> None:
    assert None is history_patch(given_to(write=False), [{"role": "user", "content": "?"}])


def test_a_summary_comes_before_the_turns_as_something_said_and_answered() -> None:
    turns = [Turn(task_id="a", version=7, input="How big?", output="So big.", finished_at=NOW)]
    roles = [(message["role"], message["content"]) for message in conversation(turns, {"summary": "I am Ada."})]
    assert [("user", f"{BEFORE}I am Ada."), ("user", "How big?"), ("assistant", "So big.")] == [roles[0], *roles[2:]]
    assert "assistant" == roles[1][0]
    for none in (None, {}, {"summary": " "}, {"summary": {"mine": 1}}):
        assert conversation(turns) == conversation(turns, none)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_came_before_the_messages_is_the_summary_and_the_turns_whose_messages_have_left(shape: OpenAI) -> None:
    spoken_in = [shape.user(f"q{number}") + shape.answer(f"a{number}") for number in range(4)]
    turns = [Turn(task_id="a", version=n, input=f"q{n}", output=f"a{n}", finished_at=NOW) for n in range(4)]

    def before(kept: int, **values: Any) -> str | None:
        task = given_to(messages=flat(spoken_in[4 - kept :]), **values)
        task.context.transcript = turns
        return before_history(task)

    assert None is before(4)
    assert f"{BEFORE}I am Ada." == before(4, summary="I am Ada.")
    assert f"{BEFORE}user: q0\nassistant: a0" == before(3)
    assert f"{BEFORE}I am Ada.\n\nuser: q0\nassistant: a0\nuser: q1\nassistant: a1" == before(2, summary="I am Ada.")


def test_what_has_left_the_messages_is_told_in_short() -> None:
    turns = [Turn(task_id="a", version=n, input=f"q{n} " * 9_000, output="a", finished_at=NOW) for n in range(100)]
    task = given_to()
    task.context.transcript = turns
    before = before_history(task)
    assert before
    assert json_bytes(before) <= limits.SUMMARY_BYTES + 100
    assert "user: q99 q99" in before
    assert "q0 " not in before


def test_a_compaction_leaves_the_messages_of_an_agent_as_they_are() -> None:
    """A turn leaves the transcript; messages have bounds of their own, by which no result loses its call."""
    context, said = SessionContext.initial({}), OpenAI()
    for _ in range(5):
        task = TaskInput(session_id="s", task_id="t", input=None, context=context.inject(accepted()))
        new = said.user("q") + said.call("look_up", ["c"]) + said.results("r", ["c"]) + said.answer("a")
        context.complete(history_patch(task, new) or ContextPatch(), accepted(), None, NOW)
    before = context.values["messages"]
    compaction = ContextPatch(set={"summary": "s"}, compact=Compaction(through=4))
    context.compacted(compaction, accepted(), 5, None, NOW)
    assert [5] == [turn.version for turn in context.transcript]
    assert before == context.values["messages"] == trimmed(before, max_messages=400, max_bytes=64_000)


def test_models_are_kept_as_json_and_half_a_character_is_mended() -> None:
    patch = history_patch(given_to(), [HumanMessage("half \ud83d")], key="chat")
    assert patch
    (message,) = patch.append["chat"]
    assert ("human", "half \ufffd") == (message["type"], message["content"])


@pytest.mark.parametrize(
    "new",
    [["text"], [object()], [{"a": {1}}], [{"a": float("nan")}], [None]],
    ids=["text", "object", "set", "nan", "null"],
)
def test_what_is_no_message_ends_the_task_by_name(new: list[Any]) -> None:
    with pytest.raises(ApplicationError, match="messages: ") as failure:
        history_patch(given_to(), new)
    assert ("InvalidOutput", True) == (failure.value.type, failure.value.non_retryable)


@pytest.mark.parametrize("found", ["text", {"role": "user"}, [["text"]], 5])
def test_what_is_no_history_ends_the_task_by_name(found: Any) -> None:
    for read in (history_of, lambda task: history_patch(task, [])):
        with pytest.raises(ApplicationError, match="'messages' is no list of messages") as failure:
            read(given_to(messages=found))
        assert "InvalidContext" == failure.value.type


def test_a_list_that_a_task_does_not_see_is_never_replaced() -> None:
    new = flat(spoken(OpenAI(), [Said([], answered=True, weight=5_000, left=0)] * 9, same_ids=True))
    patch = history_patch(given_to(), new, max_bytes=20_000)
    assert patch
    assert ({}, [], 1) == (patch.set, patch.unset, len(patch.append["messages"]) // 2)


def test_a_message_is_read_and_never_changed() -> None:
    for shape in SHAPES.values():
        messages = flat(spoken(shape, [Said([2], answered=True, weight=5, left=0)] * 9, same_ids=True))
        before = canonical(messages)
        trimmed(messages, max_messages=9, max_bytes=5_000)
        assert before == canonical(messages)


def test_that_a_tool_was_called_in_a_wrong_way_is_told_within_a_turn() -> None:
    """As older versions of pydantic-ai write it, which may put what the user says next beside it."""
    shape = PydanticAI()
    wrong = {"part_kind": "retry-prompt", "content": "no such order", "tool_name": "f", "tool_call_id": "a"}
    beside = {"kind": "request", "parts": [wrong, *shape.user("and B8?")[0]["parts"]]}
    turn = [*shape.user("A7?"), *shape.call("f", ["a"]), beside, *shape.answer("answer")]
    assert turn == trimmed([*shape.user("x"), *shape.answer("y"), *turn], max_messages=5, max_bytes=100_000)
    nameless = {"kind": "request", "parts": [wrong | {"tool_name": None}]}
    turn = [*shape.user("A7?"), *shape.answer("no JSON"), nameless, *shape.answer("answer")]
    assert turn == trimmed([*shape.user("x"), *shape.answer("y"), *turn], max_messages=5, max_bytes=100_000)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_a_user_says_between_a_call_and_its_result_begins_no_turn(shape: OpenAI) -> None:
    earlier = [*shape.user("before"), *shape.call("f", ["a"]), *shape.results("r", ["a"]), *shape.answer("answer")]
    turn = [*shape.user("A7?"), *shape.call("f", ["a"]), *shape.user("hurry"), *shape.results("late", ["a"])]
    newest = [*turn, *shape.answer("answer")]
    assert newest == trimmed([*earlier, *newest], max_messages=7, max_bytes=100_000)


@pytest.mark.parametrize("shape", [Anthropic(), Google(), PydanticAI()], ids=["anthropic", "google", "pydantic-ai"])
def test_a_result_without_an_id_begins_no_turn(shape: OpenAI) -> None:
    """Gemini's calls often have none."""
    turn = [*shape.user("A7?"), *shape.call("f", [""]), *shape.results("r", [""]), *shape.answer("answer")]
    assert turn == trimmed([*turn, *turn], max_messages=7, max_bytes=100_000)
