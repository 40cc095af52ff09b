// The parser of the AsyncAPI Initiative on a document: what it finds, as JSON. node parse.js MODULES FILE
"use strict";
const { readFileSync } = require("node:fs");
const [modules, file] = process.argv.slice(2);
const { Parser } = require(require("node:path").join(modules, "@asyncapi/parser"));

new Parser().parse(readFileSync(file, "utf8")).then(({ document, diagnostics }) => {
  const found = diagnostics.map(({ severity, code, path, message }) => ({ severity, code, path: path.join("."), message }));
  const channels = document === undefined ? null : document.allChannels().all().length;
  const messages = document === undefined ? null : document.allMessages().all().map((one) => one.name());
  console.log(JSON.stringify({ channels, messages, found }));
});
