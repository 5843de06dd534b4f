//! The worker as a Lambda function: the same program, which serves instead of reading its arguments.
//!
//! A batch goes through the same [`Worker`](crate::worker::Worker) as on this machine. What differs is who hands it out (Step Functions),
//! where outcomes go (files of their own below the run's prefix) and that a worker has little time: it gives back what it did not do.
//! Nothing is read or opened before the first invocation.

mod aws;
mod claims;
mod desk;
mod event;
mod figures;
mod fold;
mod gate;
mod params;
mod parts;
mod refused;
mod same;
mod serve;
mod served;
#[cfg(test)]
mod tests;
mod time;
mod unreached;
mod waits;
mod work;

#[cfg(test)]
use gate::{Gate, Verdict};
pub(crate) use serve::{NEEDED, is_asked_for, serve};
