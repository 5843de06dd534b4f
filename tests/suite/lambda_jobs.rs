//! The jobs on AWS: photos, calls with keys, secrets from AWS, rows into PostgreSQL.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use crate::import_shop::Shop;
use crate::lambda_runtime::{Environment, batch, lines};
use crate::s3_server::{BUCKET, RESULTS, S3Server};
use crate::stage::{Stage, program};

fn photo(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/workflows/samples/photos/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a sample")
}

/// An object as the reader of Step Functions lists it.
fn listed(key: &str, bytes: &[u8], etag: &str) -> Value {
    json!({ "Etag": etag, "Key": key, "LastModified": 1_793_527_200, "Size": bytes.len(), "StorageClass": "STANDARD" })
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_are_made_small_and_damaged_ones_told() {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    let yaml = std::fs::read_to_string(format!("{}/workflows/resize-photos.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    stage.write("workflow.yaml", yaml);
    let mut environment = Environment::new(&stage, &s3).await;
    let (roof, cactus) = (photo("abstract-roof-01.jpg"), photo("cactus-01.jpg"));
    let mut items = Vec::new();
    for (name, bytes) in [("a.jpg", &roof[..]), ("b.jpg", &cactus[..]), ("torn.jpg", &roof[..roof.len() / 2])] {
        s3.put(&format!("in/{name}"), bytes.to_vec());
        items.push(listed(&format!("in/{name}"), bytes, ""));
    }
    s3.put("in/folder/", "");
    items.push(listed("in/folder/", b"", ""));
    items.push(listed("in/gone.jpg", &roof, ""));
    items.push(listed("in/a.jpg", &roof, "\"00000000000000000000000000000000\""));
    let params = json!({ "source": { "bucket": BUCKET, "prefix": "in/" }, "destination": format!("s3://{BUCKET}/small/") });
    let answer = environment.invoke(batch(params, 0, items)).await.unwrap();
    assert_eq!(answer["counts"]["succeeded"], 2, "{answer}");
    let found: Vec<(String, String, Value)> = lines(&s3)
        .into_iter()
        .map(|line| {
            (line["key"].as_str().unwrap().to_string(), line["status"].as_str().unwrap().to_string(), line["error"].clone())
        })
        .collect();
    let expected = [
        ("bucket/in/a.jpg", "failed", json!("Item.Changed")),
        ("bucket/in/a.jpg", "succeeded", Value::Null),
        ("bucket/in/b.jpg", "succeeded", Value::Null),
        ("bucket/in/folder/", "skipped", Value::Null),
        ("bucket/in/gone.jpg", "failed", json!("Item.NotFound")),
        ("bucket/in/torn.jpg", "failed", json!("Image.Truncated")),
    ];
    let mut sorted = found;
    sorted.sort_by_key(|(key, status, _)| (key.clone(), status.clone()));
    assert_eq!(sorted, expected.map(|(key, status, error)| (key.to_string(), status.to_string(), error)));
    assert!(s3.get("small/a.jpg").is_some() && s3.get("small/b.jpg").is_some() && s3.get("small/torn.jpg").is_none());
    let to: Vec<Value> =
        lines(&s3).into_iter().filter(|line| line["status"] == "succeeded").map(|line| line["to"].clone()).collect();
    assert!(to.contains(&json!("s3://bucket/small/a.jpg")) && to.contains(&json!("s3://bucket/small/b.jpg")), "{to:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_carries_the_same_key() {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    stage.write(
        "workflow.yaml",
        "fanfold: 1\nname: notes\nparams: { source: { type: path } }\nitems: { jsonl: { source: '{{ params.source }}' }, key: position }\n\
         job: { pay: { log: log.txt, steps: 2, repeat: keyed, on_unknown: retry, cure: cure } }\n",
    );
    let mut environment = Environment::new(&stage, &s3).await;
    let params = || json!({ "source": { "bucket": BUCKET, "key": "in.jsonl" } });
    let items = || {
        (0..10).map(|n| json!({ "id": format!("i{n}"), "at": if n == 4 { "s2" } else { "" }, "what": if n == 4 { "abort after" } else { "" } }))
    };
    let (name, _) = environment.invoke(batch(params(), 0, items())).await.unwrap_err();
    assert_eq!(name, "Runtime.ExitError");
    stage.write("cure", "");
    let mut again = batch(params(), 0, items());
    again["BatchInput"]["asked"]["again"] = json!(1);
    assert_eq!(environment.invoke(again).await.unwrap()["counts"]["succeeded"], 10);
    let log = stage.log();
    let keys = |what: &str| log.iter().filter(|line| line.starts_with(what)).cloned().collect::<Vec<_>>();
    let effects = keys("effect ");
    assert_eq!((effects.len(), effects.iter().collect::<BTreeSet<_>>().len()), (20, 20), "each effect once: {effects:?}");
    let arrived = keys("arrived i4 s2 ");
    assert!(arrived.len() == 2 && arrived[0] == arrived[1], "{arrived:?}");
    // A position means something else in another run.
    let mut other = batch(params(), 0, items());
    other["BatchInput"]["run"] = json!("r2");
    other["BatchInput"]["results"]["prefix"] = json!("notes/r2/");
    environment.invoke(other).await.unwrap();
    assert_eq!(stage.log().iter().filter(|line| line.starts_with("effect ")).collect::<BTreeSet<_>>().len(), 40);
}

/// A partner that asks everybody to wait, and says how often it was called.
async fn partner(wait: &'static str) -> (String, Arc<Mutex<u32>>) {
    let calls = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&calls);
    let answer = move || {
        *seen.lock().unwrap() += 1;
        std::future::ready((StatusCode::TOO_MANY_REQUESTS, [("retry-after", wait)], "later"))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/bills", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), calls)
}

/// Puts a workflow there that sends a bill for each item, under a key that is good for so long.
fn bills(stage: &Stage, url: &str, ttl: &str) {
    stage.write(
        "workflow.yaml",
        format!(
            "fanfold: 1\nname: notes\nparams: {{ source: {{ type: path }} }}\n\
             items: {{ jsonl: {{ source: '{{{{ params.source }}}}' }}, key: '{{{{ item.id }}}}' }}\n\
             job: {{ http_chain: {{ base_url: '{url}', steps: [{{ name: bill, post: /bills, idempotency: {{ ttl: {ttl} }} }}] }} }}\n"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sits_through_a_long_pause_that_a_partner_asks_for() {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    let params = || json!({ "source": { "bucket": BUCKET, "key": "in.jsonl" } });
    let bill = |n: usize| json!({ "id": format!("i{n}") });
    // A long one, and one that would be sat through if there were time.
    for (first, wait, timeout) in [(0, "600", 60), (10, "19", 3)] {
        let (url, calls) = partner(wait).await;
        bills(&stage, &url, "24h");
        let mut environment = Environment::of(&stage, &s3, program("test_jobs"), first as u32).await;
        environment.timeout = std::time::Duration::from_secs(timeout);
        let answer = environment.invoke(batch(params(), first, (0..4).map(bill))).await.unwrap();
        let until = answer["wait_until"].as_str().expect("a pause");
        let until = time::OffsetDateTime::parse(until, &time::format_description::well_known::Rfc3339).unwrap();
        let left = (until - time::OffsetDateTime::now_utc()).whole_seconds();
        let asked: i64 = wait.parse().unwrap();
        assert!((asked / 2..=asked + 1).contains(&left), "{left} of {asked}: {answer}");
        assert_eq!(answer["counts"]["pending"], 4, "{answer}");
        assert!(*calls.lock().unwrap() <= 4, "nobody calls in a pause");
    }
    assert!(lines(&s3).is_empty());
}

/// Secrets Manager and the parameter store, with one secret each; remembers what was asked.
async fn keeper() -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let answer = move |headers: HeaderMap, body: String| {
        let seen = Arc::clone(&seen);
        async move {
            let target = headers["x-amz-target"].to_str().unwrap().to_string();
            let body: Value = serde_json::from_str(&body).unwrap();
            seen.lock().unwrap().push(format!("{target} {body}"));
            let found = match (target.as_str(), body["SecretId"].as_str().or(body["Name"].as_str()).unwrap()) {
                ("secretsmanager.GetSecretValue", "notes/token") => {
                    json!({ "Name": "notes/token", "SecretString": "s3cr3t-token" })
                }
                ("AmazonSSM.GetParameter", "/notes/other") => {
                    json!({ "Parameter": { "Name": "/notes/other", "Value": "0ther-s3cr3t" } })
                }
                _ => {
                    let error = json!({ "__type": "ResourceNotFoundException", "message": "it is not there" });
                    return (StatusCode::BAD_REQUEST, error.to_string());
                }
            };
            (StatusCode::OK, found.to_string())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_aws_once_and_stand_nowhere() {
    let (stage, s3, (keeper, asked)) = (Stage::new(), S3Server::start().await, keeper().await);
    let workflow = |token: &str| {
        format!(
            "fanfold: 1\nname: notes\nparams: {{ source: {{ type: path }} }}\n\
             secrets: {{ token: {{ aws: {token} }}, other: {{ env: OTHER, aws: 'ssm:/notes/other' }}, unused: {{ aws: not/there }} }}\n\
             items: {{ jsonl: {{ source: '{{{{ params.source }}}}' }}, key: '{{{{ item.id }}}}' }}\n\
             job: {{ note: {{ log: log.txt, says: '{{{{ secrets.token }}}} or {{{{ secrets.other }}}}' }} }}\n"
        )
    };
    stage.write("workflow.yaml", workflow("notes/token"));
    let mut environment = Environment::new(&stage, &s3).await.with("AWS_ENDPOINT_URL", keeper.clone());
    let params = || json!({ "source": { "bucket": BUCKET, "key": "in.jsonl" } });
    for first in [0, 10] {
        let item = json!({ "id": format!("i{first}"), "what": "permanent" });
        environment.invoke(batch(params(), first, [item])).await.unwrap();
    }
    let failed: BTreeSet<String> = lines(&s3).iter().map(|line| line["cause"].as_str().unwrap().to_string()).collect();
    assert_eq!(failed, ["*** or ***".to_string()].into());
    environment.end();
    let said: String = environment.said.iter().map(|done| format!("{}{}", done.out, done.err)).collect();
    let kept: String = s3.all(RESULTS).values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    for secret in ["s3cr3t-token", "0ther-s3cr3t"] {
        assert!(!said.contains(secret) && !kept.contains(secret), "{said}{kept}");
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "each is asked for once: {asked:?}");
    assert!(asked.iter().any(|asked| asked.contains(r#""WithDecryption":true"#)), "{asked:?}");
    stage.write("workflow.yaml", workflow("notes/gone"));
    let mut environment = Environment::of(&stage, &s3, program("test_jobs"), 1).await.with("AWS_ENDPOINT_URL", keeper);
    let (name, cause) = environment.invoke(batch(params(), 0, [json!({ "id": "i0" })])).await.unwrap_err();
    let told = "`notes/gone`, which holds the secret `token`, cannot be read: ResourceNotFoundException: it is not there";
    assert_eq!((name.as_str(), cause.as_str()), ("Worker.Refused", told));
}

mod import_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs PostgreSQL"]
    async fn each_row_is_written_once_whoever_is_asked_and_however_often() {
        let (shop, s3) = (Shop::postgres(), S3Server::start().await);
        shop.stage.write(
            "workflow.yaml",
            format!(
                "fanfold: 1\nname: notes\nparams: {{ source: {{ type: path }} }}\n\
                 items: {{ csv: {{ source: '{{{{ params.source }}}}', header: first_row, strict: false }} }}\n\
                 job: {{ csv_import: {{ database: '{}', table: t, create_table: true, columns: {{ id: integer, name: text }} }} }}\n",
                shop.url.as_deref().unwrap()
            ),
        );
        let event = |first: u64| {
            let row =
                |n: u64| json!({ "id": if n % 100 == 50 { "x".to_string() } else { n.to_string() }, "name": format!("row {n}") });
            batch(json!({ "source": { "bucket": BUCKET, "key": "in.csv" } }), first, (first..first + 200).map(row))
        };
        // One dies behind its commit, before it says so.
        let mut dies =
            Environment::of(&shop.stage, &s3, program("test_jobs"), 9).await.with("FANFOLD_CRASH_AT", "after rows written:1");
        let (name, _) = dies.invoke(event(0)).await.unwrap_err();
        assert_eq!(name, "Runtime.ExitError");
        assert_eq!(shop.number("SELECT count(*) FROM t"), 198);
        let mut environments = Vec::new();
        for name in 0..4 {
            environments.push(Environment::of(&shop.stage, &s3, program("test_jobs"), name).await);
        }
        // First each its own, so that all of them are ready; then all of them the same, but for a few at the beginning, which somebody
        // has written down as done.
        for firsts in [[0, 200, 400, 600], [800; 4], [1000; 4], [1200; 4], [1400; 4], [1600; 4]] {
            let mut replies = Vec::new();
            for (known, (environment, first)) in environments.iter_mut().zip(firsts).enumerate() {
                let mut event = event(first);
                if firsts[0] == firsts[1] {
                    event["BatchInput"]["batch"] = json!(first);
                    event["Items"].as_array_mut().unwrap().drain(..known);
                }
                replies.push(environment.hand_out(event));
            }
            for (environment, reply) in environments.iter_mut().zip(replies) {
                assert_eq!(environment.answer(reply).await.unwrap()["counts"]["failed"], 2);
            }
        }
        assert_eq!(shop.sql("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t"), "1782|1782|0|1799");
        assert_eq!(shop.left_behind().lines().collect::<BTreeSet<_>>().len(), 1, "the notes of the run stay");
        let failed: BTreeSet<String> = lines(&s3).iter().filter_map(|line| Some(line["error"].as_str()?.to_string())).collect();
        assert_eq!(failed, ["Csv.InvalidValue".to_string()].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_item_is_taken_as_it_is_now() {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    let yaml = std::fs::read_to_string(format!("{}/workflows/resize-photos.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    stage.write("workflow.yaml", yaml);
    let mut environment = Environment::new(&stage, &s3).await;
    let roof = photo("abstract-roof-01.jpg");
    s3.put("in/a.jpg", roof.clone());
    let params = json!({ "source": { "bucket": BUCKET, "prefix": "in/" }, "destination": format!("s3://{BUCKET}/small/") });
    let mut event = batch(params, 7, [listed("in/a.jpg", &roof, "\"00000000000000000000000000000000\"")]);
    environment.invoke(event.clone()).await.unwrap();
    // In the same round it is the same item, whatever version of it is listed now.
    event["Items"][0]["value"]["LastModified"] = json!(1_793_527_201);
    assert_eq!(environment.invoke(event.clone()).await.unwrap()["counts"]["failed"], 1);
    event["BatchInput"]["round"] = json!(1);
    let answer = environment.invoke(event).await.unwrap();
    assert_eq!((&answer["batch"], &answer["counts"]["succeeded"]), (&json!(7), &json!(1)));
    let parts: Vec<String> = s3.all(RESULTS).into_keys().filter(|name| name.ends_with(".jsonl")).collect();
    assert!(parts.len() == 2 && parts[1].contains("/batches/0001/0000000007/"), "{parts:?}");
}
