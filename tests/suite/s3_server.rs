//! An S3 of our own in the same process: lists in pages, keeps conditions, and fails on demand.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use fanfold::storage::{S3Endpoint, Storages};
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, RANGE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The bucket that is meant where none is named.
pub const BUCKET: &str = "bucket";

/// Where the workers of AWS leave what they did.
pub const RESULTS: &str = "results";

/// What the server does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// 503, AWS's word for "too many requests".
    SlowDown,
    /// 403.
    Denied,
    /// Half of the body, then the connection is closed.
    HalfTheBody,
    /// So many bytes of the body, then the connection is closed.
    CutAt(usize),
    /// Half of the body, then the connection is closed, and the object is another one.
    Replaced,
    /// The same, and then it is gone.
    Removed,
    /// 301 to another region.
    OtherRegion,
    /// 400, the token is too old.
    ExpiredToken,
}

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub struct S3Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

type Objects = BTreeMap<String, Bytes>;

#[derive(Default)]
struct State {
    buckets: BTreeMap<String, Objects>,
    faults: VecDeque<Fault>,
    requests: Vec<String>,
    without_ranges: bool,
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

impl S3Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        server.state().buckets = [BUCKET, RESULTS].map(|name| (name.to_string(), Objects::new())).into();
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    // A client that goes away, or a body that breaks off on purpose.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    pub fn storages(&self, scratch: &str) -> Storages {
        let endpoint = S3Endpoint {
            url: format!("http://{}", self.address),
            region: "eu-west-1".into(),
            access_key: "test".into(),
            secret_key: "test".into(),
        };
        Storages::at_endpoint(scratch, endpoint)
    }

    /// What a program needs in its environment to find this server instead of AWS.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL_S3", format!("http://{}", self.address)),
            ("AWS_REGION", "eu-west-1".to_string()),
            ("AWS_ACCESS_KEY_ID", "test".to_string()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_string()),
            // Nothing of the one who runs the tests.
            ("AWS_CONFIG_FILE", "/dev/null".to_string()),
        ]
    }

    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.objects(BUCKET, |objects| objects.insert(key.to_string(), bytes.into()));
    }

    pub fn put_into(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        self.objects(bucket, |objects| objects.insert(key.to_string(), bytes.into()));
    }

    pub fn remove(&self, key: &str) {
        self.objects(BUCKET, |objects| objects.remove(key));
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.objects(BUCKET, |objects| objects.get(key).cloned())
    }

    /// Everything in a bucket.
    pub fn all(&self, bucket: &str) -> BTreeMap<String, Bytes> {
        self.objects(bucket, |objects| objects.clone())
    }

    fn objects<T>(&self, bucket: &str, look: impl FnOnce(&mut Objects) -> T) -> T {
        look(self.state().buckets.get_mut(bucket).expect("a bucket that there is"))
    }

    /// The keys that begin so.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.objects(BUCKET, |objects| objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    /// The next requests fail so, one after another.
    pub fn fail(&self, faults: &[Fault]) {
        self.state().faults = faults.iter().copied().collect();
    }

    /// Answers with whole objects whatever part is asked for, as some stores do.
    pub fn without_ranges(&self) {
        self.state().without_ranges = true;
    }

    /// Method and path of every request so far, and the part that it asked for.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = decode(head.uri.path());
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
        let header = |name: HeaderName| head.headers.get(name).map(|value| value.to_str().unwrap().to_string());
        let body = body.collect().await.unwrap().to_bytes();
        assert!(header(HeaderName::from_static("content-encoding")).is_none(), "bodies are sent in one piece");

        let mut state = self.state();
        let range = header(RANGE).map(|range| format!(" {range}")).unwrap_or_default();
        state.requests.push(format!("{} {path}{range}", head.method));
        let fault = state.faults.pop_front();
        match fault {
            Some(Fault::SlowDown) => {
                let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.");
                answer.headers_mut().insert(RETRY_AFTER, "7".parse().unwrap());
                return answer;
            }
            Some(Fault::Denied) => return error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied"),
            Some(Fault::ExpiredToken) => {
                return error(StatusCode::BAD_REQUEST, "ExpiredToken", "The provided token has expired.");
            }
            Some(Fault::OtherRegion) => {
                let mut answer = error(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect", "Use the specified endpoint.");
                answer.headers_mut().insert("x-amz-bucket-region", "us-west-2".parse().unwrap());
                return answer;
            }
            Some(Fault::HalfTheBody | Fault::CutAt(_) | Fault::Replaced | Fault::Removed) | None => {}
        }
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let without_ranges = state.without_ranges;
        let Some(objects) = state.buckets.get_mut(bucket) else {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist");
        };
        let found = objects.get(key).cloned();
        match head.method {
            Method::HEAD if key.is_empty() => answer(StatusCode::OK, ""),
            Method::HEAD => match found {
                Some(bytes) => object(&bytes, None, None),
                None => answer(StatusCode::NOT_FOUND, ""),
            },
            Method::GET if key.is_empty() => list(objects, &query),
            Method::GET => match (found, header(IF_MATCH)) {
                (None, _) => error(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist."),
                (Some(bytes), Some(expected)) if expected != etag(&bytes) => error(
                    StatusCode::PRECONDITION_FAILED,
                    "PreconditionFailed",
                    "At least one of the pre-conditions did not hold",
                ),
                (Some(bytes), _) => {
                    let range = header(RANGE).filter(|_| !without_ranges);
                    let from = range.map(|range| range["bytes=".len()..range.len() - 1].parse().unwrap());
                    match fault {
                        Some(Fault::Replaced) => {
                            let other: Vec<u8> = bytes.iter().rev().copied().collect();
                            objects.insert(key.to_string(), other.into());
                        }
                        Some(Fault::Removed) => drop(objects.remove(key)),
                        _ => {}
                    }
                    let rest = bytes.len() - from.unwrap_or(0);
                    let cut = match fault {
                        Some(Fault::HalfTheBody | Fault::Replaced | Fault::Removed) => Some(rest / 2),
                        Some(Fault::CutAt(length)) => Some(length.min(rest)),
                        _ => None,
                    };
                    object(&bytes, from, cut)
                }
            },
            Method::PUT => {
                if found.is_some() && header(IF_NONE_MATCH).as_deref() == Some("*") {
                    return error(
                        StatusCode::PRECONDITION_FAILED,
                        "PreconditionFailed",
                        "At least one of the pre-conditions did not hold",
                    );
                }
                let mut answer = answer(StatusCode::OK, "");
                answer.headers_mut().insert(ETAG, etag(&body).parse().unwrap());
                objects.insert(key.to_string(), body);
                answer
            }
            Method::DELETE => {
                objects.remove(key);
                answer(StatusCode::NO_CONTENT, "")
            }
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "not here"),
        }
    }
}

/// `ListObjectsV2`, 1,000 keys a page.
fn list(objects: &BTreeMap<String, Bytes>, query: &BTreeMap<String, String>) -> Answer {
    let of = |name: &str| query.get(name).cloned().unwrap_or_default();
    assert_eq!(of("list-type"), "2");
    assert_eq!(of("encoding-type"), "url", "control characters cannot be written otherwise");
    let token = decode(&of("continuation-token"));
    let (prefix, after) = (of("prefix"), if token.is_empty() { of("start-after") } else { token });
    let page = of("max-keys").parse().unwrap_or(1000).min(1000);
    let mut keys = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && (after.is_empty() || **key > after));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><EncodingType>url</EncodingType>");
    let mut last = String::new();
    for (key, bytes) in keys.by_ref().take(page) {
        let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        xml.push_str(&format!(
            "<Contents><Key>{encoded}</Key><LastModified>2026-11-01T10:00:00.000Z</LastModified><ETag>&quot;{}&quot;</ETag>\
             <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            etag(bytes).trim_matches('"'),
            bytes.len()
        ));
        last = encoded.replace('+', "%20");
    }
    let more = keys.next().is_some();
    xml.push_str(&format!("<IsTruncated>{more}</IsTruncated>"));
    if more {
        xml.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    xml.push_str("</ListBucketResult>");
    answer(StatusCode::OK, &xml)
}

/// Not MD5, but as much a version as S3's.
fn etag(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("\"{hash:032x}\"")
}

fn object(whole: &Bytes, from: Option<usize>, cut: Option<usize>) -> Answer {
    let bytes = whole.slice(from.unwrap_or(0)..);
    let part = bytes.slice(..cut.unwrap_or(bytes.len()));
    let data = stream::iter([Ok(Frame::data(part))]);
    // What was written is sent when the body is waited for; an error at once would take the head of the answer with it.
    let broken = stream::once(async {
        tokio::task::yield_now().await;
        Err(io::Error::other("on purpose"))
    });
    let frames = data.chain(broken).take(if cut.is_some() { 2 } else { 1 });
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    answer.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
    answer.headers_mut().insert(ETAG, etag(whole).parse().unwrap());
    if let Some(from) = from {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
        answer.headers_mut().insert(CONTENT_RANGE, range.parse().unwrap());
    }
    answer
}

fn answer(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::from(text.to_string())).map_err(|never| match never {});
    let mut answer = Response::new(BodyExt::boxed(body));
    *answer.status_mut() = status;
    answer
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    answer(status, &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn decode(path: &str) -> String {
    // A plus is itself in a path.
    let query = format!("x={}", path.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).next().unwrap().1.into_owned()
}
