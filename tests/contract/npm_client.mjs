// Drives a server through the published npm client. What it saw goes to standard output as JSON: one entry per call, with
// the members of the answer that the client did not know and dropped.
import { File } from "node:buffer";

import * as client from "@1backend/client";

const { URL: basePath, SLUG: slug, PASSWORD: password, APP_HOST: appHost, RUN: run, MODEL: model } = process.env;

let raw;
const seen = [];

async function fetchApi(url, init) {
  const response = await fetch(url, init);
  const type = response.headers.get("content-type") ?? "";
  raw = type.includes("json") ? await response.clone().json() : undefined;
  return response;
}

const plain = (name) => name.toLowerCase().replaceAll("_", "");

function dropped(sent, got, path) {
  if (sent === null || typeof sent !== "object") return [];
  if (Array.isArray(sent)) return sent.flatMap((item, index) => dropped(item, got?.[index], `${path}[${index}]`));
  const known = new Map(Object.entries(got ?? {}).map(([name, value]) => [plain(name), value]));
  return Object.entries(sent).flatMap(([name, value]) =>
    known.get(plain(name)) === undefined && value !== null
      ? [`${path}.${name}`]
      : dropped(value, known.get(plain(name)), `${path}.${name}`),
  );
}

async function call(name, work) {
  raw = undefined;
  const value = await work();
  seen.push({ call: name, value, dropped: dropped(raw, value, name) });
  return value;
}

const open = new client.Configuration({ basePath, fetchApi });
const { token } = await call("login", () =>
  new client.UserSvcApi(open).login({ body: { appHost, slug, password, device: "npm" } }),
);

const config = new client.Configuration({ basePath, fetchApi, apiKey: `Bearer ${token.token}` });
const users = new client.UserSvcApi(config);
const prompts = new client.PromptSvcApi(config);
const chat = new client.ChatSvcApi(config);
const models = new client.ModelSvcApi(config);
const files = new client.FileSvcApi(config);

await call("readSelf", () => users.readSelf());
await call("hasPermission", () => users.hasPermission({ permission: "prompt-svc:prompt:create" }));
await call("getPublicKey", () => users.getPublicKey());
// the client sends no token with this call by itself
const authorized = async ({ init }) => ({ headers: { ...init.headers, Authorization: `Bearer ${token.token}` } });
await call("refreshToken", () => users.refreshToken(authorized));

const { thread } = await call("saveThread", () => chat.saveThread({ body: { id: `${run}-thread`, title: "From npm" } }));
await call("prompt sync", () =>
  prompts.prompt({ body: { id: `${run}-sync`, prompt: "Good morning", sync: true, threadId: thread.id, maxRetries: 3 } }),
);
await call("prompt async", () => prompts.prompt({ body: { id: `${run}-async`, prompt: "Good night", threadId: thread.id } }));
await call("prompt with a template", () =>
  prompts.prompt({ body: { prompt: "x", sync: true, parameters: { textToText: { template: "{prompt}" } } } }),
);
await call("listPrompts()", () => prompts.listPrompts());
await call("listPrompts", () =>
  prompts.listPrompts({
    body: {
      query: {
        filters: [{ fields: ["threadId"], op: "equals", valuesJson: JSON.stringify([thread.id]) }, { fields: ["status"], op: "isInList", valuesJson: JSON.stringify(["completed", "running", "scheduled"]) }],
        orderBys: [{ field: "createdAt", desc: false }],
        count: true,
      },
    },
  }),
);
await call("removePrompt", () => prompts.removePrompt({ body: { promptId: `${run}-sync` } }));
await call("promptTypes", () => prompts.promptTypes({ body: {} }));

await call("saveMessage", () =>
  chat.saveMessage({ threadId: thread.id, body: { id: `${run}-message`, text: "By hand", meta: { colour: "red" } } }),
);
await call("listMessages", () => chat.listMessages({ body: { threadId: thread.id } }));
await call("listThreads", () => chat.listThreads({ body: { ids: [thread.id] } }));
await call("deleteMessage", () => chat.deleteMessage({ messageId: `${run}-message` }));
await call("deleteThread", () => chat.deleteThread({ threadId: thread.id }));

await call("listModels", () => models.listModels());
await call("listPlatforms", () => models.listPlatforms());
await call("getModel", () => models.getModel({ modelId: model }));
await call("getModel with slashes", () =>
  models.getModel({ modelId: "huggingface/TheBloke/mistral-7b-instruct-v0.2.Q3_K_S.gguf" }),
);
await call("getModelStatus", () => models.getModelStatus({ modelId: model }));
await call("getDefaultModelStatus", () => models.getDefaultModelStatus());
await call("startDefaultModel", () => models.startDefaultModel());
await call("startModel", () => models.startModel({ modelId: model }));
await call("makeDefault", () => models.makeDefault({ modelId: model }));

const { upload } = await call("uploadFile", () => files.uploadFile({ file: new File(["a few words"], "words.txt") }));
await call("listUploads", () => files.listUploads());
const served = await files.serveUpload({ fileId: upload.fileId });
seen.push({ call: "serveUpload", value: await served.text(), dropped: [] });
await call("listDownloads", () => files.listDownloads());
await call("getDownload", () => files.getDownload({ url: "http://none.example/a b?c=d" }));
await call("deleteUpload", () => files.deleteUpload({ fileId: upload.fileId }));

try {
  await new client.PromptSvcApi(open).prompt({ body: { prompt: "nobody asks" } });
} catch (error) {
  seen.push({ call: "without a token", value: error.response?.status, dropped: [] });
}
console.log(JSON.stringify(seen));
