// A MessagePack-RPC client: pipelining, notifications, errors with a code. It knows nothing of handicapper.

import { once } from "node:events";
import net from "node:net";
import { decodeMultiStream, encode } from "@msgpack/msgpack";

const REQUEST = 0;
const RESPONSE = 1;
const NOTIFICATION = 2;
const MSGID_MAX = 2 ** 32 - 1;

// Nanoseconds do not fit into a number: they are BigInt in both directions. With this option an integer of 64
// bits is decoded as BigInt (a smaller one as a number), and a *number* above 2**32 would be sent as a float,
// which the server refuses for a time: write 1_767_225_600_000_000_000n.
const OPTIONS = { useBigInt64: true };

/** The server answered with an error, `[0 | 1, "CODE text"]`. The connection is fine. */
export class Refusal extends Error {
  constructor([fault, text]) {
    super(text);
    this.name = "Refusal";
    /** Stable: programs decide by it. */
    this.code = text.split(" ", 1)[0];
    /** "server": the same call may work later. "caller": the same call fails again. */
    this.fault = fault === 0 ? "server" : "caller";
  }
}

/** The socket failed, or there was no answer in time. Connect again and repeat what was not acknowledged:
 * that is safe, every input has an idempotency key. */
export class ConnectionLost extends Error {
  name = "ConnectionLost";
}

export class Client {
  #socket;
  #timeoutMs;
  #lastMsgid = 0;
  #waiting = new Map(); // msgid -> { resolve, reject, timer }
  #listeners = new Map(); // method -> function of what is told
  #corked = false;
  #lost = null; // the ConnectionLost, once it is
  #rejectLost;

  /** `address` is what net.connect takes: `{ path }` or `{ host, port }`. */
  static async connect(address, timeoutMs = 30_000) {
    const socket = net.connect(address);
    await once(socket, "connect"); // rejects on "error"
    return new Client(socket, timeoutMs);
  }

  constructor(socket, timeoutMs) {
    /** Rejects when the connection is lost: race it with what only a notification can bring. */
    this.lost = new Promise((_, reject) => {
      this.#rejectLost = reject;
    });
    this.lost.catch(() => {}); // nobody has to look
    this.#socket = socket.setNoDelay(true);
    this.#timeoutMs = timeoutMs;
    this.#read();
  }

  /** Sends a request; the promise holds the result, or rejects with a Refusal or ConnectionLost. `params` is an
   * object of named fields, or an array of them in the documented order. Call it many times before you await
   * (some thousands: the server reads no further while too many are unanswered): what one turn of the event
   * loop sends goes out in one write, and the server acknowledges it with one fsync. */
  request(method, params) {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      this.#lastMsgid = this.#lastMsgid === MSGID_MAX ? 0 : this.#lastMsgid + 1;
      const msgid = this.#lastMsgid;
      const timer = setTimeout(() => {
        this.#waiting.delete(msgid);
        reject(new ConnectionLost(`no answer to ${method} within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      this.#waiting.set(msgid, { resolve, reject, timer });
      this.#write([REQUEST, msgid, method, params]);
    });
  }

  /** Sends a notification: a request that is never answered, not even if it is refused. */
  notify(method, params) {
    if (this.#lost) throw this.#lost;
    this.#write([NOTIFICATION, method, params]);
  }

  /** Calls `listener` with what every such notification of the server tells. */
  on(method, listener) {
    this.#listeners.set(method, listener);
  }

  /** Sends what is still to be sent, and nothing more; what is under way is answered. */
  close() {
    this.#lost ??= new ConnectionLost("closed");
    this.#socket.end();
  }

  #write(message) {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(encode(message, OPTIONS));
  }

  async #read() {
    try {
      for await (const message of decodeMultiStream(this.#socket, OPTIONS)) this.#take(message);
      this.#lose("the server closed the connection");
    } catch (error) {
      this.#lose(error.message, error);
    }
  }

  #take([kind, ...rest]) {
    if (kind === NOTIFICATION) {
      const [method, [event]] = rest; // params are an array of arguments, and the server sends one
      this.#listeners.get(method)?.(event);
      return;
    }
    const [msgid, error, result] = rest;
    if (kind !== RESPONSE) throw new Error(`a message of kind ${kind}`);
    if (msgid === null) throw new Refusal(error); // of no request in particular: the server is about to close
    const waiting = this.#waiting.get(msgid);
    if (!waiting) return; // it was given up
    this.#waiting.delete(msgid);
    clearTimeout(waiting.timer);
    if (error === null) waiting.resolve(result);
    else waiting.reject(new Refusal(error));
  }

  #lose(why, cause) {
    this.#lost ??= new ConnectionLost(why, { cause });
    this.#rejectLost(this.#lost);
    this.#socket.destroy();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(this.#lost);
    }
    this.#waiting.clear();
  }
}
