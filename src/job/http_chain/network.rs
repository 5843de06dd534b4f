//! [`Network`]: requests over the network, by reqwest.
//!
//! # Why
//! Nothing that sends twice may be in here (2026-11-23): redirects and retries of reqwest are off. What is left is hyper's own, which
//! takes another connection when a kept one was closed before any byte of the request was written, and proves that by giving the
//! request back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, Request, Response, redirect, retry};

use super::address::{self, Resolver};
use super::fault::{self, Watched};
use super::request::host;
use crate::call::{Answer, NoAnswer};
use crate::job::{JobError, Sent, Wire, WireRequest};

/// How long it may take until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The most bytes of an answer's header fields.
const MOST_HEADERS: usize = 64 * 1024;

/// What the environment calls a proxy by.
const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// What the network needs to know of a job.
#[derive(Debug, Clone, Default)]
pub(super) struct NetworkSettings {
    pub ca_file: Option<PathBuf>,
    pub allow_link_local: bool,
}

/// Sends requests over the network. Its connections are kept and shared by everything that runs at once.
#[derive(Debug)]
pub(super) struct Network {
    client: Client,
    /// For this machine itself, which no proxy can reach.
    direct: Client,
    allow_link_local: bool,
}

impl Network {
    /// # Errors
    /// Certificates that cannot be read, here or those of the system.
    pub fn new(settings: &NetworkSettings) -> Result<Self, JobError> {
        let mut certificates = Vec::new();
        if let Some(file) = &settings.ca_file {
            let wrong = |error: &dyn std::fmt::Display| JobError::surroundings(format!("`ca_file`, {}: {error}", file.display()));
            let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
            certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&fault::deepest(&error)))?;
            if certificates.is_empty() {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
        let builder = || {
            let builder = Client::builder()
                .user_agent(concat!("fanfold/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // None at all, so that reqwest keeps no copy of each request either.
                .retry(retry::never().max_retries_per_request(0))
                .referer(false)
                .connect_timeout(CONNECT)
                .tls_certs_merge(certificates.iter().cloned());
            if settings.allow_link_local { builder } else { builder.dns_resolver(Resolver) }
        };
        let built = |client: reqwest::Result<Client>| {
            client.map_err(|error| JobError::surroundings(format!("no requests can be made: {}", fault::deepest(&error))))
        };
        let direct = built(builder().no_proxy().build())?;
        let proxied = PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let client = if proxied { built(builder().build())? } else { direct.clone() };
        Ok(Self { client, direct, allow_link_local: settings.allow_link_local })
    }

    async fn send(&self, request: WireRequest) -> Result<Answer, NoAnswer> {
        if !self.allow_link_local && address::refused_host(&request.url) {
            let host = request.url.host_str().unwrap_or_default();
            return Err(NoAnswer::Refused(format!(
                "`{host}` is a link-local address, where clouds keep the credentials of a machine"
            )));
        }
        let client = if address::is_loopback(&request.url) { &self.direct } else { &self.client };
        let most = request.max_response;
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| NoAnswer::Refused(format!("`{}` is not a method", request.method)))?;
        let is_head = method == Method::HEAD;
        let host = host(&request.url);
        let mut sent = Request::new(method, request.url);
        *sent.headers_mut() = headers(&request.headers)?;
        *sent.timeout_mut() = Some(request.timeout);
        let begun = (!request.body.is_empty()).then(|| {
            let begun = Arc::new(AtomicBool::new(false));
            *sent.body_mut() = Some(Watched::body(request.body, Arc::clone(&begun)));
            begun
        });
        match client.execute(sent).await {
            Ok(response) => read(response, most, is_head).await,
            Err(error) => Err(fault::before_answer(&error, &host, begun.as_deref())),
        }
    }
}

impl Wire for Network {
    fn exchange(&self, request: WireRequest) -> Sent<'_, Result<Answer, NoAnswer>> {
        Box::pin(self.send(request))
    }
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, NoAnswer> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| NoAnswer::Refused("a header field has a name that cannot be".to_string()))?;
        // The value may be a secret: it is not shown.
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| NoAnswer::Refused(format!("the value of the header field `{name}` cannot be sent")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The whole answer, no more of it than `most` bytes at any time.
async fn read(mut response: Response, most: u64, is_head: bool) -> Result<Answer, NoAnswer> {
    let status = response.status().as_u16();
    let too_large = || NoAnswer::Unusable { status, cause: format!("the body is larger than {most} bytes, `max_response`") };
    let mut fields = 0;
    let mut headers = Vec::with_capacity(response.headers().len());
    for (name, value) in response.headers() {
        fields += name.as_str().len() + value.len();
        headers.push((name.as_str().to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    if fields > MOST_HEADERS {
        return Err(NoAnswer::Unusable {
            status,
            cause: format!("the header fields have {fields} bytes, at most {MOST_HEADERS} are kept"),
        });
    }
    if !is_head && response.content_length().is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut body = Bytes::new();
    let mut more: Option<BytesMut> = None;
    let mut length: u64 = 0;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Err(fault::in_answer(&error, status, length)),
        };
        length += chunk.len() as u64;
        if length > most {
            return Err(too_large());
        }
        // Nearly every answer comes in one piece, which need not be copied.
        match &mut more {
            Some(more) => more.extend_from_slice(&chunk),
            None if body.is_empty() => body = chunk,
            None => {
                let mut all = BytesMut::with_capacity(body.len() + chunk.len());
                all.extend_from_slice(&body);
                all.extend_from_slice(&chunk);
                more = Some(all);
            }
        }
    }
    Ok(Answer { status, headers, body: more.map_or(body, BytesMut::freeze) })
}
