//! [`S3`]: a prefix of a bucket, through the AWS SDK: any endpoint that speaks S3.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Builder, Credentials, ProvideCredentials, Region};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, Object as Listed};
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{Location, Object, OnExists, PAGE, Put, S3Endpoint, StorageError, StorageErrorKind as Kind, decode_key};
use crate::error::causes;

/// The SDK retries twice by itself before an item's own retries begin.
const TRIES: u32 = 3;
/// How long a connection may take, and how long the first byte of an answer; a body that stalls is cut off by the SDK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The client, made when it is first needed.
#[derive(Debug)]
pub(super) struct S3Client {
    endpoint: Option<S3Endpoint>,
    /// In place of the environment's.
    region: Option<String>,
    client: OnceCell<Client>,
}

impl S3Client {
    pub fn from_environment() -> Self {
        Self { endpoint: None, region: None, client: OnceCell::new() }
    }

    pub fn at(endpoint: S3Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..Self::from_environment() }
    }

    #[cfg(feature = "aws")]
    pub fn in_region(region: &str) -> Self {
        Self { region: Some(region.to_string()), ..Self::from_environment() }
    }

    pub async fn open(&self, bucket: &str, prefix: &str) -> Result<S3, StorageError> {
        let location = Location::s3(bucket, prefix);
        let client = self.client.get_or_try_init(|| self.make(&location)).await?.clone();
        Ok(S3 { client, bucket: bucket.to_string(), prefix: prefix.to_string(), location })
    }

    async fn make(&self, location: &Location) -> Result<Client, StorageError> {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(timeouts)
            .retry_config(aws_config::retry::RetryConfig::standard().with_max_attempts(TRIES));
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(S3Endpoint { url, region, access_key, secret_key }) = &self.endpoint {
            loader = loader
                .endpoint_url(url)
                .region(Region::new(region.clone()))
                .credentials_provider(Credentials::new(access_key, secret_key, None, None, "given"));
        }
        let config = loader.load().await;
        let unusable = |detail: String| StorageError::new(Kind::Unusable, format!("`{location}`: {detail}"));
        if config.region().is_none() {
            return Err(unusable("no AWS region is set".to_string()).hint("set AWS_REGION"));
        }
        let provider = config.credentials_provider().ok_or_else(|| unusable("no AWS credentials were found".to_string()));
        if let Err(error) = provider?.provide_credentials().await {
            let found = unusable(format!("no AWS credentials were found: {}", DisplayErrorContext(&error)));
            return Err(found.hint("set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
        // A store that is not AWS has no name server entry for each bucket.
        let elsewhere = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        Ok(Client::from_conf(Builder::from(&config).force_path_style(elsewhere).build()))
    }
}

/// A prefix of a bucket.
#[derive(Debug)]
pub(super) struct S3 {
    client: Client,
    bucket: String,
    prefix: String,
    location: Location,
}

impl S3 {
    pub async fn get(&self, name: &str, expect: Option<&str>) -> Result<Bytes, StorageError> {
        let answer = self.ask(name, expect).await?;
        let length = answer.content_length();
        let body = answer.body.collect().await.map_err(|error| self.torn(name, &error))?.into_bytes();
        // A body that ends early with a polite end of the connection is not an error of the transport.
        match length {
            Some(length) if length != body.len() as i64 => {
                Err(self.torn(name, &format!("{} of {length} bytes came", body.len())))
            }
            _ => Ok(body),
        }
    }

    async fn ask(&self, name: &str, expect: Option<&str>) -> Result<GetObjectOutput, StorageError> {
        self.ask_from(name, expect, 0).await
    }

    /// Asks for an object from this byte on.
    async fn ask_from(&self, name: &str, expect: Option<&str>, from: u64) -> Result<GetObjectOutput, StorageError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(name)).set_if_match(expect.map(str::to_string));
        match request.set_range((from > 0).then(|| format!("bytes={from}-"))).send().await {
            Ok(answer) => Ok(answer),
            Err(error) if status(&error) == Some(412) => {
                let was = expect.unwrap_or("another version");
                let detail = format!("`{}` was {was} when it was listed and is not now", self.location.address(name));
                Err(StorageError::new(Kind::Changed, detail))
            }
            Err(error) => Err(self.explain(&self.location.address(name), &error)),
        }
    }

    /// The answer with the object from this byte on, which may begin elsewhere.
    pub async fn answer(&self, name: &str, expect: Option<&str>, from: u64) -> Result<Answer, StorageError> {
        let answer = self.ask_from(name, expect, from).await?;
        let begin = answer.content_range().and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
        Ok(Answer {
            from: begin.unwrap_or(0),
            length: answer.content_length().and_then(|length| length.try_into().ok()),
            etag: answer.e_tag().unwrap_or_default().to_string(),
            body: answer.body,
        })
    }

    /// The object as people write it.
    pub fn address(&self, name: &str) -> String {
        self.location.address(name)
    }

    pub async fn put(&self, name: &str, bytes: Bytes, exists: OnExists) -> Result<Put, StorageError> {
        let mut request = self.client.put_object().bucket(&self.bucket).key(self.key(name)).body(ByteStream::from(bytes));
        request = request.set_content_type(content_type(name).map(str::to_string));
        if exists != OnExists::Overwrite {
            request = request.if_none_match("*");
        }
        match request.send().await {
            Ok(_) => Ok(Put::Written),
            Err(error) if status(&error) == Some(412) => match exists {
                OnExists::Fail => {
                    Err(StorageError::new(Kind::Exists, format!("`{}` exists already", self.location.address(name))))
                }
                _ => Ok(Put::Kept),
            },
            Err(error) => Err(self.explain(&self.location.address(name), &error)),
        }
    }

    pub async fn exists(&self, name: &str) -> Result<bool, StorageError> {
        match self.client.head_object().bucket(&self.bucket).key(self.key(name)).send().await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(self.explain(&self.location.address(name), &error)),
        }
    }

    pub async fn writable(&self) -> Result<(), StorageError> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain(&format!("s3://{}/", self.bucket), &error)),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn torn(&self, name: &str, error: &dyn std::fmt::Display) -> StorageError {
        let detail = format!("`{}`: the answer ended early: {error}", self.location.address(name));
        StorageError::new(Kind::Transient, detail)
    }

    /// What an error of the SDK means, from AWS's error code where there is one and from the HTTP status where there is none.
    fn explain<E>(&self, address: &str, error: &SdkError<E, HttpResponse>) -> StorageError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let SdkError::ServiceError(answer) = error else {
            let context = DisplayErrorContext(error).to_string();
            let kind = match error {
                _ if context.contains("redentials") => Kind::Unusable,
                SdkError::ConstructionFailure(_) => Kind::Other,
                _ => Kind::Transient,
            };
            let said = if kind == Kind::Unusable {
                "there are no credentials".to_string()
            } else {
                format!("no answer: {}", causes(error))
            };
            return StorageError::new(kind, format!("`{address}`: {said}"));
        };
        let status = answer.raw().status().as_u16();
        let code = answer.err().code().unwrap_or_default();
        let said = match (code, answer.err().message()) {
            ("", _) => format!("HTTP status {status}"),
            (code, Some(message)) if !message.is_empty() => format!("{code}: {message}"),
            (code, _) => code.to_string(),
        };
        let header = |name| answer.raw().headers().get(name);
        let kind = match (code, status) {
            ("NoSuchBucket", _) => {
                let detail = format!("the bucket `{}` does not exist ({said})", self.bucket);
                return StorageError::new(Kind::NotFound, detail);
            }
            ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests", _)
            | (_, 429 | 503) => {
                let seconds = header("retry-after").and_then(|text| text.trim().parse().ok());
                Kind::Throttled { retry_after: seconds.map(Duration::from_secs) }
            }
            ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "RequestTimeTooSkewed", _)
            | ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed", _) => Kind::Unusable,
            ("PermanentRedirect" | "IllegalLocationConstraintException", _) | (_, 301 | 307) => {
                let region = header("x-amz-bucket-region").unwrap_or("another one");
                let detail = format!("`{address}`: the bucket is in region {region}, not in the one that is set ({said})");
                return StorageError::new(Kind::Unusable, detail).hint(format!("set AWS_REGION={region}"));
            }
            ("InvalidObjectState", _) => {
                let detail = format!("`{address}` is archived and must be restored before it can be read ({said})");
                return StorageError::new(Kind::Denied, detail);
            }
            ("KeyTooLongError", _) => Kind::BadName,
            ("QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => Kind::NoSpace,
            ("RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted", _) | (_, 408 | 409) => Kind::Transient,
            (_, 404) => Kind::NotFound,
            (_, 401 | 403) => Kind::Denied,
            // An answer that ends early, or is that of something in between.
            (_, 200..=299 | 500..) => Kind::Transient,
            _ => Kind::Other,
        };
        let words = match kind {
            Kind::NotFound => "does not exist",
            Kind::Denied => "access is denied",
            Kind::Throttled { .. } => "too many requests",
            Kind::Unusable => "the credentials are not accepted",
            Kind::NoSpace => "there is no space left",
            Kind::BadName => "the key is too long",
            _ => "the request failed",
        };
        StorageError::new(kind, format!("`{address}`: {words} ({said})"))
    }
}

/// An object, or the rest of it, on its way.
#[derive(Debug)]
pub(super) struct Answer {
    body: ByteStream,
    /// The first byte that comes.
    pub from: u64,
    /// How many bytes come, if that is said.
    pub length: Option<u64>,
    pub etag: String,
}

impl Answer {
    /// The next bytes, or why there are none.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.body.try_next().await.map_err(|error| causes(&error))
    }
}

/// The pages of `ListObjectsV2`.
#[derive(Debug)]
pub(super) struct S3Pages {
    s3: Arc<S3>,
    next: Next,
    /// The key behind which it begins.
    after: Option<String>,
}

#[derive(Debug)]
enum Next {
    First,
    From(String),
    End,
}

impl S3Pages {
    pub fn new(s3: Arc<S3>) -> Self {
        Self { s3, next: Next::First, after: None }
    }

    pub fn after(s3: Arc<S3>, name: &str) -> Self {
        let after = Some(s3.key(name));
        Self { s3, next: Next::First, after }
    }

    pub async fn next(&mut self) -> Result<Option<Vec<Object>>, StorageError> {
        loop {
            let token = match std::mem::replace(&mut self.next, Next::End) {
                Next::First => None,
                Next::From(token) => Some(token),
                Next::End => return Ok(None),
            };
            // XML has no way to write control characters: the keys come percent-encoded.
            let request = self.s3.client.list_objects_v2().bucket(&self.s3.bucket).prefix(&self.s3.prefix);
            let request = request.encoding_type(EncodingType::Url).max_keys(PAGE as i32).set_continuation_token(token);
            let request = request.set_start_after(self.after.clone());
            let answer = request.send().await.map_err(|error| self.s3.explain(&self.s3.location.to_string(), &error))?;
            if answer.is_truncated() == Some(true) {
                let Some(token) = answer.next_continuation_token() else {
                    let detail = format!("`{}`: the listing goes on, but does not say where", self.s3.location);
                    return Err(StorageError::new(Kind::Other, detail));
                };
                self.next = Next::From(token.to_string());
            }
            let encoded = answer.encoding_type() == Some(&EncodingType::Url);
            let page: Vec<_> =
                answer.contents.unwrap_or_default().into_iter().filter_map(|listed| self.object(listed, encoded)).collect();
            // A page may be empty and not the last.
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }

    fn object(&self, listed: Listed, encoded: bool) -> Option<Object> {
        let key = listed.key?;
        let (key, not_utf8) = if encoded { decode_key(&key) } else { (key, false) };
        Some(Object {
            // What is listed starts with the prefix that was asked for.
            name: key.strip_prefix(&self.s3.prefix).unwrap_or(&key).to_string(),
            not_utf8,
            size: listed.size.and_then(|size| size.try_into().ok()).unwrap_or(0),
            etag: listed.e_tag.unwrap_or_default(),
            last_modified: listed.last_modified.map_or(0, |time| time.secs()),
            storage_class: listed.storage_class.map_or_else(|| "STANDARD".to_string(), |class| class.as_str().to_string()),
        })
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// What browsers need to know of the formats that jobs write.
fn content_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "json" => "application/json",
        "csv" => "text/csv",
        _ => return None,
    })
}
