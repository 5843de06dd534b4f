//! A server that says, byte for byte, what a test wants it to say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The method and the target: `GET /a?b=c`.
    pub line: String,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Which request of all, and which one of its connection, from 0.
    pub number: usize,
    pub in_connection: usize,
}

impl Arrived {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes; the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, then the end of the connection.
    Last(Vec<u8>),
    /// These bytes, then nothing for ever.
    Hang(Vec<u8>),
    /// These bytes again and again.
    Endless(Vec<u8>),
}

impl Reply {
    pub fn json(status: u16, body: &str) -> Self {
        Self::with(status, &[("content-type", "application/json")], body.as_bytes())
    }

    pub fn with(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut bytes = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        headers.iter().for_each(|(name, value)| bytes.extend(format!("{name}: {value}\r\n").bytes()));
        bytes.extend(b"\r\n");
        bytes.extend(body);
        Self::Bytes(bytes)
    }
}

/// A server and what has arrived there.
pub struct Server {
    pub address: SocketAddr,
    pub arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(&Arrived) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&arrived), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move { talk(stream, &log, &*answer).await });
            }
        });
        Self { address, arrived }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("not poisoned").clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }
}

/// One connection, over TLS or not.
pub async fn talk(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    log: &Mutex<Vec<Arrived>>,
    answer: &(dyn Fn(&Arrived) -> Reply + Send + Sync),
) {
    let mut buffer = Vec::new();
    for in_connection in 0.. {
        let Some(mut request) = read(&mut stream, &mut buffer).await else { return };
        {
            let mut log = log.lock().expect("not poisoned");
            (request.number, request.in_connection) = (log.len(), in_connection);
            log.push(request.clone());
        }
        let written = match answer(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await,
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Hang(bytes) => {
                let _ = stream.write_all(&bytes).await;
                std::future::pending::<()>().await;
                return;
            }
            Reply::Endless(bytes) => loop {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            },
        };
        if written.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin), buffer: &mut Vec<u8>) -> Option<Arrived> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_string();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, length)| length.parse().expect("a length"));
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
    buffer.drain(..end + length);
    Some(Arrived { line, headers, body, number: 0, in_connection: 0 })
}
