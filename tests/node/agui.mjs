// What the official HttpAgent of AG-UI gets of two gateways; one JSON object at the end.
//   node agui.mjs ONE OTHER KEY         all but what needs a gateway that dies
//   node agui.mjs --again URL RUN       runs under that id until it is whole; says "told" when text has come
import { HttpAgent } from "@ag-ui/client";

const id = () => crypto.randomUUID();
const say = (agent, content) => agent.addMessage({ id: id(), role: "user", content });
const shown = (agent) => agent.messages.map((m) =>
  [m.role, m.toolCalls ? m.toolCalls.map((call) => [call.function.name, call.function.arguments]) : m.content]);
// The same client at another gateway: a load balancer does that between two requests.
const at = (agent, url) => ((agent.url = agent.url.replace(/^https?:\/\/[^/]+/, url)), agent);

async function everything(one, other, key) {
  const headers = { authorization: `Bearer ${key}` };
  const agentOf = (kind, more = {}) => new HttpAgent({ url: `${one}/agui${kind}`, headers, threadId: id(), ...more });
  const found = {};

  const names = agentOf("");
  say(names, "My name is Ada.");
  const events = [];
  await names.runAgent({}, { onEvent: ({ event }) => void events.push(event.type) });
  found.events = events.filter((type) => type !== "CUSTOM").filter((type, place, all) => type !== all[place - 1]);
  at(names, other);
  say(names, "What is my name?");
  found.second = (await names.runAgent()).result;
  found.roles = names.messages.map((message) => message.role);

  const deltas = [];
  const streamed = agentOf("");
  say(streamed, "What colour is a banana?");
  const run = { runId: id() };
  await streamed.runAgent(run, { onTextMessageContentEvent: ({ event }) => void deltas.push(event.delta) });
  found.streamed = [deltas.length > 1, deltas.join("") === streamed.messages.at(-1).content];
  at(streamed, other);
  await streamed.runAgent(run);
  found.again = shown(streamed);

  const approve = agentOf("/Approve", { initialState: { colour: "red" } });
  say(approve, "deploy");
  await approve.runAgent();
  found.asked = approve.pendingInterrupts.map(({ reason, message }) => [reason, message]);
  try {
    await approve.runAgent();
  } catch (error) {
    found.uncovered = error.constructor.name;
  }
  at(approve, other);
  const answer = (agent, payload) =>
    agent.runAgent({ resume: agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload })) });
  await answer(approve, true);
  found.why = approve.pendingInterrupts.map(({ reason, message }) => [reason, message]);
  at(approve, one);
  found.approved = (await answer(approve, "it is Tuesday")).result;
  found.state = approve.state;
  found.interrupts = approve.pendingInterrupts;

  // A client that has lost all but the thread's id answers with words.
  const lost = agentOf("/Approve");
  say(lost, "rain");
  await lost.runAgent();
  const opened = new HttpAgent({ url: `${other}/agui/Approve`, headers, threadId: lost.threadId });
  await opened.runAgent();
  found.opened = [shown(opened), opened.pendingInterrupts.map(({ message }) => message)];
  const fresh = new HttpAgent({ url: `${other}/agui/Approve`, headers, threadId: lost.threadId });
  say(fresh, "no");
  found.words = (await fresh.runAgent()).result;

  const tools = agentOf("/Tools");
  say(tools, "pay");
  await tools.runAgent();
  const [asked] = tools.pendingInterrupts;
  found.tool = [asked.reason, asked.metadata, tools.messages.some((m) => m.toolCalls?.[0].id === asked.toolCallId)];
  at(tools, other);
  let pending;
  await tools.runAgent(
    { resume: [{ interruptId: asked.id, status: "resolved", payload: { approved: true, editedArgs: { amount: 2 } } }] },
    { onRunFinishedEvent: ({ pendingToolCallIds }) => void (pending = pendingToolCallIds) },
  );
  found.tools = [shown(tools), pending];

  const console_error = console.error;
  console.error = () => {};
  const refused = agentOf("");
  say(refused, "x");
  try {
    await refused.runAgent({ tools: [{ name: "confirm", description: "", parameters: {} }] });
  } catch (error) {
    found.error = [error.status, error.payload.error.code, error.payload.error.param];
  }
  console.error = console_error;
  const failing = agentOf("/Raise");
  say(failing, "named");
  await failing.runAgent({}, { onRunErrorEvent: ({ event }) => void (found.failed = [event.code, event.message]) });
  return found;
}

async function again(url, runId) {
  const agent = new HttpAgent({ url: `${url}/agui/Tell`, threadId: "killed" });
  say(agent, "What colour is a banana?");
  console.error = () => {};
  process.on("unhandledRejection", () => {}); // of the reader that HttpAgent cancels after its connection is gone
  for (let tries = 1; ; tries++) {
    try {
      await agent.runAgent({ runId }, { onTextMessageContentEvent: () => void console.log("told") });
      return { shown: shown(agent), repeated: tries > 1 };
    } catch {
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

const [first, ...rest] = process.argv.slice(2);
console.log(JSON.stringify(await (first === "--again" ? again(...rest) : everything(first, ...rest))));
