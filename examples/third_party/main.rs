//! A billing API to try ordered calls on: it enforces a rate, needs a token, knows requests again by their key, misbehaves on
//! demand, and keeps a log of its own, which is the judge of fanfold's tests.
//!
//!     cargo run --release --example third_party -- --help
//!     cargo run --release --example third_party -- -- run workflows/bill-customers.yaml

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own")]

mod answer;
mod api;
mod call;
mod control;
mod desk;
mod faults;
mod log;
mod options;
mod rate;
mod server;
mod store;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use desk::Desk;
use options::Options;
use tokio::net::TcpListener;

/// The options, for the process that is also fanfold.
const OPTIONS: &str = "THIRD_PARTY_OPTIONS";

/// How this is called with a command of fanfold behind it: what fanfold's own hints begin with.
const CALLED: &str = "cargo run --release --example third_party --";

fn main() -> ExitCode {
    let answer = match std::env::var(OPTIONS) {
        Ok(options) => beside_fanfold(&options),
        Err(_) => alone(Options::parse()),
    };
    answer.unwrap_or_else(|error| {
        eprintln!("error: third party: {error}");
        ExitCode::from(4)
    })
}

/// Serves until it is ended.
fn alone(options: Options) -> Result<ExitCode, String> {
    if !options.fanfold.is_empty() {
        return Err(become_fanfold(&options));
    }
    let (runtime, listener, desk) = open(&options)?;
    let address = listener_address(&listener)?;
    println!("http://{address}");
    eprintln!("third party on http://{address}, bearer token `{}`; `--help` says what it does", options.token());
    runtime.block_on(server::serve(listener, desk)).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Starts anew, in the same process, as fanfold with its arguments and with the token where it looks for it. Comes back only if that
/// is not possible.
fn become_fanfold(options: &Options) -> String {
    let again = std::env::current_exe().map_err(|error| error.to_string()).and_then(|program| {
        let text = serde_json::to_string(options).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg0(CALLED).args(&options.fanfold).env(OPTIONS, text).env("BILLING_TOKEN", options.token());
        Ok(command.exec().to_string())
    });
    again.unwrap_or_else(|error| error)
}

/// Serves on a thread of its own while fanfold's command line runs on this one.
fn beside_fanfold(options: &str) -> Result<ExitCode, String> {
    let options: Options = serde_json::from_str(options).map_err(|error| format!("{OPTIONS}: {error}"))?;
    let (runtime, listener, desk) = open(&options)?;
    eprintln!("third party on http://{}", listener_address(&listener)?);
    let serving = Arc::clone(&desk);
    std::thread::spawn(move || runtime.block_on(server::serve(listener, serving)));
    let code = fanfold::main(fanfold::Jobs::builtin());
    let figures = desk.state().store.figures();
    eprintln!(
        "third party: {} customers, {} invoices, of them {} for an order that had one; {} order breaks",
        figures["customers"], figures["invoices"], figures["repeated_invoices"], figures["order_breaks"]
    );
    Ok(code)
}

fn open(options: &Options) -> Result<(tokio::runtime::Runtime, TcpListener, Arc<Desk>), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let port = options.port();
    let listener = {
        let _inside = runtime.enter();
        server::listen(port).map_err(|error| format!("port {port} of 127.0.0.1: {error}; another one by `--port`"))?
    };
    Ok((runtime, listener, Desk::new(options)?))
}

fn listener_address(listener: &TcpListener) -> Result<std::net::SocketAddr, String> {
    listener.local_addr().map_err(|error| error.to_string())
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
