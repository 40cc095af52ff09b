// A head office on MQTT.js, written from docs/head-office.md and docs/asyncapi.yaml alone: it welcomes stations, checks the
// hash chain of what they send, writes the new records to a file, one a line, and acknowledges. node head_office.js MODULES PORT FILE
"use strict";
const { createHash, randomUUID } = require("node:crypto");
const { fsyncSync, openSync, writeSync } = require("node:fs");
const [modules, port, file] = process.argv.slice(2);
const mqtt = require(require("node:path").join(modules, "mqtt"));

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const credit = { window: 4, records_per_s: 0, pause_ms: 0 };
const now = () => new Date().toISOString();
const out = openSync(file, "a");
const streams = new Map(); // "station incarnation stream" -> the hash of every seq; hashes[0] is hash_0
const ends = new Map(); // "station point nozzle" -> the greatest end of a sale, [epoch, raw]

function hashesOf(station, incarnation, stream) {
  const key = `${station} ${incarnation} ${stream}`;
  if (!streams.has(key)) streams.set(key, [sha256(`${station}\0${incarnation}\0${stream}`)]);
  return streams.get(key);
}

function sliced(payload) { // the items of "records", byte for byte: they are never parsed and written again
  const items = [];
  let depth = 0, start = 0, at = payload.indexOf('"records"');
  for (at = payload.indexOf("[", at) + 1; depth > 0 || payload[at] !== 0x5d; at += 1) {
    if (payload[at] === 0x22) for (at += 1; payload[at] !== 0x22; at += 1) at += payload[at] === 0x5c;
    else if (payload[at] === 0x7b && depth++ === 0) start = at;
    else if (payload[at] === 0x7d && --depth === 0) items.push(payload.subarray(start, at + 1));
  }
  return items;
}

function welcome(station, hello) {
  const told = Object.entries(hello.streams).map(([name, { last_seq: seq, last_hash: hash }]) => {
    const known = hashesOf(station, hello.incarnation, name), cum = known.length - 1;
    return [name, { cum, head_hash: known[cum].toString("hex"), fork: seq <= cum && known[seq].toString("hex") !== hash }];
  });
  const behind = told.some(([name, at]) => at.fork || hello.streams[name].last_seq < at.cum);
  const nozzles = [...ends].filter(([key]) => key.startsWith(`${station} `)).map(([key, end]) => {
    const [, point, nozzle] = key.split(" ");
    return { fuelling_point: Number(point), nozzle: Number(nozzle), totalizer_end: end.join(":") };
  });
  return { for: { install_id: hello.install_id, connect_n: hello.connect_n }, incarnation: hello.incarnation, time: now(),
    streams: Object.fromEntries(told), credit, reincarnate: behind, fenced: false, nozzles, accept: [] };
}

function take(station, batch, records) {
  const known = hashesOf(station, batch.incarnation, batch.stream);
  const ack = { install_id: batch.install_id, incarnation: batch.incarnation, stream: batch.stream, credit, rejected: [],
    gap: batch.first_seq > known.length, fork: false, refused: null };
  let hash = Buffer.from(batch.prev_hash, "hex");
  const chain = [hash, ...records.map((bytes, n) => {
    const seq = Buffer.alloc(8);
    seq.writeBigUInt64BE(BigInt(batch.first_seq + n));
    return (hash = sha256(hash, seq, bytes));
  })];
  if (hash.toString("hex") !== batch.last_hash) Object.assign(ack, { gap: true, refused: "bad_last_hash" });
  ack.fork = !ack.gap && chain.some((one, n) => known[batch.first_seq - 1 + n]?.equals(one) === false);
  if (!ack.gap && !ack.fork) {
    const fresh = records.slice(known.length - batch.first_seq);
    fresh.forEach((bytes) => writeSync(out, Buffer.concat([bytes, Buffer.from("\n")])));
    fsyncSync(out); // the commit: only then anybody hears of it
    known.push(...chain.slice(known.length - batch.first_seq + 1));
    fresh.map((bytes) => JSON.parse(bytes)).filter((one) => one.type === "fc.sale.v1").forEach(({ data }) => {
      const key = `${station} ${data.fuelling_point} ${data.nozzle}`, end = data.totalizer_end?.split(":").map(Number);
      const last = ends.get(key) ?? [-1, -1];
      if (end && (end[0] > last[0] || (end[0] === last[0] && end[1] > last[1]))) ends.set(key, end);
    });
  }
  return { ...ack, cum: known.length - 1, head_hash: known.at(-1).toString("hex") };
}

const event = (type, data) => JSON.stringify({ specversion: "1.0", id: randomUUID(), source: "/head-office", type, data });
const state = (online) => event("fc.ho.state.v1", { online, time: now() });
const will = { topic: "fc/v1/ho/state", payload: state(false), qos: 1, retain: true };
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { clientId: "head-office", will });
client.on("connect", () => client.subscribe("fc/v1/+/s/+/up/#", { qos: 1 }, () => {
  client.publish("fc/v1/ho/state", state(true), { qos: 1, retain: true }, () => console.log("ready"));
}));
client.on("message", (topic, payload) => {
  const [, , shard, , station, , name] = topic.split("/");
  const { source, data } = JSON.parse(payload);
  if (source !== `/stations/${station}` || Number(shard) !== sha256(station)[0] % 64) return;
  const answer = (down, type, body) =>
    client.publish(`fc/v1/${shard}/s/${station}/down/${down}`, event(type, body), { qos: 1 });
  if (name === "hello") answer("welcome", "fc.welcome.v1", welcome(station, data));
  else if ("lat".includes(name)) answer("ack", "fc.ack.v1", take(station, data, sliced(payload)));
});
