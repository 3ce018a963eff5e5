// A trading process that owns a handicapper daemon.
//
//     node trader.js STATE_DIR [--tcp] [COMMAND...]
//
// starts `COMMAND serve …` (COMMAND is `handicapper` unless given), tells it what two models predicted and how
// the games ended, asks it whom to trust and how much to trade, and stops it. One line for everything it learns.

import { startDaemon } from "./daemon.js";
import { Client, Refusal } from "./rpc.js";

const GAMES = 60;
const T0 = 1_767_225_600_000_000_000n; // 2026-01-01T00:00:00Z in ns
const HOUR = 3_600_000_000_000n;

async function main([stateDir, ...rest]) {
  if (!stateDir) throw new Error("usage: node trader.js STATE_DIR [--tcp] [COMMAND...]");
  const tcp = rest[0] === "--tcp";
  const command = rest.slice(tcp ? 1 : 0);
  const listen = tcp ? { host: "127.0.0.1", port: 0 } : { path: `${stateDir}.sock` };
  const daemon = await startDaemon(command.length ? command : ["handicapper"], stateDir, listen);
  try {
    const client = await Client.connect(daemon.address);
    const hello = await client.request("hello", { client: "trader (Node)", protocol: [1, 0] });
    console.log(`hello server=${JSON.stringify(hello.server)} protocol=${hello.protocol.join(".")}`);
    await record(client);
    await learn(client);
    await ask(client);
    await trade(client);
    await mistake(client);
    client.close();
  } finally {
    console.log(`stopped exit=${await daemon.stop()}`);
  }
}

/** One prediction, told twice: as a map of fields, and as an array. The second is a duplicate, counting nothing. */
async function record(client) {
  const told = prediction("elo", 0, "HOME", eloConfidence(0));
  for (const params of [told, Object.values(told)]) {
    // A field with its default value may be absent from a receipt.
    const { seq, duplicate = false } = await client.request("record_prediction", params);
    console.log(`recorded prediction=${told.prediction_id} seq=${seq} duplicate=${duplicate}`);
  }
}

/** Every game: two predictions, then how it ended. All of it is pipelined; what one connection sends takes
 * effect in that order, so nobody has to wait for a prediction before its resolution is sent. */
async function learn(client) {
  const changed = new Promise((resolve) => client.on("parameters_changed", resolve));
  const { topics } = await client.request("subscribe", { topics: ["parameters"], interval_ms: 50 });
  console.log(`subscribed topics=${JSON.stringify(topics)}`);
  const resolutions = [];
  for (let game = 0; game < GAMES; game++) {
    // A notification is not answered. It is taken in like a request; what is refused becomes a dead letter.
    client.notify("record_prediction", prediction("elo", game, "HOME", eloConfidence(game)));
    const vegasSays = game % 2 === 1 ? "AWAY" : "HOME";
    client.notify("record_prediction", prediction("vegas", game, vegasSays, (60 + (game % 7)) / 100));
    const resolution = {
      market_id: `game-${game}`,
      resolved_at: T0 + BigInt(game) * HOUR + HOUR / 2n,
      winner: game % 3 === 0 ? "AWAY" : "HOME",
    };
    resolutions.push(client.request("market_resolved", resolution));
  }
  const receipts = await Promise.all(resolutions);
  const scored = receipts.reduce((sum, receipt) => sum + (receipt.scored ?? 0), 0);
  console.log(`resolved markets=${receipts.length} scored=${scored}`);
  if (scored > 0) {
    const { model_id, params } = await Promise.race([changed, client.lost]);
    console.log(`changed method=parameters_changed model=${model_id} adapted=${params.adapted}`);
  }
  await client.request("subscribe", { topics: [] });
}

/** What it believes now, and a ranking: drawn from each model's posterior, the same again for the same seed. */
async function ask(client) {
  for (const model of ["elo", "vegas", "stranger"]) {
    const params = await client.request("get_adaptive_params", [model]);
    if (params === null) {
      console.log(`params model=${model} unknown`);
      continue;
    }
    const { confidence_threshold, weight, ema_accuracy, adapted } = params;
    console.log(
      `params model=${model} threshold=${confidence_threshold} weight=${weight} ` +
        `ema_accuracy=${ema_accuracy} adapted=${adapted}`,
    );
  }
  const asOf = T0 + BigInt(GAMES) * HOUR;
  const { ranked } = await client.request("thompson_sample", { as_of: asOf, selection_id: "first", seed: 7 });
  for (const { model_id, sample, alpha, beta } of ranked) {
    console.log(`ranked model=${model_id} sample=${sample} alpha=${alpha} beta=${beta}`);
  }
}

/** A signal: the decision says whether to trade, and by how much to multiply the usual size. */
async function trade(client) {
  for (const [game, confidence] of [[GAMES, 0.8], [GAMES + 1, 0.1]]) {
    const signal = {
      ...prediction("elo", game, "HOME", confidence),
      price: "0.58", // money is a string, never a float
      size: "100",
    };
    const decision = await client.request("process_signal", signal);
    console.log(
      `signal prediction=${signal.prediction_id} accepted=${decision.accepted} reason=${decision.reason} ` +
        `threshold=${decision.confidence_threshold} multiplier=${decision.size_multiplier}`,
    );
  }
}

/** A refusal is an exception with a code: the code says what happened, the fault whether to try again. */
async function mistake(client) {
  try {
    await client.request("record_prediction", prediction("elo", 1000, "HOME", 1.5));
    throw new Error("a confidence of 1.5 was taken");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    console.log(`refused fault=${error.fault} code=${error.code} text=${JSON.stringify(error.message)}`);
  }
}

/** The fields stand in the documented order, so that Object.values makes the array form of them. */
function prediction(model, game, outcome, confidence) {
  return {
    prediction_id: `${model}-${game}`,
    model_id: model,
    market_id: `game-${game}`,
    outcome,
    confidence,
    predicted_at: T0 + BigInt(game) * HOUR,
  };
}

function eloConfidence(game) {
  return (55 + 2 * (game % 10)) / 100;
}

await main(process.argv.slice(2));
