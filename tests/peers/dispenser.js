// The registers of the reference dispenser for the servers beside this file: values to read, places to write.
"use strict";

const CALLING = 4, AUTHORISED = 5, IDLE = 3;

function words(value, count) {
  const found = [];
  for (let at = count - 1; at >= 0; at--) found.push(Number((BigInt(value) >> BigInt(16 * at)) & 0xffffn));
  return found;
}

const registers = [
  1, CALLING, 1, 0,
  ...words(7850, 2), ...words(12340, 2), ...words(9687, 2), ...words(0, 2),
  ...words(123456789012n, 4), ...words(98765432101n, 4),
  ...words(7, 2), ...words(12340, 2), ...words(9687, 2), 1, 0, ...words(7850, 2),
];
while (registers.length < 107) registers.push(0);

function put(address, value) {
  registers[address] = value;
  if (address === 100) registers[1] = value === 1 ? AUTHORISED : value === 2 ? IDLE : registers[1];
  if (address === 102) registers.splice(10, 2, registers[101], registers[102]);
  if (address === 104) registers.splice(4, 2, registers[103], registers[104]);
  if (address === 106 && registers[106] === 7) registers.fill(0, 20, 30);
}

module.exports = { registers, put };
