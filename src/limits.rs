//! AWS quotas and fanfold's own bounds as named constants, each with unit, source and the date it was checked.

/// The longest input of a child execution, in bytes of UTF-8 JSON (AWS Step Functions quotas, checked 2026-10-07; hard).
pub const CHILD_INPUT_BYTES: usize = 256 * 1024;

/// Parallel child executions of one map run (AWS Step Functions quotas, checked 2026-10-07; hard).
pub const MAP_CONCURRENCY: u32 = 10_000;

/// The longest output of one item, in bytes of JSON: what the next item of a lane may see, here and on AWS.
pub const OUTPUT_BYTES: usize = 64 * 1024;
