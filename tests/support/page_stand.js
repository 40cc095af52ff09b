// A stand for the handheld's page: its own script, fetched from the station over TLS, on elements that remember what
// they are told. Reads one JSON order per line, answers each with what a person would see. Knows no scan and no sale.
"use strict";

const https = require("node:https"), readline = require("node:readline"), vm = require("node:vm"), fs = require("node:fs");
const [base, caFile, given] = process.argv.slice(2);
const ca = fs.readFileSync(caFile);
let cookie = given || "";

function ask(path, options = {}) {
  return new Promise((done, failed) => {
    const headers = { ...(options.headers || {}), cookie };
    if (options.method && options.method !== "GET") headers.origin = base;
    const sent = https.request(base + path, { method: options.method || "GET", headers, ca, agent: false }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => {
        for (const line of response.headers["set-cookie"] || []) cookie = line.split(";")[0];
        const text = Buffer.concat(parts).toString();
        done({ status: response.statusCode, text, json: async () => JSON.parse(text) });
      });
    });
    sent.on("error", failed);
    sent.end(options.body);
  });
}

class Element {
  constructor(id) {
    this.id = id;
    this.value = this.textContent = this.className = "";
    this.hidden = false;
    this.children = [];
    this.listeners = {};
  }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  replaceChildren(...children) { this.children = children; }
  focus() { document.activeElement = this; }
  fire(name, event = {}) { return this.listeners[name] && this.listeners[name]({ preventDefault() {}, ...event }); }
}

const elements = {}, shakes = [];
const document = {
  documentElement: { lang: "" }, activeElement: null, hidden: false, listeners: {},
  getElementById: (id) => elements[id],
  createElement: () => new Element(""),
  addEventListener() {},
};

function seen() {
  const answer = elements.answer;
  return {
    part: ["pairing", "session", "tiles"].find((id) => !elements[id].hidden) || null,
    tone: answer.className, answer: answer.textContent, device: elements.device.textContent, who: elements.who.textContent,
    tiles: elements.tiles.children.map((tile) => ({ kind: tile.className, text: tile.textContent })),
    focus: document.activeElement && document.activeElement.id, left: elements.scan.value, shakes,
  };
}

const ORDERS = {
  look: () => {},
  type: ({ id, text }) => { elements[id].focus(); elements[id].value = text; },
  enter: () => elements.scan.fire("keydown", { key: "Enter" }),
  submit: ({ id }) => { elements[id].fire("submit"); },
  tap: ({ id, number }) => { elements[id].children[number].fire("click"); },
  press: ({ id }) => { elements[id].fire("click"); },
};

async function main() {
  const page = (await ask("/")).text;
  document.documentElement.lang = /<html lang="([^"]*)">/.exec(page)[1];
  for (const [tag, id] of page.matchAll(/<[a-z]+[^>]* id="([^"]+)"[^>]*>/g)) {
    elements[id] = new Element(id);
    elements[id].hidden = / hidden/.test(tag);
  }
  const { crypto, setTimeout, clearTimeout, setInterval, AbortController } = globalThis;
  const world = {
    document, crypto, setTimeout, clearTimeout, setInterval, AbortController, fetch: ask,
    navigator: { vibrate: (shake) => shakes.push(shake) },
  };
  vm.runInNewContext((await ask("/page.js")).text, world, { filename: "page.js" });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    ORDERS[order.do](order);
    console.log(JSON.stringify(seen()));
  }
  process.exit(0);
}

main();
