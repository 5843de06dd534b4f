//! The job `http_chain`, seen from outside: a run against a server of the test, and where its secret is not.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::stage::Stage;

const SECRET: &str = "t0p-s3cr3t/\"value";

/// Each request as `METHOD TARGET | authorization | key | body`.
type Log = Arc<Mutex<Vec<String>>>;

/// A server that gives customers and invoices, repeats the token wherever it can, and drops the first answer to each invoice.
fn server() -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let log = Log::default();
    let arrived = Arc::clone(&log);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = Arc::clone(&arrived);
            thread::spawn(move || talk(&stream, &log));
        }
    });
    (url, log)
}

fn talk(stream: &TcpStream, log: &Log) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let target = line.trim_end().trim_end_matches(" HTTP/1.1").to_string();
        let (mut authorization, mut key, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok()?;
            let Some((name, value)) = field.trim_end().split_once(": ") else { break };
            match name {
                "authorization" => authorization = value.to_string(),
                "idempotency-key" => key = value.to_string(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let is_first = {
            let mut log = log.lock().unwrap();
            let is_first = !key.is_empty() && !log.iter().any(|line| line.contains(&key));
            log.push(format!("{target} | {authorization} | {key} | {body}"));
            is_first
        };
        if is_first {
            return None;
        }
        let sent: Value = serde_json::from_str(&body).unwrap_or_default();
        let (status, answer) = match target.split(' ').next()? {
            "PUT" => (201, json!({ "id": format!("k-{}", sent["name"].as_str()?), "token": authorization })),
            "POST" if sent["cents"] == json!(0) => (422, json!({ "error": "nothing to pay", "token": authorization })),
            _ => (200, json!({ "number": sent["cents"], "token": authorization })),
        };
        let answer = answer.to_string();
        write!(
            &mut &*stream,
            "HTTP/1.1 {status} Said\r\nx-echo: {authorization}\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .ok()?;
    }
}

fn flow(stage: &Stage, url: &str) {
    stage.items([
        json!({ "id": "o1", "customer": "c/1", "amount": "19.99" }),
        json!({ "id": "o2", "customer": "c2", "amount": "0.10" }),
        json!({ "id": "o3", "customer": "c3", "amount": "0.00" }),
    ]);
    stage.write(
        "flow.yaml",
        format!(
            r#"
fanfold: 1
name: bills
secrets: {{ token: {{ env: BILLS_TOKEN }} }}
items: {{ jsonl: {{ source: items.jsonl }}, key: "{{{{ item.id }}}}" }}
retry: {{ initial_interval: 1ms, max_interval: 1ms }}
job:
  http_chain:
    base_url: {url}
    auth: {{ bearer: "{{{{ secrets.token }}}}" }}
    steps:
      - name: customer
        put: "/customers/{{{{ item.customer }}}}"
        json: {{ name: "{{{{ item.id }}}}" }}
        capture: {{ id: "{{{{ body.id }}}}", echo: "{{{{ body.token }}}} {{{{ headers['x-echo'] }}}}" }}
      - name: invoice
        post: /invoices
        json: {{ customer: "{{{{ steps.customer.id }}}}", cents: "{{{{ item.amount | cents }}}}" }}
        idempotency: {{}}
        capture: {{ number: "{{{{ body.number }}}}" }}
    output: {{ number: "{{{{ steps.invoice.number }}}}", echo: "{{{{ steps.customer.echo }}}}" }}
"#
        ),
    );
}

/// The bytes of every file below a folder.
fn everything(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        bytes.extend(if entry.is_dir() { everything(&entry) } else { fs::read(&entry).unwrap() });
    }
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_chain_is_done_item_by_item_and_its_secret_is_nowhere() {
    let stage = Stage::new();
    let (url, log) = server();
    flow(&stage, &url);
    let mut command = stage.command(&["run", "flow.yaml"]);
    let done = command.env("BILLS_TOKEN", SECRET).output().unwrap();
    let said = [done.stdout.as_slice(), done.stderr.as_slice()].concat();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&said));
    let run = stage.only_run();
    let results = stage.results(&run);
    let output = |id: &str| results[id]["output"].clone();
    assert_eq!(output("o1"), json!({ "number": 1999, "echo": "Bearer *** Bearer ***" }));
    assert_eq!(output("o2")["number"], json!(10));
    let failed = results["o3"].to_string();
    assert!(failed.contains("Http.Status.422") && failed.contains("nothing to pay"), "{failed}");
    let log = log.lock().unwrap().clone();
    assert!(log.iter().all(|line| line.contains(&format!("| Bearer {SECRET} |"))), "{log:?}");
    assert_eq!(log.iter().filter(|line| line.starts_with("PUT /customers/c%2F1 |")).count(), 1, "{log:?}");
    // Each invoice was sent twice, under one key: the first answer was dropped.
    let mut keys: Vec<_> =
        log.iter().filter(|line| line.starts_with("POST")).map(|line| line.split(" | ").nth(2).unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys.len(), 6);
    keys.dedup();
    assert_eq!(keys.len(), 3);
    let kept = [said, everything(&stage.path(".fanfold"))].concat();
    assert!(has(&kept, "nothing to pay"), "what is kept was read");
    for spelling in ["t0p-s3cr3t", "dDBwLXMzY3IzdC"] {
        assert!(!has(&kept, spelling), "{spelling} is kept or shown");
    }
}

#[test]
fn a_dry_run_shows_the_first_request_without_secrets_and_sends_nothing() {
    let stage = Stage::new();
    let (url, log) = server();
    flow(&stage, &url);
    let done = stage.run(&["run", "flow.yaml", "--dry-run"]).ended(0);
    let shown =
        format!("  PUT {url}/customers/c%2F1\n  authorization: ***\n  content-type: application/json\n\n  {{\"name\":\"o1\"}}\n");
    assert!(done.out.contains(&shown), "{}", done.out);
    assert!(log.lock().unwrap().is_empty());
}
