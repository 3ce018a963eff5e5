//! A MessagePack-RPC client: framing, pipelining, notifications. It knows nothing of handicapper.
//!
//! To lift it into your program take this file, `error.rs` and `messages.rs`; the dependencies are rmp-serde and
//! serde.
//!
//! One thread, no runtime: [`Client::call`] blocks until the answer is there. To keep many requests under way
//! [`Client::send`] them first and [`Client::wait`] for their tickets afterwards: what was sent in between goes
//! out in one write, and the server acknowledges it with one fsync.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rmp_serde::{encode, Deserializer};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Refusal};

/// A request: the value holds the params, the type knows the method and what it answers with.
pub trait Request: Serialize {
    const METHOD: &'static str;
    type Reply: DeserializeOwned;
}

/// The promise of a reply to a request that was sent; [`Client::wait`] redeems it.
#[must_use = "a reply that nobody waits for stays in memory"]
pub struct Ticket<R> {
    msgid: u32,
    reply: PhantomData<R>,
}

/// A notification the server sent because of `subscribe`.
pub struct Notification {
    pub method: String,
    message: Vec<u8>,
}

pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
    /// Encoded and not yet written.
    unwritten: Vec<u8>,
    last_msgid: u32,
    unanswered: usize,
    /// Responses that arrived before they were waited for, whole, by msgid.
    arrived: HashMap<u32, Vec<u8>>,
    notifications: VecDeque<Notification>,
    broken: bool,
}

/// A connected stream socket.
trait Stream: Read + Write + Send {}
impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// Requests that may be under way at once. Whoever writes without ever reading ends in a deadlock: the server
/// stops reading from a client that does not take its answers. So `send` reads when this many are unanswered.
const UNANSWERED_MAX: usize = 256;
/// What is written at once, at most.
const WRITE_BYTES_MAX: usize = 1 << 16;

/// A response or notification up to the field that differs: `[1, msgid, error, result]`, `[2, method, params]`.
type ResponseHead = (IgnoredAny, Option<u32>, Option<(u8, String)>, IgnoredAny);
type NotificationHead = (IgnoredAny, String, IgnoredAny);

impl Client {
    /// Connects to a unix socket. `timeout` is how long any single read or write may take.
    pub fn unix(path: &Path, timeout: Duration) -> Result<Self, Error> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self::new(Box::new(stream)))
    }

    /// Connects over TCP.
    pub fn tcp(address: impl ToSocketAddrs, timeout: Duration) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?; // a request is small, and somebody waits for its answer
        Ok(Self::new(Box::new(stream)))
    }

    fn new(stream: Box<dyn Stream>) -> Self {
        Client {
            stream: BufReader::with_capacity(WRITE_BYTES_MAX, stream),
            unwritten: Vec::new(),
            last_msgid: 0,
            unanswered: 0,
            arrived: HashMap::new(),
            notifications: VecDeque::new(),
            broken: false,
        }
    }

    /// Sends a request and waits for its reply.
    pub fn call<Q: Request>(&mut self, request: &Q) -> Result<Q::Reply, Error> {
        let ticket = self.send(request)?;
        self.wait(ticket)
    }

    /// Queues a request, its params as an array of the fields: how rmp-serde writes a struct, and the smaller form.
    pub fn send<Q: Request>(&mut self, request: &Q) -> Result<Ticket<Q::Reply>, Error> {
        let msgid = self.next_msgid()?;
        self.queue(|bytes| encode::write(bytes, &(0, msgid, Q::METHOD, request)))?;
        Ok(self.sent(msgid))
    }

    /// Queues a request, its params as a map of named fields: larger, and it survives another order of fields.
    pub fn send_named<Q: Request>(&mut self, request: &Q) -> Result<Ticket<Q::Reply>, Error> {
        let msgid = self.next_msgid()?;
        self.queue(|bytes| encode::write_named(bytes, &(0, msgid, Q::METHOD, request)))?;
        Ok(self.sent(msgid))
    }

    /// Queues a notification: a request that is never answered, not even if it is refused.
    pub fn notify<Q: Request>(&mut self, request: &Q) -> Result<(), Error> {
        self.check()?;
        self.queue(|bytes| encode::write(bytes, &(2, Q::METHOD, request)))?;
        self.flush_above(WRITE_BYTES_MAX)
    }

    /// Writes what is queued. `wait` does so by itself.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.flush_above(0)
    }

    /// The reply to a request that was sent. Other responses that come before it are kept for their tickets.
    pub fn wait<R: DeserializeOwned>(&mut self, ticket: Ticket<R>) -> Result<R, Error> {
        let message = loop {
            if let Some(message) = self.arrived.remove(&ticket.msgid) {
                break message;
            }
            self.receive_in_time()?;
        };
        let (_, _, refusal, _): ResponseHead = rmp_serde::from_slice(&message)?;
        if let Some((fault, text)) = refusal {
            return Err(Error::Refused(Refusal::new(fault, &text)));
        }
        let (_, _, _, reply): (IgnoredAny, IgnoredAny, IgnoredAny, R) = rmp_serde::from_slice(&message)?;
        Ok(reply)
    }

    /// The oldest notification not yet taken; waits for one, but not beyond the timeout: None.
    pub fn next_notification(&mut self) -> Result<Option<Notification>, Error> {
        while self.notifications.is_empty() {
            self.flush()?;
            if !self.receive()? {
                return Ok(None);
            }
        }
        Ok(self.notifications.pop_front())
    }

    fn next_msgid(&mut self) -> Result<u32, Error> {
        self.check()?;
        while self.unanswered >= UNANSWERED_MAX {
            self.receive_in_time()?;
        }
        self.flush_above(WRITE_BYTES_MAX)?;
        self.last_msgid = self.last_msgid.wrapping_add(1);
        Ok(self.last_msgid)
    }

    /// Encodes a message behind those that are to be written; all of it or nothing.
    fn queue(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), encode::Error>) -> Result<(), Error> {
        let before = self.unwritten.len();
        encode(&mut self.unwritten).map_err(|error| {
            self.unwritten.truncate(before);
            error.into()
        })
    }

    fn sent<R>(&mut self, msgid: u32) -> Ticket<R> {
        self.unanswered += 1;
        Ticket { msgid, reply: PhantomData }
    }

    fn flush_above(&mut self, bytes: usize) -> Result<(), Error> {
        self.check()?;
        if self.unwritten.len() > bytes {
            let written = self.stream.get_mut().write_all(&self.unwritten);
            self.unwritten.clear();
            written.map_err(|error| self.fail(error.into()))?;
        }
        Ok(())
    }

    /// Writes what is queued and reads one message, which must come before the timeout.
    fn receive_in_time(&mut self) -> Result<(), Error> {
        self.flush()?;
        if self.receive()? {
            return Ok(());
        }
        Err(self.fail(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time").into()))
    }

    /// Reads one message and puts it where it belongs; false if none began before the timeout.
    fn receive(&mut self) -> Result<bool, Error> {
        self.check()?;
        let message = match self.read_message() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(false),
            Err(error) => return Err(self.fail(error)),
        };
        let kept = match message.get(1) {
            Some(2) => self.keep_notification(message),
            _ => self.keep_response(message),
        };
        kept.map_err(|error| self.fail(error))?;
        Ok(true)
    }

    fn keep_notification(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let (_, method, _): NotificationHead = rmp_serde::from_slice(&message)?;
        self.notifications.push_back(Notification { method, message });
        Ok(())
    }

    fn keep_response(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let (_, msgid, refusal, _): ResponseHead = rmp_serde::from_slice(&message)?;
        match (msgid, refusal) {
            (Some(msgid), _) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.arrived.insert(msgid, message);
                Ok(())
            }
            // An answer to no request in particular: the connection was refused, or is about to be closed.
            (None, Some((fault, text))) => Err(Error::Refused(Refusal::new(fault, &text))),
            (None, None) => Err(Error::Unexpected("a response without a msgid".into())),
        }
    }

    /// The bytes of the next message, whole; None if none began before the timeout. MessagePack has no length in
    /// front: decoding into `IgnoredAny` finds the end, and what it reads on the way is kept.
    fn read_message(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            match self.stream.fill_buf().map_err(|error| (error.kind(), error)) {
                Ok([]) => return Err(closed().into()),
                Ok(_) => break,
                Err((io::ErrorKind::Interrupted, _)) => continue, // by a signal
                Err((io::ErrorKind::WouldBlock, _)) => return Ok(None),
                Err((_, error)) => return Err(error.into()),
            }
        }
        let mut message = Vec::with_capacity(128);
        let recorder = Recorder { stream: &mut self.stream, read: &mut message };
        IgnoredAny::deserialize(&mut Deserializer::new(recorder))?;
        Ok(Some(message))
    }

    fn check(&self) -> Result<(), Error> {
        if self.broken {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "this connection failed before").into());
        }
        Ok(())
    }

    /// After a failed read or write nobody knows where in the stream we are: the client is of no use any more.
    fn fail(&mut self, error: Error) -> Error {
        self.broken = true;
        error
    }
}

impl Notification {
    /// What it tells: params are an array of arguments, and the server sends one.
    pub fn params<P: DeserializeOwned>(&self) -> Result<P, Error> {
        let (_, _, (params,)): (IgnoredAny, IgnoredAny, (P,)) = rmp_serde::from_slice(&self.message)?;
        Ok(params)
    }
}

/// Reads from a stream and keeps what it read.
struct Recorder<'a, R> {
    stream: &'a mut R,
    read: &'a mut Vec<u8>,
}

impl<R: Read> Read for Recorder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.read.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}
