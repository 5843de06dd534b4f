//! `fanfold worker`: takes batches from AWS Lambda.

use clap::Args;

use super::Surroundings;
use crate::error::{Error, Result};

/// Take batches from AWS Lambda, which starts this program by itself
#[derive(Debug, Args)]
pub struct WorkerVerb {}

impl WorkerVerb {
    /// Whoever comes here was not started by Lambda: then there would have been no verb to read.
    pub fn go(self, _: &Surroundings) -> Result<u8> {
        #[cfg(feature = "lambda")]
        {
            let needed = crate::lambda::NEEDED.join(", ");
            let error =
                Error::surroundings(format!("a worker is started by AWS Lambda, which sets {needed}; they are not set here"));
            Err(error.hint("`fanfold run` works on this machine"))
        }
        #[cfg(not(feature = "lambda"))]
        Err(Error::surroundings("this program was built without the worker for AWS Lambda")
            .hint("build it with the feature `lambda`"))
    }
}
