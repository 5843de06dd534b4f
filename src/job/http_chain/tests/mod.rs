//! What the job does, against servers on this machine.

mod auth;
mod chain;
mod evidence;
mod network;
mod secrecy;
mod server;
mod stage;
