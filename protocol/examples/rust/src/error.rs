//! What can go wrong with a call, typed.

use std::{error, fmt, io};

use rmp_serde::{decode, encode};

/// What can go wrong with a call.
#[derive(Debug)]
pub enum Error {
    /// The server answered with an error. The connection is fine.
    Refused(Refusal),
    /// The socket failed, or did not answer in time. Every later call on this client fails too: connect again,
    /// and repeat what was not acknowledged. That is safe, every input has an idempotency key.
    Connection(io::Error),
    /// What the server sent is not what was expected.
    Unexpected(String),
}

/// An error response, `[0 | 1, "CODE text"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub fault: Fault,
    /// Stable: programs decide by it.
    pub code: String,
    /// For people; may change.
    pub text: String,
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server, or time: the same call may work later.
    Server,
    /// The caller: the same call fails again.
    Caller,
}

impl Refusal {
    pub fn new(fault: u8, text: &str) -> Self {
        let (code, text) = text.split_once(' ').unwrap_or((text, ""));
        let fault = if fault == 0 { Fault::Server } else { Fault::Caller };
        Refusal { fault, code: code.into(), text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => write!(f, "{} {}", refusal.code, refusal.text),
            Error::Connection(error) => write!(f, "connection: {error}"),
            Error::Unexpected(what) => write!(f, "unexpected: {what}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Connection(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Connection(error)
    }
}

impl From<encode::Error> for Error {
    fn from(error: encode::Error) -> Self {
        Error::Unexpected(format!("a request cannot be encoded: {error}"))
    }
}

impl From<decode::Error> for Error {
    fn from(error: decode::Error) -> Self {
        match error {
            decode::Error::InvalidMarkerRead(error) | decode::Error::InvalidDataRead(error) => error.into(),
            other => Error::Unexpected(format!("a message cannot be decoded: {other}")),
        }
    }
}
