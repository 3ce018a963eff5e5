//! A trading process that owns a handicapper daemon.
//!
//!     trader STATE_DIR [--tcp] [COMMAND...]
//!
//! starts `COMMAND serve …` (COMMAND is `handicapper` unless given), tells it what two models predicted and how
//! the games ended, asks it whom to trust and how much to trade, and stops it. One line for everything it learns.

mod daemon;
mod error;
mod messages;
mod rpc;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use daemon::{Daemon, Listen};
use messages::{
    GetAdaptiveParams, Hello, MarketResolved, ParametersChanged, Prediction, Signal, Subscribe,
    ThompsonSample,
};
use rpc::Client;

const GAMES: i64 = 60;
const T0: i64 = 1_767_225_600_000_000_000; // 2026-01-01T00:00:00Z in ns
const HOUR: i64 = 3_600_000_000_000;
const TIMEOUT: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let (state_dir, tcp, command) = arguments()?;
    let listen = match tcp {
        true => Listen::Tcp("127.0.0.1:0".into()),
        false => Listen::Unix(state_dir.with_extension("sock")),
    };
    let daemon = Daemon::spawn(&command, &state_dir, &listen)?;
    let mut client = match &listen {
        Listen::Unix(path) => Client::unix(path, TIMEOUT)?,
        Listen::Tcp(_) => {
            Client::tcp(daemon.tcp_address().ok_or("no TCP address in the ready line")?, TIMEOUT)?
        }
    };
    let hello =
        client.call(&Hello { client: "trader (Rust)", protocol: (1, 0), errors: "pair", token: None })?;
    println!("hello server={:?} protocol={}.{}", hello.server, hello.protocol.0, hello.protocol.1);

    record(&mut client)?;
    learn(&mut client)?;
    ask(&mut client)?;
    trade(&mut client)?;
    mistake(&mut client)?;

    drop(client);
    println!("stopped exit={}", daemon.stop(TIMEOUT)?.code().ok_or("the daemon was killed")?);
    Ok(())
}

fn arguments() -> Outcome<(PathBuf, bool, Vec<OsString>)> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.is_empty() {
        return Err("usage: trader STATE_DIR [--tcp] [COMMAND...]".into());
    }
    let state_dir = arguments.remove(0).into();
    let tcp = arguments.first().map_or(false, |word| word == "--tcp");
    let mut command = arguments.split_off(usize::from(tcp));
    if command.is_empty() {
        command.push("handicapper".into());
    }
    Ok((state_dir, tcp, command))
}

/// One prediction, told twice: as an array of fields, and as a map. The second is a duplicate and counts nothing.
fn record(client: &mut Client) -> Outcome<()> {
    let names = Names::of("elo", 0);
    let prediction = names.prediction("HOME", elo_confidence(0), 0);
    let receipt = client.call(&prediction)?;
    println!(
        "recorded prediction={} seq={} duplicate={}",
        names.prediction_id, receipt.seq, receipt.duplicate
    );
    let ticket = client.send_named(&prediction)?;
    let receipt = client.wait(ticket)?;
    println!(
        "recorded prediction={} seq={} duplicate={}",
        names.prediction_id, receipt.seq, receipt.duplicate
    );
    Ok(())
}

/// Every game: two predictions, then how it ended. All of it is pipelined; what one connection sends takes
/// effect in that order, so nobody has to wait for a prediction before its resolution is sent.
fn learn(client: &mut Client) -> Outcome<()> {
    let subscription = client.call(&Subscribe { topics: &["parameters"], interval_ms: 50 })?;
    println!("subscribed topics={:?}", subscription.topics);
    let mut resolutions = Vec::new();
    for game in 0..GAMES {
        let (elo, vegas) = (Names::of("elo", game), Names::of("vegas", game));
        let vegas_says = if game % 2 == 1 { "AWAY" } else { "HOME" };
        // A notification is not answered. It is taken in like a request; what is refused becomes a dead letter.
        client.notify(&elo.prediction("HOME", elo_confidence(game), game))?;
        client.notify(&vegas.prediction(vegas_says, (60 + game % 7) as f64 / 100.0, game))?;
        let resolution = MarketResolved {
            market_id: &elo.market_id,
            resolved_at: T0 + game * HOUR + HOUR / 2,
            payouts: None,
            winner: Some(if game % 3 == 0 { "AWAY" } else { "HOME" }),
        };
        resolutions.push(client.send(&resolution)?);
    }
    let (markets, mut scored) = (resolutions.len(), 0);
    for ticket in resolutions {
        scored += client.wait(ticket)?.scored;
    }
    println!("resolved markets={markets} scored={scored}");
    if scored > 0 {
        let changed = client.next_notification()?.ok_or("the server told nothing")?;
        let event: ParametersChanged = changed.params()?;
        println!(
            "changed method={} model={} adapted={}",
            changed.method, event.model_id, event.params.adapted
        );
    }
    client.call(&Subscribe { topics: &[], interval_ms: 50 })?;
    Ok(())
}

/// What it believes now, and a ranking: drawn from each model's posterior, the same again for the same seed.
fn ask(client: &mut Client) -> Outcome<()> {
    for model_id in ["elo", "vegas", "stranger"] {
        match client.call(&GetAdaptiveParams { model_id })? {
            Some(params) => println!(
                "params model={model_id} threshold={} weight={} ema_accuracy={} adapted={}",
                params.confidence_threshold, params.weight, params.ema_accuracy, params.adapted
            ),
            None => println!("params model={model_id} unknown"),
        }
    }
    let as_of = Some(T0 + GAMES * HOUR);
    let selection_id = Some("first");
    let sample = ThompsonSample { n: 1, as_of, models: None, selection_id, seed: Some(7) };
    for model in client.call(&sample)?.ranked {
        println!(
            "ranked model={} sample={} alpha={} beta={}",
            model.model_id, model.sample, model.alpha, model.beta
        );
    }
    Ok(())
}

/// A signal: the decision says whether to trade, and by how much to multiply the usual size.
fn trade(client: &mut Client) -> Outcome<()> {
    for (game, confidence) in [(GAMES, 0.8), (GAMES + 1, 0.1)] {
        let names = Names::of("elo", game);
        let mut prediction = names.prediction("HOME", confidence, game);
        prediction.price = Some("0.58");
        prediction.size = Some("100");
        let decision = client.call(&Signal(prediction))?;
        println!(
            "signal prediction={} accepted={} reason={} threshold={} multiplier={}",
            names.prediction_id,
            decision.accepted,
            decision.reason,
            decision.confidence_threshold,
            decision.size_multiplier
        );
    }
    Ok(())
}

/// An error response is a value like any other: the code says what happened, the fault whether to try again.
fn mistake(client: &mut Client) -> Outcome<()> {
    let names = Names::of("elo", 1000);
    match client.call(&names.prediction("HOME", 1.5, GAMES)) {
        Err(error::Error::Refused(refusal)) => {
            println!("refused fault={:?} code={} text={:?}", refusal.fault, refusal.code, refusal.text);
            Ok(())
        }
        Err(other) => Err(other.into()),
        Ok(_) => Err("a confidence of 1.5 was taken".into()),
    }
}

fn elo_confidence(game: i64) -> f64 {
    (55 + 2 * (game % 10)) as f64 / 100.0
}

/// The ids of one prediction; messages borrow them.
struct Names {
    model_id: &'static str,
    prediction_id: String,
    market_id: String,
}

impl Names {
    fn of(model_id: &'static str, game: i64) -> Self {
        Names { model_id, prediction_id: format!("{model_id}-{game}"), market_id: format!("game-{game}") }
    }

    fn prediction<'a>(&'a self, outcome: &'a str, confidence: f64, game: i64) -> Prediction<'a> {
        Prediction {
            prediction_id: &self.prediction_id,
            model_id: self.model_id,
            market_id: &self.market_id,
            outcome,
            confidence,
            predicted_at: T0 + game * HOUR,
            ..Prediction::default()
        }
    }
}
