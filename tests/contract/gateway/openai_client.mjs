// Calls of the official npm client, against $URL with $KEY and the model $MODEL; prints what each gave as one JSON object.
import OpenAI, { toFile } from "openai";

const { URL: url, KEY: apiKey, MODEL: model, WORDS: words } = process.env;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: words }];
const calls = `${words}\n/call weather {"city": "Zürich"}\n/call clock {"city": "日本"}`;
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const names = ["weather", "clock"];
const tools = names.map((name) => ({ type: "function", function: { name, parameters: schema } }));
const seen = {};

seen.whole = (await client.chat.completions.create({ model, messages })).choices[0].message.content;

const chunks = [];
const options = { stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create({ model, messages, ...options })) chunks.push(chunk);
seen.stream = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
seen.usage = chunks.at(-1).usage;

const runner = client.chat.completions.stream({ model, messages: [{ role: "user", content: calls }], tools });
seen.tools = (await runner.finalChatCompletion()).choices[0].message.tool_calls.map((call) => call.function);

const form = { type: "json_schema", json_schema: { name: "place", schema, strict: true } };
const parsed = await client.chat.completions.parse({ model, messages, response_format: form });
seen.structured = parsed.choices[0].message.content;

const response = await client.responses.create({ model, input: words });
seen.response = response.output_text;
seen.retrieved = (await client.responses.retrieve(response.id)).output_text;
const follow = client.responses.stream({ model, input: words });
seen.events = [];
for await (const event of follow) seen.events.push(event.type);
seen.followed = (await follow.finalResponse()).output_text;

const receipt = await client.responses.create({ model, input: words, background: true });
seen.receipt = receipt.status;
const numbers = [];
for await (const event of await client.responses.retrieve(receipt.id, { stream: true })) numbers.push(event.sequence_number);
const later = [];
const resumed = await client.responses.retrieve(receipt.id, { stream: true, starting_after: numbers[2] });
for await (const event of resumed) later.push(event.sequence_number);
seen.background = { numbers, later, text: (await client.responses.retrieve(receipt.id)).output_text };

seen.embedding = (await client.embeddings.create({ model: "gpt", input: ["a", "bc"] })).data[1].embedding;
seen.models = [];
for await (const known of client.models.list()) seen.models.push(known.id);
seen.moderation = (await client.moderations.create({ input: "a kind word" })).results[0].flagged;

const line = { custom_id: "one", method: "POST", url: "/v1/chat/completions", body: { model, messages } };
const file = await client.files.create({ file: await toFile(Buffer.from(JSON.stringify(line)), "in.jsonl"), purpose: "batch" });
let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) batch = await client.batches.retrieve(batch.id);
const output = await (await client.files.content(batch.output_file_id)).text();
seen.batch = JSON.parse(output.trim()).response.body.choices[0].message.content;

const failures = {
  key: () => new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-wrong", maxRetries: 0 }).models.list(),
  model: () => client.chat.completions.create({ model: "nothing", messages }),
  field: () => client.chat.completions.create({ model, messages, temperature: "warm" }),
  rate: () => client.chat.completions.create({ model, messages: [{ role: "user", content: "x\n/fault rate" }] }),
};
seen.errors = {};
for (const [name, call] of Object.entries(failures)) {
  try {
    await call();
  } catch (error) {
    seen.errors[name] = { kind: error.constructor.name, status: error.status, code: error.code };
  }
}
console.log(JSON.stringify(seen));
