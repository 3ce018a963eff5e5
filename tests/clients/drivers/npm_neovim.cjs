// Calls handicapper through npm's "neovim". Usage: node npm_neovim.cjs ADDRESS CALLS ANSWERS [--numbers]
//
// CALLS and ANSWERS are files of MessagePack, as in ../driving.py. ADDRESS is a path or HOST:PORT.
// The package sends a JavaScript number, and so cannot send nanoseconds: above 2**53 they become a float.
// Its client takes a transport, so that it can be given one whose integers have 64 bits. --numbers does without.

const { readFileSync, writeFileSync } = require("node:fs");
const net = require("node:net");
const { isDeepStrictEqual } = require("node:util");
const { decode, encode } = require("@msgpack/msgpack");
const { NeovimClient } = require("neovim");
const { Transport } = require("neovim/lib/utils/transport");

class NanosecondTransport extends Transport {
  encodeToBuffer(value) {
    const { buffer, byteOffset, byteLength } = encode(value, {
      extensionCodec: this.extensionCodec,
      useBigInt64: true,
    });
    return Buffer.from(buffer, byteOffset, byteLength);
  }
}

async function main([address, callsPath, answersPath, option]) {
  const stock = option === "--numbers";
  const transport = stock ? new Transport() : new NanosecondTransport();
  const notifications = [];
  transport.on("notification", (method, params) => notifications.push([method, params]));

  const [host, port] = address.split(":");
  const socket = port ? net.connect(Number(port), host) : net.connect(address);
  socket.on("close", () => process.exit(1)); // while calls are waiting: the package would wait for ever
  const client = new NeovimClient({ transport });
  client.attach({ reader: socket, writer: socket });

  const calls = decode(readFileSync(callsPath), { useBigInt64: !stock });
  const answers = [];
  for (const [kind, method, args] of calls) {
    if (kind === "request") {
      answers.push(await client.request(method, args).then((result) => [null, result], (error) => [error.message, null]));
    } else if (kind === "notify") {
      client.notify(method, args);
    } else {
      const told = ([name, [event]]) => name === method && isDeepStrictEqual(event.params, answers.at(-1)[1]);
      while (!notifications.some(told)) {
        await new Promise((resolve) => transport.once("notification", resolve));
      }
    }
  }
  writeFileSync(answersPath, encode({ answers, notifications }));
  socket.removeAllListeners("close");
  await client.close();
}

main(process.argv.slice(2));
