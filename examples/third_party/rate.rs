//! [`Bucket`]: the rate that is kept. A second's worth may come at once.

use std::time::Instant;

/// Tokens that come back at a rate, at most a second's worth of them.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(rate: f64) -> Self {
        Self { rate, tokens: rate.max(1.0), at: Instant::now() }
    }

    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Another rate, from nothing: what came at the old one is not there any more.
    pub fn change(&mut self, rate: f64) {
        self.rate = rate;
        self.tokens = self.tokens.min(rate.max(1.0));
    }

    /// Takes a token; otherwise says in how many seconds there is one.
    pub fn take(&mut self) -> Result<(), f64> {
        let now = Instant::now();
        let most = self.rate.max(1.0);
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * self.rate).min(most);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err((1.0 - self.tokens) / self.rate)
    }

    /// `RateLimit-Policy` and `RateLimit` as in the draft of the IETF: what is left, and in how many seconds all of it is back.
    pub fn fields(&self) -> [(&'static str, String); 2] {
        let most = self.rate.max(1.0);
        let whole = ((most - self.tokens) / self.rate).ceil();
        [
            ("ratelimit-policy", format!("\"default\";q={most:.0};w=1")),
            ("ratelimit", format!("\"default\";r={:.0};t={whole:.0}", self.tokens.floor())),
        ]
    }
}
