// The npm package modbus-serial as a Modbus TCP server on a free port of the loopback; prints the port.
"use strict";
const path = require("path");
const { ServerTCP } = require(path.join(process.argv[2], "modbus-serial"));
const { registers, put } = require("./dispenser.js");

const server = new ServerTCP(
  {
    getHoldingRegister: (address, _unit, done) =>
      address < registers.length ? done(null, registers[address]) : done({ modbusErrorCode: 2, msg: "no such register" }),
    setRegister: (address, value, _unit, done) => { put(address, value); done(null); },
  },
  { host: "127.0.0.1", port: "0", unitID: 1 },
);
server.on("initialized", () => console.log(server._server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
