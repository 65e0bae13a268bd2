// The AI SDK with its providers, as published, against a running gateway. Prints what it saw as JSON.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;
const { URL: url, KEY: apiKey, MODEL: model, WORDS: words } = process.env;
const baseURL = `${url}/v1`;
const openai = createOpenAI({ baseURL, apiKey });
const anthropic = createAnthropic({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "promptd", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const thinking = { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } };
const sealed = { openai: { store: false, forceReasoning: true, reasoningEffort: "low", reasoningSummary: "auto" } };
const calls = 'go\n/call weather {"city": "Zürich"}\n/call weather {"city": "Oslo"}';
const tools = {
  weather: tool({
    description: "the weather",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sunny in ${city}`,
  }),
};

async function streamed(options) {
  let failed;
  const answer = streamText({ ...options, onError: ({ error }) => (failed = error) });
  let text = "";
  for await (const piece of answer.textStream) text += piece;
  if (failed) throw failed;
  return { text, tokens: (await answer.totalUsage).outputTokens };
}

async function all(options) {
  options = { ...options, maxRetries: 0, maxOutputTokens: 6000 };
  const agent = { ...options, prompt: calls, tools, stopWhen: stepCountIs(3) };
  const whole = await generateText({ ...options, prompt: words });
  const refused = await generateText({ ...options, prompt: "x\n/fault rate" }).catch((error) => error);
  return {
    whole: whole.text,
    tokens: whole.usage.outputTokens,
    stream: await streamed({ ...options, prompt: words }),
    tools: (await generateText(agent)).text,
    agent: (await streamed(agent)).text,
    refused: refused.statusCode,
  };
}

const seen = {
  chat: await all({ model: openai.chat(model) }),
  responses: await all({ model: openai.responses(model) }),
  sealed: await all({ model: openai.responses(model), providerOptions: sealed }),
  compatible: await all({ model: compatible(model) }),
  anthropic: await all({ model: anthropic(model) }),
  thinking: await all({ model: anthropic(model), providerOptions: thinking }),
};
const schema = z.object({ city: z.string(), degrees: z.number() });
const made = await generateObject({ model: openai.chat(model), prompt: "a city", schema });
const { embedding } = await embed({ model: openai.embedding("gpt"), value: "ab" });
console.log(JSON.stringify({ seen, object: made.object, embedding: embedding.length }));
