// The protocol's official TypeScript client: lists, renders, calls, cancels; one JSON object per step on standard output.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, key] = process.argv.slice(2);
const options = { requestInit: { headers: { Authorization: `Bearer ${key}` } } };
const client = new Client({ name: "contract", version: "0" });
const say = (step, value) => console.log(JSON.stringify({ step, value }));
await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), options));
say("capabilities", client.getServerCapabilities());
say("tools", (await client.listTools()).tools.map((tool) => tool.name));
say("call", (await client.callTool({ name: "extract-terms", arguments: { text: "lark" } })).structuredContent);
say("wrong", (await client.callTool({ name: "extract-terms", arguments: {} })).isError);
say("prompts", (await client.listPrompts()).prompts.map((prompt) => prompt.name));
const got = await client.getPrompt({ name: "plain", arguments: { topic: "larks" } });
say("prompt", got.messages.map((message) => message.content.text));
const giving = new AbortController();
const heard = [];
try {
  await client.callTool({ name: "long", arguments: {} }, undefined, {
    signal: giving.signal,
    onprogress: (progress) => {
      heard.push(progress.message);
      giving.abort("enough");
    },
  });
} catch (error) {
  say("cancelled", heard);
}
await client.callTool({ name: "plain", arguments: {} }).catch((error) => say("unknown", error.code));
await client.close();
