//! The daemon as a child process: started, waited for, stopped, and never left behind.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where the daemon is to listen.
pub enum Listen {
    Unix(PathBuf),
    /// Port 0: the daemon finds a free one and says which.
    Tcp(String),
}

pub struct Daemon {
    child: Child,
    /// The daemon leaves when this closes (`--parent-watch`): also when we are killed and run no destructor.
    /// Rust opens pipes close-on-exec, so no other child of ours can hold it open.
    stdin: Option<ChildStdin>,
    /// Kept open, so that nothing the daemon might print finds a closed pipe.
    _stdout: BufReader<ChildStdout>,
    /// The one line of JSON it printed when it was ready.
    pub ready: String,
}

impl Daemon {
    /// Starts `command serve …` and returns once it accepts connections. Its log goes to our standard error.
    pub fn spawn(command: &[OsString], state_dir: &Path, listen: &Listen) -> io::Result<Self> {
        let mut serve = Command::new(&command[0]);
        serve.args(&command[1..]).args(["serve", "--parent-watch", "--state"]).arg(state_dir);
        match listen {
            Listen::Unix(path) => serve.arg("--unix").arg(path),
            Listen::Tcp(address) => serve.arg("--tcp").arg(address),
        };
        let mut child = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout was piped"));
        let mut ready = String::new();
        let read = stdout.read_line(&mut ready);
        let mut daemon = Daemon { child, stdin, _stdout: stdout, ready };
        read?; // only now: the daemon is stopped when `daemon` is dropped
        if !daemon.ready.starts_with('{') {
            let status = daemon.leave(Duration::from_secs(5))?; // it says why on standard error
            return Err(io::Error::new(io::ErrorKind::Other, format!("the daemon did not start: {status}")));
        }
        Ok(daemon)
    }

    /// The TCP address in the ready line, `"tcp":["127.0.0.1",4242]`. (The unix path is the one we asked for.)
    /// No JSON parser is needed for a line this flat: a quote inside a string is escaped, so `"tcp":` cannot
    /// stand in one.
    pub fn tcp_address(&self) -> Option<(String, u16)> {
        let value = self.ready.split_once("\"tcp\":")?.1.trim_start().strip_prefix('[')?;
        let (host, port) = value.split_once(']')?.0.split_once(',')?;
        Some((host.trim().trim_matches('"').to_owned(), port.trim().parse().ok()?))
    }

    /// Closes the daemon's standard input and waits for it to drain, snapshot and leave.
    pub fn stop(mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.leave(patience)
    }

    fn leave(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.stdin = None;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the daemon is still running"));
            }
            thread::sleep(Duration::from_millis(10)); // std has no wait with a timeout
        }
    }
}

impl Drop for Daemon {
    /// A way out that is not `stop`: let it leave, and kill it if it does not.
    fn drop(&mut self) {
        if self.leave(Duration::from_secs(5)).is_err() {
            let _ = self.child.kill(); // what was acknowledged is durable all the same
            let _ = self.child.wait();
        }
    }
}
