// Calls of the official npm client, against $URL with $KEY and the model $MODEL; prints what each gave as one JSON object.
import Anthropic from "@anthropic-ai/sdk";

const { URL: baseURL, KEY: apiKey, MODEL: model, WORDS: words } = process.env;
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: words }];
const calls = `${words}\n/call weather {"city": "Zürich"}\n/call clock {"city": "日本"}`;
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = ["weather", "clock"].map((name) => ({ name, input_schema: schema }));
const common = { model, max_tokens: 4000 };
const seen = {};

const whole = await client.messages.create({ ...common, messages });
seen.whole = whole.content[0].text;
seen.id = whole.id;
seen.usage = whole.usage;

const stream = client.messages.stream({ ...common, messages });
seen.events = [];
stream.on("streamEvent", (event) => seen.events.push(event.type));
seen.stream = (await stream.finalMessage()).content[0].text;

const asked = [{ role: "user", content: calls }];
const called = await client.messages.stream({ ...common, messages: asked, tools }).finalMessage();
seen.tools = called.content.filter((block) => block.type === "tool_use").map(({ name, input }) => ({ name, input }));
const results = called.content
  .filter((block) => block.type === "tool_use")
  .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: "sunny" }));
const answered = [...asked, { role: "assistant", content: called.content }, { role: "user", content: results }];
seen.answered = (await client.messages.create({ ...common, messages: answered, tools })).content[0].text;

const thinking = { type: "enabled", budget_tokens: 1024 };
seen.thought = (await client.messages.create({ ...common, messages, thinking })).content[0].thinking;
seen.count = (await client.messages.countTokens({ model, messages })).input_tokens;
seen.models = [];
for await (const known of client.models.list()) seen.models.push(known.id);

const failures = {
  key: () => new Anthropic({ baseURL, apiKey: "sk-wrong", maxRetries: 0 }).messages.create({ ...common, messages }),
  model: () => client.messages.create({ ...common, model: "nothing", messages }),
  field: () => client.messages.create({ ...common, messages: [] }),
  rate: () => client.messages.create({ ...common, messages: [{ role: "user", content: "x\n/fault rate" }] }),
};
seen.errors = {};
for (const [name, call] of Object.entries(failures)) {
  try {
    await call();
  } catch (error) {
    seen.errors[name] = { kind: error.constructor.name, status: error.status, type: error.error?.error?.type };
  }
}
console.log(JSON.stringify(seen));
