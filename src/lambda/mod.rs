//! The worker as a Lambda function.

mod claims;
mod fold;
mod gate;
#[cfg(test)]
mod tests;
mod unreached;

pub(crate) use gate::{Gate, Verdict};
