//! A small AWS of our own in the same process: CloudFormation with one stack, and Step Functions whose executions do what a test says.
//!
//! An execution leaves in the bucket what workers and the gate leave there, written by hand: the names and lines of the guide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Axum;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::s3_server::{BUCKET, S3Server};

pub const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:stateMachine:thumbs";
pub const EXECUTION: &str = "arn:aws:states:eu-west-1:123456789012:execution:thumbs";
/// When everything here begins: 2026-11-23 10:00.
const BEGIN: u64 = 1_795_428_000;

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct AwsServer {
    address: SocketAddr,
    pub s3: S3Server,
    state: Arc<Mutex<State>>,
}

/// What there is, for a test to change.
pub struct State {
    /// The outputs of the stack; none if nothing is deployed.
    pub outputs: BTreeMap<&'static str, String>,
    pub stack_status: &'static str,
    /// The items of the source.
    pub items: Vec<Value>,
    pub batch: usize,
    /// The items that fail, and the error.
    pub failing: BTreeMap<u64, &'static str>,
    /// Items that have the key of another one, as the gate finds.
    pub doubles: BTreeSet<u64>,
    /// Items that workers do before they wait; `None` if they do not wait.
    pub hold_after: Option<usize>,
    /// Why a worker cannot begin, if it cannot.
    pub refused: Option<&'static str>,
    /// An error of the machine itself.
    pub broken: Option<(&'static str, &'static str)>,
    /// So many calls are throttled first.
    pub throttle: u32,
    pub executions: Vec<Execution>,
    /// The definition that is deployed.
    pub machine: Value,
    pub requests: Vec<(String, Value)>,
}

#[derive(Debug, Clone)]
pub struct Execution {
    pub name: String,
    pub input: Value,
    pub status: &'static str,
    error: Option<String>,
    cause: Option<String>,
    done: usize,
    total: usize,
    asked: u32,
    pub concurrency: u64,
    /// The definition that it began with.
    machine: Value,
}

impl AwsServer {
    pub async fn start() -> Self {
        let outputs = BTreeMap::from([
            ("StateMachineArn", MACHINE.to_string()),
            ("StateMachineAlias", format!("{MACHINE}:live")),
            ("ResultsBucket", BUCKET.to_string()),
            ("Deployment", "d0".to_string()),
        ]);
        let state = State {
            outputs,
            stack_status: "CREATE_COMPLETE",
            items: Vec::new(),
            batch: 2,
            failing: BTreeMap::new(),
            doubles: BTreeSet::new(),
            hold_after: None,
            refused: None,
            broken: None,
            throttle: 0,
            executions: Vec::new(),
            machine: json!({ "States": { "Map": { "ItemBatcher": { "MaxItemsPerBatch": 2 } }, "Redriven": {} } }),
            requests: Vec::new(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), s3: S3Server::start().await, state: Arc::new(Mutex::new(state)) };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        server
    }

    /// What a program needs in its environment to find this server instead of AWS.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let here = format!("http://{}", self.address);
        let mut all = vec![("AWS_ENDPOINT_URL_SFN", here.clone()), ("AWS_ENDPOINT_URL_CLOUDFORMATION", here)];
        all.extend(self.s3.environment());
        all
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often this was asked for.
    pub fn times(&self, action: &str) -> usize {
        self.state().requests.iter().filter(|(name, _)| name == action).count()
    }

    /// An execution that somebody starts elsewhere.
    pub fn begin(&self, name: &str, input: Value) {
        let mut state = self.state();
        state.begin(&self.s3, name, input);
    }

    fn call(&self, action: &str, body: &Value) -> Result<Value, (&'static str, String)> {
        let mut state = self.state();
        state.requests.push((action.to_string(), body.clone()));
        if state.throttle > 0 {
            state.throttle -= 1;
            return Err(("ThrottlingException", "Rate exceeded".to_string()));
        }
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_string();
        let of_arn = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_string();
        match action {
            "StartExecution" => {
                assert_eq!(text("stateMachineArn"), format!("{MACHINE}:live"), "runs are started on the alias");
                let (name, input) = (text("name"), serde_json::from_str::<Value>(&text("input")).unwrap());
                match state.executions.iter().find(|one| one.name == name) {
                    Some(known) if known.status != "RUNNING" || known.input != input => {
                        return Err(("ExecutionAlreadyExists", format!("Execution Already Exists: '{EXECUTION}:{name}'")));
                    }
                    Some(_) => {}
                    None => state.begin(&self.s3, &name, input),
                }
                Ok(json!({ "executionArn": format!("{EXECUTION}:{name}"), "startDate": BEGIN }))
            }
            "DescribeExecution" => {
                let name = of_arn(&text("executionArn"));
                if let Some(child) = name.strip_prefix("child-") {
                    let _ = child;
                    let cause = json!({ "errorType": "Worker.Refused", "errorMessage": state.refused }).to_string();
                    return Ok(json!({
                        "executionArn": text("executionArn"), "stateMachineArn": MACHINE, "name": name, "status": "FAILED", "startDate": BEGIN,
                        "error": "Worker.Refused", "cause": cause,
                    }));
                }
                let at = state.executions.iter().position(|one| one.name == name);
                let at = at.ok_or(("ExecutionDoesNotExist", format!("Execution Does Not Exist: '{}'", text("executionArn"))))?;
                let one = &state.executions[at];
                let stop = (one.status != "RUNNING").then_some(BEGIN + at as u64 * 60 + 30);
                let mut told = json!({
                    "executionArn": text("executionArn"), "stateMachineArn": MACHINE, "name": name, "status": one.status,
                    "startDate": BEGIN + at as u64 * 60, "input": one.input.to_string(),
                });
                for (key, value) in [("error", json!(one.error)), ("cause", json!(one.cause)), ("stopDate", json!(stop))] {
                    if !value.is_null() {
                        told[key] = value;
                    }
                }
                Ok(told)
            }
            "DescribeStateMachine" | "DescribeStateMachineForExecution" => {
                let name = of_arn(&text("executionArn"));
                let begun = state.executions.iter().find(|one| one.name == name).map(|one| &one.machine);
                let definition = if action == "DescribeStateMachine" { &state.machine } else { begun.expect("an execution") };
                Ok(json!({
                    "stateMachineArn": MACHINE, "name": "thumbs", "definition": definition.to_string(), "roleArn": "arn:aws:iam::1:role/r",
                    "type": "STANDARD", "creationDate": BEGIN, "updateDate": BEGIN,
                }))
            }
            "ListMapRuns" => {
                let name = of_arn(&text("executionArn"));
                let runs = match state.executions.iter().any(|one| one.name == name) {
                    true => json!([{
                        "executionArn": text("executionArn"), "stateMachineArn": MACHINE, "startDate": BEGIN,
                        "mapRunArn": format!("arn:aws:states:eu-west-1:123456789012:mapRun:thumbs/Map:{name}"),
                    }]),
                    false => json!([]),
                };
                Ok(json!({ "mapRuns": runs }))
            }
            "DescribeMapRun" => Ok(state.map_run(&self.s3, &of_arn(&text("mapRunArn")))),
            "ListExecutions" => Ok(json!({ "executions": [{
                "executionArn": format!("{EXECUTION}/Map:child-1"), "stateMachineArn": MACHINE, "name": "child-1", "status": "FAILED",
                "startDate": BEGIN,
            }] })),
            "StopExecution" => {
                let name = of_arn(&text("executionArn"));
                let one = state.executions.iter_mut().find(|one| one.name == name).unwrap();
                (one.status, one.error, one.cause) = ("ABORTED", Some(text("error")), Some(text("cause")));
                Ok(json!({ "stopDate": BEGIN }))
            }
            "UpdateMapRun" => {
                let name = of_arn(&text("mapRunArn"));
                let one = state.executions.iter_mut().find(|one| one.name == name).unwrap();
                one.concurrency = body["maxConcurrency"].as_u64().unwrap();
                Ok(json!({}))
            }
            other => panic!("{other} is not played here"),
        }
    }

    fn stack(&self, name: &str) -> (StatusCode, String) {
        let state = self.state();
        if name != "fanfold-thumbs" || state.outputs.is_empty() {
            let error = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id {name} does not exist</Message></Error></ErrorResponse>"
            );
            return (StatusCode::BAD_REQUEST, error);
        }
        let outputs: String = (state.outputs.iter())
            .map(|(key, value)| format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"))
            .collect();
        let stack = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{name}</StackName>\
             <CreationTime>2026-11-23T09:00:00Z</CreationTime><StackStatus>{}</StackStatus><Outputs>{outputs}</Outputs></member></Stacks>\
             </DescribeStacksResult></DescribeStacksResponse>",
            state.stack_status
        );
        (StatusCode::OK, stack)
    }
}

impl State {
    fn begin(&mut self, s3: &S3Server, name: &str, input: Value) {
        let total = self.handed(s3, &input).len();
        let concurrency = 100;
        let (error, cause) = (None, None);
        self.executions.push(Execution {
            name: name.into(),
            input,
            status: "RUNNING",
            error,
            cause,
            done: 0,
            total,
            asked: 0,
            concurrency,
            machine: self.machine.clone(),
        });
        let last = self.executions.len() - 1;
        self.work(s3, last);
    }

    /// The items that an execution reads: index and value.
    fn handed(&self, s3: &S3Server, input: &Value) -> Vec<(u64, Value)> {
        let Some(key) = input["redrive"]["items"]["key"].as_str() else { return (0..).zip(self.items.iter().cloned()).collect() };
        let file = s3.get(key).expect("the items of a redrive are written before it is started");
        let lines = serde_json::Deserializer::from_slice(&file).into_iter::<Value>().map(Result::unwrap).collect::<Vec<_>>();
        lines.iter().map(|line| (line["index"].as_u64().unwrap(), line["value"].clone())).collect()
    }

    /// What workers do, as far as they get.
    fn work(&mut self, s3: &S3Server, at: usize) {
        let one = self.executions[at].clone();
        if self.refused.is_some() || self.broken.is_some() || one.status != "RUNNING" {
            return;
        }
        let (run, round) = (run_of(&one), round_of(&one));
        let most = self.hold_after.unwrap_or(usize::MAX);
        let mut done = 0;
        for (position, batch) in self.handed(s3, &one.input).chunks(self.batch).enumerate() {
            let folder = format!("thumbs/{run}/batches/{round:04}/{:010}/", batch[0].0);
            let known: BTreeSet<u64> = outcomes(s3, &folder).keys().copied().collect();
            let left = most.saturating_sub(position * self.batch).min(batch.len());
            if left == 0 {
                break;
            }
            let items: Vec<Value> = batch.iter().map(|(index, value)| json!({ "index": index, "value": value })).collect();
            s3.put(&format!("{folder}items-{:06}.json", items.len()), json!(items).to_string());
            let lines: String = (batch[..left].iter().filter(|(index, _)| !known.contains(index)))
                .map(|(index, value)| {
                    let mut line = json!({ "index": index, "key": key_of(*index, value), "status": "succeeded", "attempts": 1 });
                    match self.failing.get(index) {
                        Some(error) => {
                            line["status"] = if *error == "Job.Unknown" { "unknown" } else { "failed" }.into();
                            line["error"] = (*error).into();
                            line["cause"] = format!("{} of {} ends early", value["Key"], value["Etag"]).into();
                        }
                        None => line["output"] = json!({ "width": 128, "etag": value["Etag"] }),
                    }
                    format!("{line}\n")
                })
                .collect();
            s3.put(&format!("{folder}{:013}-request-{at}-{:04}.jsonl", BEGIN * 1000 + at as u64, one.asked), lines);
            done += left;
        }
        self.executions[at].done = done;
    }

    /// How the map run stands; asked for the third time, it has ended, unless its workers wait.
    fn map_run(&mut self, s3: &S3Server, name: &str) -> Value {
        let at = self.executions.iter().position(|one| one.name == name).unwrap();
        self.executions[at].asked += 1;
        if self.executions[at].asked >= 3 && self.executions[at].status == "RUNNING" && self.hold_after.is_none() {
            self.work(s3, at);
            self.gate(s3, at);
        }
        let one = &self.executions[at];
        let is_running = one.status == "RUNNING";
        let (done, total) = (if one.asked > 1 { one.done.min(one.total) } else { 0 }, one.total);
        let children = |items: usize| items.div_ceil(self.batch) as u64;
        let counts = |total: u64, done: u64, failed: u64| {
            let open = total - done - failed;
            json!({
                "pending": if is_running { open } else { 0 }, "running": 0, "succeeded": done, "failed": failed, "timedOut": 0,
                "aborted": if is_running { 0 } else { open }, "total": total, "resultsWritten": 0,
            })
        };
        let failed = if self.refused.is_some() { total } else { 0 };
        json!({
            "mapRunArn": format!("arn:aws:states:eu-west-1:123456789012:mapRun:thumbs/Map:{name}"), "executionArn": format!("{EXECUTION}:{name}"),
            "status": if is_running { "RUNNING" } else if one.status == "ABORTED" { "ABORTED" } else { "SUCCEEDED" },
            "startDate": BEGIN, "maxConcurrency": one.concurrency, "toleratedFailurePercentage": 100.0, "toleratedFailureCount": 0,
            "itemCounts": counts(total as u64, done as u64, failed as u64),
            "executionCounts": counts(children(total), done as u64 / self.batch as u64, children(failed)),
        })
    }

    /// The gate: folds all rounds and says the verdict.
    fn gate(&mut self, s3: &S3Server, at: usize) {
        if let Some((error, cause)) = self.broken {
            let one = &mut self.executions[at];
            (one.status, one.error, one.cause) = ("FAILED", Some(error.into()), Some(cause.into()));
            return;
        }
        let (run, round) = (run_of(&self.executions[at]), round_of(&self.executions[at]));
        let mut all: BTreeMap<u64, Value> = BTreeMap::new();
        for round in 0..=round {
            all.extend(outcomes(s3, &format!("thumbs/{run}/batches/{round:04}/")));
        }
        let mut added = String::new();
        for index in &self.doubles {
            let line = all.get_mut(index).expect("an outcome");
            let key = line["key"].clone();
            *line = json!({
                "index": index, "key": key, "status": "failed", "attempts": 1, "error": "Item.Duplicate", "cause": "item 0 has this key",
            });
            added.push_str(&format!("{line}\n"));
        }
        s3.put(&format!("thumbs/{run}/gate/{round:04}/added.jsonl"), added);
        let of = |status: &str| all.values().filter(|line| line["status"] == status).count();
        let (total, failed, unknown) = (self.items.len(), of("failed"), of("unknown"));
        let pending = total - all.len();
        let status = if pending > 0 {
            "STOPPED"
        } else if failed + unknown > 0 {
            "FAILED"
        } else {
            "SUCCEEDED"
        };
        let counts = json!({
            "total": total, "succeeded": of("succeeded"), "skipped": 0, "failed": failed, "unknown": unknown, "blocked": 0, "pending": pending,
        });
        let report = json!({
            "run": run, "workflow": "thumbs", "fanfold": "0.1.0", "round": round, "status": status, "items": counts,
            "batches": total.div_ceil(self.batch), "attempts": all.len(), "tolerated_failure": { "count": 0 }, "errors": {},
            "failed": ["failed.jsonl"], "ended_ms": BEGIN * 1000,
        });
        s3.put(&format!("thumbs/{run}/report.json"), report.to_string());
        let error = match status {
            "STOPPED" => Some("Fanfold.Stopped"),
            "FAILED" => Some("Fanfold.BeyondTolerance"),
            _ => None,
        };
        let one = &mut self.executions[at];
        (one.status, one.error) = (if error.is_some() { "FAILED" } else { "SUCCEEDED" }, error.map(str::to_string));
    }
}

/// What an item is called: `#` and its index if it says nothing.
fn key_of(index: u64, value: &Value) -> String {
    value["Key"].as_str().map_or(format!("#{index}"), str::to_string)
}

fn run_of(one: &Execution) -> String {
    let of = |key: &str| one.input[key]["run"].as_str().map(str::to_string);
    of("resume").or(of("redrive")).unwrap_or_else(|| one.name.clone())
}

fn round_of(one: &Execution) -> u64 {
    one.input["redrive"]["round"].as_u64().unwrap_or(0)
}

/// The outcomes below a folder, by index.
fn outcomes(s3: &S3Server, folder: &str) -> BTreeMap<u64, Value> {
    let parts = s3.keys(folder).into_iter().filter(|key| key.ends_with(".jsonl"));
    let lines = parts.flat_map(|key| {
        let file = s3.get(&key).unwrap();
        serde_json::Deserializer::from_slice(&file).into_iter::<Value>().map(Result::unwrap).collect::<Vec<_>>()
    });
    lines.map(|line| (line["index"].as_u64().unwrap(), line)).collect()
}

async fn answer(Axum(server): Axum<AwsServer>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_string());
    let Some(target) = target else {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
        assert_eq!(form["Action"], "DescribeStacks");
        let (status, xml) = server.stack(&form["StackName"]);
        return (status, [("content-type", "text/xml")], xml).into_response();
    };
    let action = target.strip_prefix("AWSStepFunctions.").expect("Step Functions");
    let (status, body) = match server.call(action, &serde_json::from_slice(&body).unwrap()) {
        Ok(body) => (StatusCode::OK, body),
        Err((code, message)) => {
            (StatusCode::BAD_REQUEST, json!({ "__type": format!("com.amazonaws.states#{code}"), "message": message }))
        }
    };
    (status, [("content-type", "application/x-amz-json-1.0")], body.to_string()).into_response()
}
