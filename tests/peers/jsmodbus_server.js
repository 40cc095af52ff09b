// The npm package jsmodbus as a Modbus TCP server on a free port of the loopback; prints the port.
"use strict";
const net = require("net");
const path = require("path");
const modbus = require(path.join(process.argv[2], "jsmodbus"));
const { registers, put } = require("./dispenser.js");

const holding = Buffer.alloc(2 * registers.length);
const show = () => registers.forEach((value, at) => holding.writeUInt16BE(value, 2 * at));
const tell = (address, count) => {
  for (let at = address; at < address + count; at++) put(at, holding.readUInt16BE(2 * at));
  show();
};
show();
const socket = new net.Server();
const server = new modbus.server.TCP(socket, { holding });
server.on("postWriteSingleRegister", (request) => tell(request.body.address, 1));
// This event comes twice, once with the buffer alone.
server.on("postWriteMultipleRegisters", (request) => {
  if (request.body) tell(request.body.address, request.body.quantity);
});
socket.listen(0, "127.0.0.1", () => console.log(socket.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
