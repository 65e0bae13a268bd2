// Renders openapi.json. Everything is built from text nodes, so that no document can bring markup along.

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

// `words` in backticks become code.
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

const nameOf = (reference) => reference.split("/").at(-1);
const anchorOf = (operation) => `op-${operation.operationId}`;

// A type in a line: `string`, `NewTurn[]`, `integer (-100 … 100) or null`.
function typeOf(schema) {
  if (schema.$ref) return [make("a", { href: `#schema-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.flatMap((option, index) => (index ? [" or ", ...typeOf(option)] : typeOf(option)));
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === "array") return [...typeOf(schema.items ?? {}), "[]"];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return ["map of ", ...typeOf(schema.additionalProperties)];
  }
  const bounds = [schema.minimum ?? schema.minLength, schema.maximum ?? schema.maxLength];
  const limits = bounds.some((bound) => bound !== undefined) ? ` (${bounds[0] ?? ""} … ${bounds[1] ?? ""})` : "";
  return [`${schema.format ?? schema.type ?? "any JSON"}${limits}`];
}

function fieldTable(rows) {
  const body = make("tbody");
  for (const { name, schema, required, place, text } of rows) {
    const notes = [];
    if (place) notes.push(place);
    if (required) notes.push("required");
    if (schema.default !== undefined && schema.default !== null) notes.push(`default ${JSON.stringify(schema.default)}`);
    body.append(
      make(
        "tr",
        {},
        make("td", {}, make("code", {}, name)),
        make("td", { class: "type" }, ...typeOf(schema)),
        make("td", {}, ...prose([text ?? schema.description ?? "", notes.join(", ")].filter(Boolean).join(" — "))),
      ),
    );
  }
  return make("div", { class: "scroll" }, make("table", {}, body));
}

function schemaFields(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, field]) => ({
    name,
    schema: field,
    required: required.has(name),
  }));
}

function curl(method, path, body, upload) {
  const lines = [`curl ${location.origin}${path}`, `  -H "Authorization: Bearer $PROMPTD_KEY"`];
  if (method !== "GET") lines[0] = `curl -X ${method} ${location.origin}${path}`;
  if (body) lines.push(`  --json '${JSON.stringify(body)}'`);
  if (upload) lines.push('  -H "Content-Type: application/octet-stream"', "  --data-binary @FILE");
  return lines.join(" \\\n");
}

function renderOperation(path, method, operation) {
  const details = make("details", { id: anchorOf(operation) });
  details.append(
    make(
      "summary",
      {},
      make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("code", { class: "path" }, path),
      make("span", { class: "what" }, ...prose(operation.summary)),
    ),
  );
  const inside = make("div", { class: "inside" });
  const open = operation.security?.length === 0;
  const needs = open ? "Needs no key." : operation["x-permission"] ? `Needs ${operation["x-permission"]}.` : "Needs a key.";
  inside.append(make("p", { class: "needs" }, needs));
  if (operation.parameters.length) {
    const rows = operation.parameters.map((given) => ({
      name: given.name,
      schema: given.schema,
      required: given.required,
      place: given.in,
      text: given.description,
    }));
    inside.append(make("h4", {}, "Parameters"), fieldTable(rows));
  }
  const content = operation.requestBody?.content["application/json"];
  if (content) {
    inside.append(make("h4", {}, "Body"), make("p", {}, ...typeOf(content.schema)));
  }
  const upload = operation.requestBody?.content["*/*"];
  if (upload) inside.append(make("h4", {}, "Body"), make("p", {}, "the bytes of a file"));
  inside.append(make("pre", {}, curl(method.toUpperCase(), path, content?.example, upload)));
  const answers = make("tbody");
  for (const [status, response] of Object.entries(operation.responses)) {
    const kinds = Object.entries(response.content ?? {}).flatMap(([type, { schema }], index) => [
      index ? ", or " : "",
      ...(type === "text/event-stream" ? [make("a", { href: "#stream" }, "stream of events")] : schema ? typeOf(schema) : [type]),
    ]);
    answers.append(
      make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, response.description), make("td", {}, ...kinds)),
    );
  }
  inside.append(make("h4", {}, "Answers"), make("div", { class: "scroll" }, make("table", {}, answers)));
  details.append(inside);
  return details;
}

function renderSchema(name, schema) {
  const parts = [make("h3", { id: `schema-${name}` }, name)];
  if (schema.description) parts.push(make("p", {}, ...prose(schema.description.replaceAll(/\s+/g, " "))));
  if (schema.enum) parts.push(make("p", {}, ...typeOf(schema)));
  const rows = schemaFields(schema);
  if (rows.length) parts.push(fieldTable(rows));
  return make("article", {}, ...parts);
}

function renderCodes(codes) {
  for (const entry of codes) {
    byId("codes").tBodies[0].append(
      make(
        "tr",
        { id: `error-${entry.code}` },
        make("td", {}, make("code", {}, entry.code)),
        make("td", {}, String(entry.status)),
        make("td", {}, entry.where),
        make("td", {}, entry.title),
        make("td", {}, entry.retryable ? "may succeed later" : ""),
      ),
    );
  }
}

function render(doc) {
  byId("version").textContent = doc.info.version;
  byId("lead").textContent = doc.info.description;
  const operations = byId("operations");
  const contents = byId("contents");
  operations.replaceChildren();
  for (const tag of doc.tags) {
    const section = make("section", {}, make("h2", { id: `group-${tag.name}` }, tag.name), make("p", {}, tag.description));
    const list = make("ul");
    for (const [path, methods] of Object.entries(doc.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!operation.tags.includes(tag.name)) continue;
        section.append(renderOperation(path, method, operation));
        const label = operation.operationId.replaceAll("_", " ");
        list.append(make("li", {}, make("a", { href: `#${anchorOf(operation)}` }, label)));
      }
    }
    operations.append(section);
    contents.append(make("h2", {}, make("a", { href: `#group-${tag.name}` }, tag.name)), list);
  }
  for (const [anchor, label] of [["stream", "streams"], ["objects", "objects"], ["errors", "error codes"]]) {
    contents.append(make("h2", {}, make("a", { href: `#${anchor}` }, label)));
  }
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    byId(name.endsWith("Event") ? "events" : "schemas").append(renderSchema(name, schema));
  }
  renderCodes(doc["x-error-codes"]);
}

function show() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json answered ${response.status}`);
  render(await response.json());
  addEventListener("hashchange", show);
  show();
} catch (error) {
  byId("operations").replaceChildren(make("p", { role: "alert" }, `The docs can't be shown: ${error.message}`));
}
