//! A workflow as AWS runs it: the state machine, its policies, and the rules that any definition has to keep.
//!
//! Pure: nothing here opens a file or asks AWS. [`check`](fn@check) holds a definition in the Amazon States Language to every documented
//! rule of it ([`RULES`]); [`Machine`] is the definition of a workflow, which passes it.
//!
//! # Why
//! What the fleet of workers cannot do yet is refused with its place and the reason, never done by halves (2026-11-23). The definition is
//! written in JSONPath, which every engine and validator knows, by types that have no field but those of the language.

mod check;
mod child;
mod children;
mod choice;
mod definition;
mod distributed;
mod document;
mod fields;
mod frame;
mod given;
mod item_reader;
mod machine;
mod paths;
mod policy;
mod refusals;
mod retriers;
mod rule;
mod sources;
mod states;

pub use check::check;
#[cfg(feature = "aws")]
pub(crate) use given::placeholder;
pub use machine::{Machine, fill, to_fill};
#[cfg(feature = "aws")]
pub(crate) use policy::{function_name, log_group};
pub use rule::{Finding, RULES, Rule};
