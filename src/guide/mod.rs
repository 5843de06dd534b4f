//! The guide: how to use fanfold, chapter by chapter.
//!
//! - [`workflow`]: the workflow file, every setting of it
//! - [`running`]: running, stopping, resuming, redriving; what is printed and where runs are kept
//! - [`images`]: the job `image_resize`
//! - [`csv`]: the job `csv_import`
//! - [`order`]: one after another: lanes, what is behind a failed item, `previous`
//! - [`chain`]: the job `http_chain`: ordered calls to a third party
//! - [`aws`]: runs on AWS: started, followed, stopped, resumed, redriven, looked at
//! - [`definition`]: the state machine of a workflow on AWS, and the rules that any definition has to keep
//! - [`job`]: writing a job of one's own
//! - [`partner`]: finding out whether a partner knows a request again
//! - [`guarantees`]: what is promised, and the limits of it
//! - [`compare`]: how it compares
//!
//! The workflows in it are checked by the tests of fanfold, and its commands are run.

#[doc = include_str!("aws.md")]
pub mod aws {}

#[doc = include_str!("chain.md")]
pub mod chain {}

#[doc = include_str!("compare.md")]
pub mod compare {}

#[doc = include_str!("csv.md")]
pub mod csv {}

#[doc = include_str!("definition.md")]
pub mod definition {}

#[doc = include_str!("guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("images.md")]
pub mod images {}

#[doc = include_str!("job.md")]
pub mod job {}

#[doc = include_str!("order.md")]
pub mod order {}

#[doc = include_str!("partner.md")]
pub mod partner {}

#[doc = include_str!("running.md")]
pub mod running {}

#[doc = include_str!("workflow.md")]
pub mod workflow {}
