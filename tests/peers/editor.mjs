// editor.mjs SCHEMA REQUEST...: the YAML language server that editors run, with SCHEMA for every document. A request is
// `check FILE`, `complete FILE LINE COLUMN` or `hover FILE LINE COLUMN`; prints a list of JSON with an answer to each:
// the diagnostics as `LINE:COLUMN: MESSAGE`, the proposals as a map to their descriptions, the text.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { load } from "./peer.mjs";

const { createMessageConnection, StreamMessageReader, StreamMessageWriter } = load("vscode-jsonrpc/node");

const [schema, ...requests] = process.argv.slice(2);
const yaml = { schemas: { [pathToFileURL(schema)]: "*.yaml" }, schemaStore: { enable: false } };
Object.assign(yaml, { validate: true, completion: true, hover: true });

const server = spawn(process.execPath, [load.resolve("yaml-language-server/bin/yaml-language-server"), "--stdio"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const editor = createMessageConnection(new StreamMessageReader(server.stdout), new StreamMessageWriter(server.stdin));
const published = new Map();
const awaited = new Map();
editor.onNotification("textDocument/publishDiagnostics", ({ uri, diagnostics }) => {
  published.set(uri, diagnostics);
  awaited.get(uri)?.();
});
editor.onRequest("workspace/configuration", ({ items }) => items.map(({ section }) => (section === "yaml" ? yaml : {})));
editor.onRequest("client/registerCapability", () => null);
editor.listen();

const markdown = ["markdown"];
await editor.sendRequest("initialize", {
  processId: process.pid,
  rootUri: null,
  capabilities: {
    workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } },
    textDocument: {
      completion: { completionItem: { snippetSupport: true, documentationFormat: markdown } },
      hover: { contentFormat: markdown },
      publishDiagnostics: {},
    },
  },
});
await editor.sendNotification("initialized", {});
await editor.sendNotification("workspace/didChangeConfiguration", { settings: { yaml } });

const answers = [];
for (let at = 0; at < requests.length; ) {
  const what = requests[at];
  const uri = await open(requests[at + 1]);
  if (what === "check") {
    answers.push(published.get(uri).map(told));
    at += 2;
    continue;
  }
  const position = { line: requests[at + 2] - 1, character: requests[at + 3] - 1 };
  answers.push(await { complete, hover }[what]({ textDocument: { uri }, position }));
  at += 4;
}
console.log(JSON.stringify(answers));
process.exit(0);

/** Opens a document and waits for what is said of it. */
async function open(path) {
  const uri = String(pathToFileURL(path));
  if (published.has(uri)) return uri;
  const said = new Promise((resolve) => awaited.set(uri, resolve));
  const text = readFileSync(path, "utf8");
  await editor.sendNotification("textDocument/didOpen", {
    textDocument: { uri, languageId: "yaml", version: 1, text },
  });
  await said;
  return uri;
}

function told({ range: { start }, message }) {
  return `${start.line + 1}:${start.character + 1}: ${message}`;
}

async function complete(at) {
  const { items } = await editor.sendRequest("textDocument/completion", at);
  return Object.fromEntries(items.map(({ label, documentation }) => [label, documentation?.value ?? documentation]));
}

async function hover(at) {
  return (await editor.sendRequest("textDocument/hover", at))?.contents.value;
}
