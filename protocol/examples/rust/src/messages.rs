//! What is sent to handicapper and what it answers with, as far as this program needs it.
//!
//! Params are written as arrays, so the order of a struct's fields here **is** the documented order; optional
//! fields at the end may be left out. Results come as maps: their fields may stand in any order, fields not
//! listed here are skipped. Times are nanoseconds since 1970 UTC. Money is a decimal string, never a float; a
//! decimal type that serializes as a string will do (`rust_decimal` with `serde-with-str`).

use serde_derive::{Deserialize, Serialize};

use crate::rpc::Request;

/// First on every connection; with `token` where the daemon wants one.
#[derive(Serialize)]
pub struct Hello<'a> {
    pub client: &'a str,
    pub protocol: (u32, u32),
    pub errors: &'a str,
    pub token: Option<&'a str>,
}

impl Request for Hello<'_> {
    const METHOD: &'static str = "hello";
    type Reply = HelloReply;
}

#[derive(Debug, Deserialize)]
pub struct HelloReply {
    pub server: String,
    pub protocol: (u32, u32),
}

/// One model's forecast that `outcome` will happen. `prediction_id` is the idempotency key.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Prediction<'a> {
    pub prediction_id: &'a str,
    pub model_id: &'a str,
    pub market_id: &'a str,
    pub outcome: &'a str,
    pub confidence: f64,
    pub predicted_at: i64,
    pub price: Option<&'a str>,
    pub size: Option<&'a str>,
    pub fee: Option<&'a str>,
    pub expires_at: Option<i64>,
}

impl Request for Prediction<'_> {
    const METHOD: &'static str = "record_prediction";
    type Reply = Receipt;
}

/// The same params asked as a question: trade on it, and how large?
#[derive(Clone, Debug, Serialize)]
pub struct Signal<'a>(pub Prediction<'a>);

impl Request for Signal<'_> {
    const METHOD: &'static str = "process_signal";
    type Reply = SignalDecision;
}

/// How a market ended: this outcome pays 1, the others 0. (Splits and scalars go into `payouts`: see PROTOCOL.md.)
#[derive(Clone, Debug, Serialize)]
pub struct MarketResolved<'a> {
    pub market_id: &'a str,
    pub resolved_at: i64,
    pub payouts: Option<std::collections::BTreeMap<&'a str, f64>>,
    pub winner: Option<&'a str>,
}

impl Request for MarketResolved<'_> {
    const METHOD: &'static str = "market_resolved";
    type Reply = Receipt;
}

#[derive(Serialize)]
pub struct GetAdaptiveParams<'a> {
    pub model_id: &'a str,
}

impl Request for GetAdaptiveParams<'_> {
    const METHOD: &'static str = "get_adaptive_params";
    /// None: this model was never seen.
    type Reply = Option<AdaptiveParams>;
}

/// Everything None: now, all models, a fresh draw.
#[derive(Serialize)]
pub struct ThompsonSample<'a> {
    pub n: u32,
    pub as_of: Option<i64>,
    pub models: Option<&'a [&'a str]>,
    pub selection_id: Option<&'a str>,
    pub seed: Option<u64>,
}

impl Request for ThompsonSample<'_> {
    const METHOD: &'static str = "thompson_sample";
    type Reply = Selection;
}

#[derive(Serialize)]
pub struct Subscribe<'a> {
    pub topics: &'a [&'a str],
    pub interval_ms: u32,
}

impl Request for Subscribe<'_> {
    const METHOD: &'static str = "subscribe";
    type Reply = Subscription;
}

#[derive(Debug, Deserialize)]
pub struct Subscription {
    pub topics: Vec<String>,
}

/// The params of a `parameters_changed` notification.
#[derive(Debug, Deserialize)]
pub struct ParametersChanged {
    pub model_id: String,
    pub params: AdaptiveParams,
}

/// You hold it only once the input is durable. Fields with their default value may be absent.
#[derive(Debug, Deserialize)]
pub struct Receipt {
    pub seq: u64,
    #[serde(default)]
    pub duplicate: bool,
    #[serde(default)]
    pub scored: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct AdaptiveParams {
    pub confidence_threshold: f64,
    pub weight: f64,
    pub ema_accuracy: f64,
    pub adapted: bool,
}

#[derive(Debug, Deserialize)]
pub struct Selection {
    /// Highest draw first.
    pub ranked: Vec<ModelSample>,
}

#[derive(Debug, Deserialize)]
pub struct ModelSample {
    pub model_id: String,
    pub sample: f64,
    pub alpha: f64,
    pub beta: f64,
}

#[derive(Debug, Deserialize)]
pub struct SignalDecision {
    pub accepted: bool,
    pub reason: String,
    pub confidence_threshold: f64,
    pub size_multiplier: f64,
}
