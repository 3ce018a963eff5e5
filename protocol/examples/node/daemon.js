// The daemon as a child process: started, waited for, stopped, and never left behind.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** `listen` is `{ path }` for a unix socket or `{ host, port }` for TCP (port 0: the daemon finds one). Resolves
 * once it accepts connections. It logs to our standard error. */
export async function startDaemon(command, stateDir, listen) {
  const address = listen.path ? ["--unix", listen.path] : ["--tcp", `${listen.host}:${listen.port}`];
  // The daemon leaves when its standard input closes (--parent-watch): also when we are killed and run nothing.
  const child = spawn(command[0], [...command.slice(1), "serve", "--parent-watch", "--state", stateDir, ...address], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exit = new Promise((resolve, reject) => {
    child.once("exit", (code, signal) => resolve(code ?? signal));
    child.once("error", reject); // it could not be started
  });
  child.stdin.on("error", () => {}); // it left before us
  const line = once(createInterface({ input: child.stdout }), "line");
  const ended = exit.then((code) => {
    throw new Error(`the daemon did not start: exit ${code}`); // it says why on standard error
  });
  const [text] = await Promise.race([line, ended]);
  ended.catch(() => {});
  return new Daemon(child, exit, JSON.parse(text));
}

class Daemon {
  #child;
  #exit;

  constructor(child, exit, ready) {
    this.#child = child;
    this.#exit = exit;
    /** The line it printed when it was ready. */
    this.ready = ready;
  }

  /** What net.connect takes. */
  get address() {
    if (this.ready.unix) return { path: this.ready.unix };
    const [host, port] = this.ready.tcp;
    return { host, port };
  }

  /** Closes its standard input; it drains, snapshots and leaves. Resolves with the exit code. */
  async stop(patienceMs = 30_000) {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), patienceMs); // what was acknowledged is durable
    try {
      return await this.#exit;
    } finally {
      clearTimeout(timer);
    }
  }
}
