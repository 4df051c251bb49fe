// What OpenAI's official package for Node gets of two gateways; one JSON object at the end.
import OpenAI from "openai";

const [one, other] = process.argv.slice(2).map((url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 }));
const input = "What colour is a banana?";
const found = {};

found.models = (await one.models.list()).data.map((model) => model.id);

const made = await one.responses.create({ model: "Answer", input, metadata: { topic: "fruit" } });
found.text = made.output_text;
found.metadata = (await other.responses.retrieve(made.id)).metadata;

// Cut after the first text, and resumed at the other gateway.
let id, seen, text = "", names = [];
for await (const event of await one.responses.create({ model: "Answer", input, stream: true })) {
  id ??= event.response?.id;
  seen = event.sequence_number;
  text += event.type === "response.output_text.delta" ? event.delta : "";
  if (text) break;
}
for await (const event of await other.responses.retrieve(id, { stream: true, starting_after: seen })) {
  text += event.type === "response.output_text.delta" ? event.delta : "";
  names.push(event.type);
}
found.resumed = text;
found.last = names.at(-1);

const conversation = await one.conversations.create({ metadata: { topic: "names" } });
await one.responses.create({ input: "My name is Ada.", conversation: conversation.id });
await other.responses.create({ input: "What is my name?", conversation: conversation.id });
found.items = (await one.conversations.items.list(conversation.id, { order: "asc" })).data.map((item) => item.role);

const background = await one.responses.create({ model: "Hang", input, background: true });
await other.responses.cancel(background.id);
let cancelled;
do cancelled = await one.responses.retrieve(background.id);
while (["queued", "in_progress"].includes(cancelled.status));
found.cancelled = cancelled.status;

const messages = [{ role: "user", content: "deploy" }];
const options = { headers: { "X-Conversation-Id": `node-${made.id}` } };
found.asked = (await one.chat.completions.create({ model: "Approve", messages }, options)).choices[0].message.content;
found.chat = "";
const stream = await other.chat.completions.create(
  { model: "Approve", messages: [{ role: "user", content: "no" }], stream: true }, options);
for await (const chunk of stream) found.chat += chunk.choices[0]?.delta?.content ?? "";

try {
  await one.responses.create({ input, temperature: 0.5 });
} catch (error) {
  found.error = [error.constructor.name, error.status, error.code, error.param];
}
console.log(JSON.stringify(found));
