// The published browser client under node. What each call gave is printed as one JSON object.
import { createTrustGraphSocket } from "@trustgraph/client";

const write = process.stdout.write.bind(process.stdout);
console.log = () => {}; // the client talks a lot
const { SOCKET, TOKEN } = process.env;
const socket = createTrustGraphSocket("ada", TOKEN, SOCKET);
const script = (...steps) => JSON.stringify(steps);
const flow = socket.flow("default");
const config = socket.config();
const gave = {};

async function tell(name, call) {
  try {
    gave[name] = await call();
  } catch (error) {
    gave[name] = { raised: String(error.message ?? error) };
  }
}

const streamed = (start) =>
  new Promise((resolve) => {
    const pieces = [];
    start(
      (piece, complete, usage) => {
        pieces.push(piece);
        if (complete) resolve({ pieces, usage });
      },
      (error) => resolve({ error }),
    );
  });

await tell("put", async () => {
  const value = JSON.stringify({ id: "browser", prompt: "{{ script }}" });
  await config.putConfig([
    { type: "prompt", key: "template.browser", value },
    { type: "prompt", key: "template.passing", value },
  ]);
});
await tell("index", () => config.getPrompts());
await tell("template", () => config.getPrompt("browser"));
await tell("system", () => config.getSystemPrompt());
await tell("deleted", async () => {
  await config.deleteConfig({ type: "prompt", key: "template.passing" });
  return config.getPrompts();
});
await tell("completion", () => flow.textCompletion("be brief", "hello there"));
await tell("failing", () => flow.textCompletion("", script({ fail: "invalid_input", message: "no luck" })));
await tell("streamed", () =>
  streamed((receive, fail) =>
    flow.textCompletionStreaming("", script({ say: "one two three", pieces: 3 }), receive, fail),
  ),
);
await tell("prompt", () =>
  streamed((receive, fail) =>
    flow.promptStreaming(
      "browser",
      { script: JSON.stringify(script({ say: "one two three", pieces: 3 })) },
      receive,
      fail,
    ),
  ),
);
await tell("unknown", () => streamed((receive, fail) => flow.promptStreaming("nobody", {}, receive, fail)));
await tell("flows", () => socket.flows().getFlows());
await tell("flow", () => socket.flows().getFlow("default"));
socket.close();
write(JSON.stringify(gave), () => process.exit(0));
