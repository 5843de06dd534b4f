//! What stands for Lambda: a runtime API of our own, which hands events to the real program, one after another.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::s3_server::{RESULTS, S3Server};
use crate::stage::{Done, Running, Stage, program};

/// How an invocation ended: with an answer, or with an error of this type and message.
pub type Answer = Result<Value, (String, String)>;

struct Event {
    body: Value,
    deadline_ms: u128,
    reply: oneshot::Sender<Answer>,
}

struct Shared {
    events: AsyncMutex<UnboundedReceiver<Event>>,
    replies: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    number: Mutex<u32>,
    name: u32,
}

/// One environment of a function: a process that takes one event at a time.
pub struct Environment {
    pub process: Option<Running>,
    events: UnboundedSender<Event>,
    command: Box<dyn Fn() -> Command + Send>,
    /// What processes that have ended said.
    pub said: Vec<Done>,
    /// Lambda's own timeout.
    pub timeout: Duration,
    /// Invocations so far.
    pub invoked: u32,
}

/// A child execution that has ended.
#[derive(Debug)]
pub struct Child {
    /// What the last worker answered, or why it is at its end.
    pub ended: Answer,
    /// The answers of all its workers.
    pub answers: Vec<Answer>,
}

impl Environment {
    /// A function of the workflow in `workflow.yaml` of the stage.
    pub async fn new(stage: &Stage, s3: &S3Server) -> Self {
        Self::of(stage, s3, program("test_jobs"), 0).await
    }

    /// One of several, by number.
    pub async fn of(stage: &Stage, s3: &S3Server, program: PathBuf, name: u32) -> Self {
        let (events, receiver) = unbounded_channel();
        let shared =
            Arc::new(Shared { events: AsyncMutex::new(receiver), replies: Mutex::default(), number: Mutex::default(), name });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let root = stage.path("");
        let environment: BTreeMap<String, String> = s3
            .environment()
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .chain([
                ("AWS_LAMBDA_RUNTIME_API".to_string(), address.to_string()),
                ("AWS_LAMBDA_FUNCTION_NAME".to_string(), "notes".to_string()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_string(), "1024".to_string()),
                ("AWS_LAMBDA_FUNCTION_VERSION".to_string(), "1".to_string()),
                ("LAMBDA_TASK_ROOT".to_string(), root.display().to_string()),
            ])
            .collect();
        let command = Box::new(move || {
            let mut command = Command::new(&program);
            command.current_dir(&root).env_clear().envs(&environment);
            command
        });
        let timeout = Duration::from_secs(60);
        Self { process: None, events, command, said: Vec::new(), timeout, invoked: 0 }
    }

    /// The same with one thing more in the environment of its processes.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let (command, value) = (self.command, value.into());
        self.command = Box::new(move || {
            let mut command = command();
            command.env(name, &value);
            command
        });
        self
    }

    /// Hands out an event. The answer comes once it is there; if the process dies, that is the answer.
    pub async fn invoke(&mut self, event: Value) -> Answer {
        let reply = self.hand_out(event);
        self.answer(reply).await
    }

    /// Hands out an event, for whoever waits for the answer later.
    pub fn hand_out(&mut self, body: Value) -> oneshot::Receiver<Answer> {
        if self.process.is_none() {
            self.process = Some(Running::of((self.command)()));
        }
        self.invoked += 1;
        let deadline = SystemTime::now() + self.timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis();
        let (reply, answer) = oneshot::channel();
        assert!(self.events.send(Event { body, deadline_ms, reply }).is_ok(), "the runtime API is there");
        answer
    }

    /// Waits for the answer, or for the end of the process.
    pub async fn answer(&mut self, mut reply: oneshot::Receiver<Answer>) -> Answer {
        loop {
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(10), &mut reply).await {
                return answer.expect("an answer");
            }
            let process = self.process.as_mut().expect("a process");
            if !process.is_running() {
                self.end();
                return Err(("Runtime.ExitError".to_string(), "the process is gone".to_string()));
            }
        }
    }

    /// Ends the process as Lambda does: at once.
    pub fn end(&mut self) {
        self.said.extend(self.process.take().map(Running::kill));
    }

    /// Every line of the log so far. Ends the process.
    pub fn log(&mut self) -> Vec<Value> {
        self.end();
        self.said.iter().flat_map(Done::lines).collect()
    }

    /// What the states of a child do with a batch, but for the waits.
    pub async fn child(&mut self, mut event: Value) -> Child {
        let mut answers = Vec::new();
        loop {
            let answer = self.invoke(event.clone()).await;
            answers.push(answer.clone());
            match answer {
                Ok(found) if found.get("wait_until").is_some() => {
                    event["BatchInput"] = found["rest"]["BatchInput"].clone();
                    event["Items"] = found["rest"]["Items"].clone();
                }
                Err((name, _)) if name != "Worker.Refused" => {
                    let again = event["BatchInput"]["asked"]["again"].as_u64().unwrap() + 1;
                    event["BatchInput"]["asked"] = json!({ "again": again });
                    if again > 10 {
                        return Child { ended: answers[answers.len() - 1].clone(), answers };
                    }
                }
                ended => return Child { ended, answers },
            }
        }
    }
}

/// The event of a batch of the run `r1`, with these items from this index on.
pub fn batch(params: Value, first: u64, items: impl IntoIterator<Item = Value>) -> Value {
    let items: Vec<Value> = (first..).zip(items).map(|(index, value)| json!({ "index": index, "value": value })).collect();
    json!({
        "BatchInput": {
            "run": "r1", "round": 0, "params": params, "results": { "bucket": RESULTS, "prefix": "notes/r1/" }, "asked": { "again": 0 },
        },
        "Items": items,
        "Child": { "name": format!("child-{first}"), "started": "2026-11-23T10:00:00.000Z" },
    })
}

/// Every outcome line in the results bucket below the run, in the order of the files.
pub fn lines(s3: &S3Server) -> Vec<Value> {
    let parts = s3.all(RESULTS).into_iter().filter(|(key, _)| key.starts_with("notes/r1/batches/") && key.ends_with(".jsonl"));
    let text: String = parts.map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The status of every item by key, of those that have one line.
#[track_caller]
pub fn statuses(s3: &S3Server) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let mut statuses = BTreeMap::new();
    for line in lines(s3) {
        let before = statuses.insert(text(&line["key"]), text(&line["status"]));
        assert_eq!(before, None, "{line} has one outcome");
    }
    statuses
}

async fn next(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    // Whoever asked before and died asks no more: what it was handed is not handed out again.
    let event = shared.events.lock().await.recv().await.expect("a test that goes on");
    let number = {
        let mut number = shared.number.lock().unwrap();
        *number += 1;
        *number
    };
    let id = format!("{:08}-req-{number:04}", shared.name);
    shared.replies.lock().unwrap().insert(id.clone(), event.reply);
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", event.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:notes".to_string()),
    ];
    (headers, event.body.to_string())
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> impl IntoResponse {
    assert!(body.len() <= 256 * 1024, "an answer has at most 256 KiB");
    reply(&shared, &id, Ok(serde_json::from_slice(&body).unwrap()));
    (axum::http::StatusCode::ACCEPTED, "{}")
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, _: HeaderMap, body: Bytes) -> impl IntoResponse {
    let error: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| error[name].as_str().unwrap().to_string();
    reply(&shared, &id, Err((text("errorType"), text("errorMessage"))));
    (axum::http::StatusCode::ACCEPTED, "{}")
}

fn reply(shared: &Shared, id: &str, answer: Answer) {
    let reply = shared.replies.lock().unwrap().remove(id).expect("each is answered once");
    // Who asked may have gone.
    let _ = reply.send(answer);
}
