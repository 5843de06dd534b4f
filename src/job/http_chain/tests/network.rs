//! The wire against servers that misbehave: what is certain of a request, and what is not.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::super::network::{Network, NetworkSettings};
use super::server::{Arrived, Reply, Server, talk};
use crate::call::{Answer, NoAnswer};
use crate::job::{Wire, WireRequest};

const KIB: u64 = 1024;

fn network() -> Network {
    Network::new(&NetworkSettings::default()).expect("a client")
}

fn request(method: &str, url: &str) -> WireRequest {
    WireRequest {
        step: "a".to_string(),
        call: 0,
        method: method.to_string(),
        url: Url::parse(url).expect("a URL"),
        headers: Vec::new(),
        body: if method == "POST" { Bytes::from_static(b"{}") } else { Bytes::new() },
        timeout: Duration::from_secs(60),
        max_response: 64 * KIB,
    }
}

async fn get(server: &Server) -> Result<Answer, NoAnswer> {
    network().exchange(request("GET", &server.url())).await
}

async fn answered(reply: Reply) -> Result<Answer, NoAnswer> {
    get(&Server::start(move |_| reply.clone()).await).await
}

fn said(bytes: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{bytes}").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("it is memory");
    encoder.finish().expect("it is memory")
}

#[tokio::test]
async fn a_whole_answer_comes_as_it_is() {
    let reply = Reply::with(201, &[("X-Two", "1"), ("x-two", "ü"), ("Retry-After", "3")], b"\xff\x00body");
    let answer = answered(reply).await.expect("an answer");
    assert_eq!((answer.status, &answer.body[..]), (201, &b"\xff\x00body"[..]));
    let header = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert_eq!(
        answer.headers,
        [header("content-length", "6"), header("x-two", "1"), header("x-two", "ü"), header("retry-after", "3")]
    );
    let zipped = gzip("äöü".repeat(100).as_bytes());
    let answer = answered(Reply::with(200, &[("content-encoding", "gzip")], &zipped)).await.expect("an answer");
    assert_eq!(answer.body, "äöü".repeat(100));
    let many = said("content-length: 60000\r\n\r\n").into_iter().chain(std::iter::repeat_n(b'x', 60_000)).collect();
    assert_eq!(answered(Reply::Bytes(many)).await.expect("in several pieces").body.len(), 60_000);
    let head = Server::start(|_| Reply::Bytes(said("content-length: 2147483648\r\n\r\n"))).await;
    assert_eq!(network().exchange(request("HEAD", &head.url())).await.expect("no body").status, 200);
}

#[tokio::test]
async fn an_answer_that_is_torn_is_lost_and_one_without_end_is_timed_out() {
    for bytes in [
        "content-length: 100\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo",
        "transfer-encoding: chunked\r\n\r\nzz\r\nhello",
        "content-le",
    ] {
        let heard = answered(Reply::Last(said(bytes))).await;
        assert!(matches!(heard, Err(NoAnswer::Lost(_))), "{bytes}: {heard:?}");
        let server = Server::start(move |_| Reply::Hang(said(bytes))).await;
        let short = WireRequest { timeout: Duration::from_millis(300), ..request("POST", &server.url()) };
        let heard = network().exchange(short).await;
        let torn_at_once = bytes.contains("zz");
        assert!(matches!(heard, Err(NoAnswer::TimedOut(_))) != torn_at_once, "{bytes}: {heard:?}");
    }
    for reply in [Reply::Last(Vec::new()), Reply::Last(b"SSH-2.0-OpenSSH\r\n".to_vec())] {
        let heard = answered(reply).await;
        assert!(matches!(heard, Err(NoAnswer::Lost(_))), "{heard:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_read_to_its_end() {
    let bomb = gzip(&vec![0; 10 << 20]);
    assert!(bomb.len() < 64 << 10, "it is small on the wire");
    let endless = said("\r\n").into_iter().chain(std::iter::repeat_n(b'x', 1 << 20)).collect();
    for reply in [
        Reply::with(200, &[("content-encoding", "gzip")], &bomb),
        Reply::Hang(said("content-length: 2147483648\r\n\r\nx")),
        Reply::Endless(endless),
        Reply::with(200, &[], &vec![b'x'; (64 << 10) + 1]),
    ] {
        let heard = answered(reply).await;
        let is_too_large = |cause: &str| cause == "the body is larger than 65536 bytes, `max_response`";
        assert!(matches!(&heard, Err(NoAnswer::Unusable { status: 200, cause }) if is_too_large(cause)), "{heard:?}");
    }
    let exact = answered(Reply::with(200, &[], &vec![b'x'; 64 << 10])).await;
    assert_eq!(exact.expect("as large as it may be").body.len(), 64 << 10);
    let field = "y".repeat(70 << 10);
    let heard = answered(Reply::with(200, &[("x", &field)], b"")).await;
    assert!(matches!(&heard, Err(NoAnswer::Unusable { .. })), "{heard:?}");
    for broken in [b"no gzip at all".to_vec(), gzip(b"hello")[..12].to_vec()] {
        let heard = answered(Reply::with(200, &[("content-encoding", "gzip")], &broken)).await;
        assert!(matches!(&heard, Err(NoAnswer::Unusable { .. })), "{heard:?}");
    }
}

#[tokio::test]
async fn what_was_never_sent_is_known() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    for method in ["GET", "POST"] {
        let heard = network().exchange(request(method, &url)).await;
        assert!(matches!(&heard, Err(NoAnswer::NotSent(why)) if why.contains("refused")), "{heard:?}");
    }
    let heard = network().exchange(request("GET", "http://no-such-host.invalid/")).await;
    assert!(matches!(heard, Err(NoAnswer::NotSent(_) | NoAnswer::Surroundings(_))), "{heard:?}");
    for url in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/", "https://[fd00:ec2::254]/"] {
        let heard = network().exchange(request("GET", url)).await;
        assert!(matches!(heard, Err(NoAnswer::Refused(_))), "{url}: {heard:?}");
    }
    let server = Server::start(|_| Reply::json(200, "{}")).await;
    for (name, value) in [("x y", "a"), ("x", "a\r\nb: c"), ("x", "\0")] {
        let headers = vec![(name.to_string(), value.to_string())];
        let heard = network().exchange(WireRequest { headers, ..request("GET", &server.url()) }).await;
        assert!(matches!(&heard, Err(NoAnswer::Refused(why)) if !why.contains("b: c")), "{heard:?}");
    }
    assert!(server.lines().is_empty());
}

/// A server closes connections that the client believes to be open, at the moment in which it uses them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meets_a_closing_connection_is_not_sent_only_if_it_did_not_arrive() {
    let server = Server::start(|request| match request.number % 3 {
        0 => Reply::json(200, "{}"),
        // It closes without a word beforehand.
        1 => Reply::Last(said("content-length: 2\r\n\r\n{}")),
        // It has read the request, and closes.
        _ => Reply::Last(Vec::new()),
    })
    .await;
    let network = Arc::new(network());
    let mut heard = Vec::new();
    for round in 0..100 {
        let calls = (0..4).map(|call| {
            let (network, url) = (Arc::clone(&network), format!("{}/{round}-{call}", server.url()));
            tokio::spawn(async move { network.exchange(request("POST", &url)).await })
        });
        for (call, sent) in calls.collect::<Vec<_>>().into_iter().enumerate() {
            heard.push((format!("POST /{round}-{call}"), sent.await.expect("no panic")));
        }
    }
    let arrived = server.lines();
    let mut lost = 0;
    for (line, heard) in &heard {
        let times = arrived.iter().filter(|known| *known == line).count();
        match heard {
            Ok(_) => assert_eq!(times, 1, "{line}"),
            Err(NoAnswer::NotSent(why)) => assert_eq!(times, 0, "{line}: {why}"),
            Err(NoAnswer::Lost(_)) => {
                lost += 1;
                assert!(times <= 1, "{line}");
            }
            Err(other) => panic!("{line}: {other:?}"),
        }
    }
    assert!(lost > 0, "the server did not misbehave");
}

fn certificates(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// A server that speaks TLS with a certificate of an authority that only a `ca_file` knows.
async fn tls(alpn: &[&str]) -> (String, Arc<Mutex<Vec<Arrived>>>, Arc<Mutex<Vec<String>>>) {
    let chain = vec![CertificateDer::from_pem_file(certificates("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(certificates("server.key")).expect("a key");
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    let (arrived, spoken) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (log, protocols) = (Arc::clone(&arrived), Arc::clone(&spoken));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, log, protocols) = (acceptor.clone(), Arc::clone(&log), Arc::clone(&protocols));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let protocol = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
                let is_h2 = protocol.as_deref() == Some("h2");
                protocols.lock().expect("not poisoned").push(protocol.unwrap_or_default());
                if is_h2 {
                    let service = hyper::service::service_fn(|_| async {
                        Ok::<_, std::convert::Infallible>(hyper::Response::new("by h2".to_string()))
                    });
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                        .serve_connection(io, service)
                        .await;
                } else {
                    talk(stream, &log, &|_| Reply::json(200, "{}")).await;
                }
            });
        }
    });
    (url, arrived, spoken)
}

#[tokio::test]
async fn a_certificate_is_trusted_with_its_authority_and_not_without() {
    let (url, arrived, _) = tls(&[]).await;
    let heard = network().exchange(request("POST", &url)).await;
    assert!(matches!(&heard, Err(NoAnswer::Surroundings(why)) if why.contains("certificate")), "{heard:?}");
    let with = |name: &str| NetworkSettings { ca_file: Some(certificates(name)), ..NetworkSettings::default() };
    let trusting = Network::new(&with("authority.pem")).expect("a client");
    assert_eq!(trusting.exchange(request("POST", &url)).await.expect("trusted").status, 200);
    // The certificate is for `localhost` and 127.0.0.1, and for no other name of this machine.
    let heard = trusting.exchange(request("POST", &url.replace("localhost", "a.localhost"))).await;
    assert!(matches!(heard, Err(NoAnswer::Surroundings(_))), "{heard:?}");
    assert_eq!(arrived.lock().expect("not poisoned").len(), 1);
    let plain = Server::start(|_| Reply::json(200, "{}")).await;
    let heard = network().exchange(request("GET", &plain.url().replace("http", "https"))).await;
    assert!(matches!(heard, Err(NoAnswer::Surroundings(_) | NoAnswer::NotSent(_))), "{heard:?}");
    for file in ["server.key", "nowhere.pem", "README.md"] {
        let error = Network::new(&with(file)).expect_err(file);
        assert!(error.cause().starts_with("`ca_file`, "), "{error}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let settings = NetworkSettings { ca_file: Some(certificates("authority.pem")), ..NetworkSettings::default() };
    for (alpn, expected) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1"), (&[], "")] {
        let (url, _, spoken) = tls(alpn).await;
        let answer = Network::new(&settings).expect("a client").exchange(request("POST", &url)).await.expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(*spoken.lock().expect("not poisoned"), [expected]);
    }
}
