//! [`Tokens`]: a token by client credentials (OAuth 2), fetched when it is needed and shared by all items.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::config::OAuth2;
use super::headers::{Tainted, Wrong};
use super::request::host;
use super::seen;
use crate::base64::{STANDARD, base64};
use crate::call::{Answer, NoAnswer};
use crate::expression::Scope;
use crate::job::{Attempt, JobError, Wire, WireRequest};
use crate::secrets::Secrets;

/// What the call is called in a test of a workflow.
const STEP: &str = "token";

/// The most bytes of the answer.
const MOST: u64 = 64 * 1024;

/// A token is not used in the last part of its life: it has to arrive, too.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a token lives that does not say so.
const UNSAID: Duration = Duration::from_secs(300);

/// How often an answer that makes no sense is asked for again.
const TRIES: u32 = 5;

/// The token of a job.
#[derive(Debug)]
pub(super) struct Tokens {
    url: Url,
    host: String,
    authorization: Tainted,
    body: String,
    timeout: Duration,
    /// Held while one is fetched, so that it is fetched once.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// How often one was fetched.
    fetched: u32,
}

/// A token that was given.
#[derive(Debug)]
pub(super) struct Token {
    value: Tainted,
    until: Instant,
}

impl Token {
    /// The value of `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.value.reveal())
    }
}

impl Tokens {
    /// # Errors
    /// The setting that cannot be worked out, and why.
    pub fn new(oauth: &OAuth2, timeout: Duration, scope: &Scope<'_>) -> Result<Option<Self>, Wrong> {
        let text = |name: &str, setting: &crate::expression::Setting<String>| {
            setting.get(scope).map_err(|error| (format!("auth.oauth2.{name}"), error))
        };
        let Ok(url) = Url::parse(&oauth.token_url) else { return Ok(None) };
        // RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
        let encoded = |text: String| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let both = format!(
            "{}:{}",
            encoded(text("client_id", &oauth.client_id)?),
            encoded(text("client_secret", &oauth.client_secret)?)
        );
        let padding = "=".repeat((3 - both.len() % 3) % 3);
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &oauth.scope), ("audience", &oauth.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        Ok(Some(Self {
            host: host(&url),
            url,
            authorization: Tainted::new(format!("Basic {}{padding}", base64(both.as_bytes(), STANDARD))),
            body: form.finish(),
            timeout,
            held: Mutex::default(),
        }))
    }

    /// The token, fetched if there is none that still lives, or if that is the one that was refused.
    ///
    /// # Errors
    /// None is given: for good, or not now.
    ///
    /// # Cancel safety
    /// Dropped, a call for a token may be wasted; nothing else is lost.
    pub async fn get(
        &self,
        attempt: &Attempt<'_>,
        wire: &dyn Wire,
        secrets: &Secrets,
        refused: Option<&Arc<Token>>,
    ) -> Result<Arc<Token>, JobError> {
        let mut held = self.held.lock().await;
        let is_good =
            |token: &&Arc<Token>| Instant::now() < token.until && !refused.is_some_and(|refused| Arc::ptr_eq(refused, token));
        if let Some(token) = held.token.as_ref().filter(is_good) {
            return Ok(Arc::clone(token));
        }
        held.token = None;
        let (token, lives) = self.fetch(attempt, wire, secrets, held.fetched).await?;
        held.fetched += 1;
        secrets.learn(&token);
        let token = Arc::new(Token { value: Tainted::new(token), until: Instant::now() + lives });
        held.token = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn fetch(
        &self,
        attempt: &Attempt<'_>,
        wire: &dyn Wire,
        secrets: &Secrets,
        call: u32,
    ) -> Result<(String, Duration), JobError> {
        let mut tries = 0;
        let mut wait = Duration::from_millis(250);
        loop {
            attempt.permit(&self.host).await?;
            let answer = wire.exchange(self.request(call)).await;
            attempt.heard(&self.host, &answer);
            let why = match &answer {
                Ok(answer) if (200..300).contains(&answer.status) => match read(answer) {
                    Some(token) => return Ok(token),
                    None => "it gave no token".to_string(),
                },
                Ok(answer) => format!("it answered {}: {}", answer.status, seen::start(&answer.body)),
                Err(NoAnswer::Unusable { status, cause }) => format!("it answered {status}: {cause}"),
                Err(
                    NoAnswer::NotSent(why)
                    | NoAnswer::Lost(why)
                    | NoAnswer::TimedOut(why)
                    | NoAnswer::Refused(why)
                    | NoAnswer::Surroundings(why),
                ) => why.clone(),
            };
            let why = format!("no token from `{}`: {}", self.host, secrets.scrub(&why));
            let is_away = match &answer {
                Ok(answer) => match answer.status {
                    429 | 502..=504 => true,
                    400..=499 if answer.status != 408 => return Err(JobError::surroundings(why)),
                    _ => false,
                },
                Err(NoAnswer::NotSent(_)) => true,
                Err(NoAnswer::Surroundings(_) | NoAnswer::Refused(_)) => return Err(JobError::surroundings(why)),
                Err(_) => false,
            };
            // While the host is away its permits wait, and end the run if that takes too long: it costs the item nothing.
            tries += u32::from(!is_away);
            if tries >= TRIES {
                return Err(JobError::transient(why).named("Http.NoToken"));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(30));
        }
    }

    fn request(&self, call: u32) -> WireRequest {
        let header = |name: &str, value: &str| (name.to_string(), value.to_string());
        WireRequest {
            step: STEP.to_string(),
            call,
            method: "POST".to_string(),
            url: self.url.clone(),
            headers: vec![
                header("authorization", self.authorization.reveal()),
                header("content-type", "application/x-www-form-urlencoded"),
                header("accept", "application/json"),
            ],
            body: self.body.clone().into(),
            timeout: self.timeout,
            max_response: MOST,
        }
    }
}

/// The token of an answer, and how long it may be used.
fn read(answer: &Answer) -> Option<(String, Duration)> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let token = body["access_token"].as_str().filter(|token| !token.is_empty())?;
    // Some write it as a text.
    let lives = body["expires_in"].as_f64().or_else(|| body["expires_in"].as_str()?.parse().ok());
    let lives =
        lives.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(UNSAID).min(Duration::from_secs(86_400));
    // One that lives shorter than the margin is used for half its life.
    Some((token.to_string(), lives.saturating_sub(MARGIN).max(lives / 2)))
}
