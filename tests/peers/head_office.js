// A head office on MQTT.js, written from docs/head-office.md and docs/asyncapi.yaml alone: it welcomes stations, checks the
// hash chain of what they send, writes new records to a file, and acknowledges. node head_office.js MODULES PORT FILE
const { createHash, randomUUID } = require("node:crypto"), { openSync, writeSync } = require("node:fs");
const [modules, port, file] = process.argv.slice(2);
const out = openSync(file, "as"), credit = { window: 4, records_per_s: 0, pause_ms: 0 };
const chains = {}, ends = {}; // by stream: the hash of every seq, the first is hash_0; by station: each nozzle's last sale
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");
const linked = (hash, seq, record) => sha256(Buffer.from(hash + seq.toString(16).padStart(16, "0"), "hex"), record);
const chainOf = (...stream) => (chains[stream] ??= [sha256(stream.join("\0"))]);
const rank = ({ totalizer_end }) => totalizer_end.split(":").map((number) => number.padStart(20)).join(); // epoch first

function recordsIn(text) { // each as it arrived, from its { to its }: a record is never parsed and written again
  let records = [], depth = 0, start = 0;
  for (const { 0: token, index } of text.matchAll(/"(\\.|[^"\\])*"|[{}]/g)) { // braces inside texts do not count
    if (token === "{" && ++depth === 3) start = index; // in the event, in its data, in records
    if (token === "}" && depth-- === 3) records.push(text.slice(start, index + 1));
  }
  return records;
}

function welcome(station, { install_id, connect_n, incarnation, streams }) {
  const told = {}, nozzles = Object.values(ends[station] ?? {});
  for (const [stream, { last_seq, last_hash }] of Object.entries(streams)) {
    const chain = chainOf(station, incarnation, stream), cum = chain.length - 1;
    told[stream] = { cum, head_hash: chain[cum], fork: last_seq <= cum && chain[last_seq] !== last_hash };
  }
  const reincarnate = Object.keys(told).some((name) => told[name].fork || streams[name].last_seq < told[name].cum);
  return { for: { install_id, connect_n }, incarnation, time: new Date().toISOString(), streams: told, credit,
    reincarnate, fenced: false, nozzles, accept: [] };
}

function take(station, { install_id, incarnation, stream, first_seq, prev_hash, last_hash }, records) {
  const chain = chainOf(station, incarnation, stream), known = chain.length - first_seq, hashes = [prev_hash];
  records.forEach((record, n) => hashes.push(linked(hashes[n], first_seq + n, record)));
  const refused = hashes.at(-1) === last_hash ? null : "bad_last_hash", gap = known < 0 || refused !== null;
  const fork = !gap && hashes.some((hash, n) => (chain[first_seq - 1 + n] ?? hash) !== hash);
  const fresh = gap || fork ? [] : records.slice(known);
  writeSync(out, fresh.map((record) => `${record}\n`).join("")); // on the disk: only then anybody hears of it
  chain.push(...hashes.slice(hashes.length - fresh.length));
  for (const { data } of fresh.map((record) => JSON.parse(record)).filter(({ type }) => type === "fc.sale.v1")) {
    const last = (ends[station] ??= {}), nozzle = `${data.fuelling_point}/${data.nozzle}`;
    if (data.totalizer_end && rank(data) >= rank(last[nozzle] ?? data)) last[nozzle] = data;
  }
  const cum = chain.length - 1;
  return { install_id, incarnation, stream, cum, head_hash: chain[cum], credit, rejected: [], gap, fork, refused };
}

const client = require(`${modules}/mqtt`).connect(`mqtt://127.0.0.1:${port}`, { clientId: "head-office" });
const say = (topic, type, data, retain = false) => client.publish(topic,
  JSON.stringify({ specversion: "1.0", id: randomUUID(), source: "/head-office", type, data }), { qos: 1, retain });
client.on("connect", () => client.subscribe("fc/v1/+/s/+/up/#", { qos: 1 }, () => {
  say("fc/v1/ho/state", "fc.ho.state.v1", { online: true, time: new Date().toISOString() }, true);
  console.log("ready");
}));
client.on("message", (topic, payload) => {
  const [, , shard, , station, , name] = topic.split("/"), { source, data } = JSON.parse(payload);
  if (source !== `/stations/${station}` || Number(shard) !== parseInt(sha256(station).slice(0, 2), 16) % 64) return;
  if (name === "hello") say(topic.replace("up/hello", "down/welcome"), "fc.welcome.v1", welcome(station, data));
  else if ("lat".includes(name)) say(topic.replace(/up\/.$/, "down/ack"), "fc.ack.v1", take(station, data, recordsIn(`${payload}`)));
});
