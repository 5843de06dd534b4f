//! [`Partner`]: the third party of `examples/third_party` as a test sees it. Its log is the judge.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::stage::{Running, Stage, program};

/// The third party, running; it ends when it is forgotten.
pub struct Partner {
    /// `http://127.0.0.1:…`
    pub url: String,
    process: Running,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lowercase.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Partner {
    /// Starts it on a free port; what it keeps is in the stage's folder, so that it can be started anew.
    pub fn start(stage: &Stage, args: &[&str]) -> Self {
        let args = [&["--port", "0", "--db", "partner.db"], args].concat();
        let mut process = Running::of(stage.command_of(&program("third_party"), &args));
        Self { url: process.line(), process }
    }

    /// Kills it.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Changes how it behaves.
    #[track_caller]
    pub fn control(&self, change: &Value) -> Value {
        let answer = self.ask("POST", "/_control", &[], &change.to_string()).expect("it answers");
        assert_eq!(answer.status, 200, "{change}: {answer:?}");
        answer.body
    }

    /// Sends a request with the token; `None` if no answer came.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Option<Answer> {
        let headers = [&[("authorization", "Bearer test-token")], headers].concat();
        self.ask(method, path, &headers, &if body.is_null() { String::new() } else { body.to_string() })
    }

    /// What it saw, in order.
    pub fn log(&self) -> Vec<Value> {
        let text = self.text("GET", "/_log", &[], "").expect("it answers");
        let (_, lines) = text.split_once("\r\n\r\n").expect("a head");
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The lines of the log with this word.
    pub fn logged(&self, what: &str) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["what"] == what).collect()
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
        let text = self.text(method, path, headers, body)?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
        let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_string()));
        Some(Answer { status, headers, body })
    }

    /// One request and everything that comes back until the connection is closed; `None` if nothing does.
    fn text(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").expect("an address")).ok()?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        // HTTP/1.0: nothing comes in chunks, and the connection is closed behind the answer.
        let head = format!("{method} {path} HTTP/1.0\r\nhost: partner\r\n{headers}content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
        let mut bytes = Vec::new();
        // What came before the connection broke is what came.
        let _ = stream.read_to_end(&mut bytes);
        if bytes.is_empty() { None } else { Some(String::from_utf8_lossy(&bytes).into_owned()) }
    }
}
