//! A CloudFormation of our own in the same process, with one stack; beside it what else `deploy` and `destroy` ask AWS.
//!
//! Every look at the events of a stack that is being changed finds five more of them. Change sets come in pages of five.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Axum;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::s3_server::{RESULTS, S3Server};

const ID: &str = "arn:aws:cloudformation:eu-west-1:123456789012:stack/fanfold-thumbs/0a1b";
const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:stateMachine:thumbs";

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct StackServer {
    address: SocketAddr,
    pub s3: S3Server,
    state: Arc<Mutex<State>>,
}

/// What there is, for a test to change.
#[derive(Default)]
pub struct State {
    pub stack: Option<Stack>,
    /// The resource that the next change fails at, and why.
    pub fail: Option<(&'static str, &'static str)>,
    /// How many functions may run at once; nobody may ask if `None`.
    pub quota: Option<f64>,
    /// The executions of the state machine, the newest first: name, status.
    pub executions: Vec<(&'static str, &'static str)>,
    /// What was asked for, in order.
    pub asked: Vec<String>,
    change_sets: BTreeMap<String, Wanted>,
}

#[derive(Clone, Default)]
pub struct Stack {
    pub status: String,
    pub wanted: Wanted,
    events: Vec<Event>,
    coming: VecDeque<Event>,
    /// What it is once all events have come.
    then: Option<(String, Wanted)>,
}

#[derive(Clone, Default)]
pub struct Wanted {
    pub template: Value,
    pub tags: BTreeMap<String, String>,
    pub parameters: BTreeMap<String, String>,
}

type Event = (String, String, String);
type Form = BTreeMap<String, String>;

impl Wanted {
    /// As CloudFormation compares them: with the values of parameters.
    fn resources(&self) -> Map<String, Value> {
        let code = self.template["Parameters"]["CodeKey"]["Default"].to_string();
        let resources = self.template["Resources"].to_string().replace("{\"Ref\":\"CodeKey\"}", &code);
        serde_json::from_str::<Option<Map<String, Value>>>(&resources).unwrap().unwrap_or_default()
    }

    /// Sign, name and kind of every resource that becomes another.
    fn changes(&self, next: &Self) -> Vec<(&'static str, String, String)> {
        let (old, new) = (self.resources(), next.resources());
        let kind = |resource: &Value| resource["Type"].as_str().unwrap().to_string();
        let mut changes: Vec<_> = (new.iter())
            .filter_map(|(name, resource)| match old.get(name) {
                None => Some(("Add", name.clone(), kind(resource))),
                Some(before) if before != resource => Some(("Modify", name.clone(), kind(resource))),
                Some(_) => None,
            })
            .collect();
        let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
        changes.extend(gone.map(|(name, resource)| ("Remove", name.clone(), kind(resource))));
        changes
    }

    fn output(&self, key: &str, value: &Value) -> String {
        match (key, value) {
            ("ResultsBucket", Value::Object(_)) => RESULTS.to_string(),
            ("StateMachineArn", _) => MACHINE.to_string(),
            ("StateMachineAlias", _) => format!("{MACHINE}:live"),
            (_, Value::String(text)) => text.clone(),
            (key, _) => format!("the-{key}"),
        }
    }
}

impl StackServer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State { quota: Some(1000.0), ..State::default() };
        let server =
            Self { address: listener.local_addr().unwrap(), s3: S3Server::start().await, state: Arc::new(Mutex::new(state)) };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        server
    }

    /// What a program needs in its environment to find this server instead of AWS.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let names = ["AWS_ENDPOINT_URL_SFN", "AWS_ENDPOINT_URL_CLOUDFORMATION", "AWS_ENDPOINT_URL_SERVICE_QUOTAS"];
        let mut all: Vec<_> = names.into_iter().map(|name| (name, format!("http://{}", self.address))).collect();
        all.extend(self.s3.environment());
        all
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What was asked for since the last look, but for looks at how things stand.
    pub fn done(&self) -> Vec<String> {
        let asked = std::mem::take(&mut self.state().asked);
        asked.into_iter().filter(|action| !action.starts_with("Describe") && !action.starts_with("DeleteChangeSet")).collect()
    }

    fn stack_call(&self, form: &Form) -> Result<String, String> {
        let mut state = self.state();
        let of = |key: &str| form.get(key).cloned().unwrap_or_default();
        let action = of("Action");
        state.asked.push(action.clone());
        let none = || "Stack with id fanfold-thumbs does not exist".to_string();
        match action.as_str() {
            "DescribeStacks" => {
                let stack = state.stack.as_ref().filter(|stack| stack.status != "DELETE_COMPLETE" || of("StackName") == ID);
                let stack = stack.filter(|_| [ID, "fanfold-thumbs"].contains(&of("StackName").as_str())).ok_or_else(none)?;
                let outputs = stack.wanted.template["Outputs"].as_object().cloned().unwrap_or_default();
                let outputs: String = (outputs.iter())
                    .map(|(key, value)| (key, stack.wanted.output(key, &value["Value"])))
                    .map(|(key, value)| {
                        format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
                    })
                    .collect();
                let tags: String = (stack.wanted.tags.iter())
                    .map(|(key, value)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>"))
                    .collect();
                Ok(format!(
                    "<Stacks><member><StackName>fanfold-thumbs</StackName><StackId>{ID}</StackId><CreationTime>2026-11-23T09:00:00Z</CreationTime>\
                     <StackStatus>{}</StackStatus><Outputs>{outputs}</Outputs><Tags>{tags}</Tags></member></Stacks>",
                    stack.status
                ))
            }
            "CreateChangeSet" => {
                assert_eq!(of("Capabilities.member.1"), "CAPABILITY_IAM");
                let body = match form.get("TemplateURL") {
                    Some(url) => {
                        let key = url.strip_prefix("https://results.s3.eu-west-1.amazonaws.com/").expect("an address of S3");
                        String::from_utf8(self.s3.all(RESULTS)[key].to_vec()).unwrap()
                    }
                    None => of("TemplateBody"),
                };
                assert!(form.contains_key("TemplateURL") || body.len() <= 51_200, "AWS refuses longer ones");
                let all = |name: &str, key: &str, value: &str| {
                    let each =
                        (1..).map(|n| format!("{name}.member.{n}")).take_while(|at| form.contains_key(&format!("{at}.{key}")));
                    each.map(|at| (of(&format!("{at}.{key}")), of(&format!("{at}.{value}")))).collect()
                };
                let wanted = Wanted {
                    template: serde_json::from_str(&body).unwrap(),
                    tags: all("Tags", "Key", "Value"),
                    parameters: all("Parameters", "ParameterKey", "ParameterValue"),
                };
                let is_new = state.stack.is_none();
                assert_eq!(of("ChangeSetType") == "CREATE", is_new, "a stack is made once");
                if is_new {
                    state.stack = Some(Stack { status: "REVIEW_IN_PROGRESS".into(), ..Stack::default() });
                }
                state.change_sets.insert(of("ChangeSetName"), wanted);
                Ok(format!("<Id>{}</Id><StackId>{ID}</StackId>", of("ChangeSetName")))
            }
            "DescribeChangeSet" => {
                let wanted = &state.change_sets[&of("ChangeSetName")];
                let changes = state.stack.as_ref().unwrap().wanted.changes(wanted);
                if changes.is_empty() {
                    let reason =
                        "The submitted information didn't contain changes. Submit different information to create a change set.";
                    return Ok(format!("<Status>FAILED</Status><StatusReason>{reason}</StatusReason>"));
                }
                let from: usize = of("NextToken").parse().unwrap_or(0);
                let member = |(action, name, kind): &(&str, String, String)| {
                    format!(
                        "<member><Type>Resource</Type><ResourceChange><Action>{action}</Action><LogicalResourceId>{name}</LogicalResourceId>\
                         <ResourceType>{kind}</ResourceType></ResourceChange></member>"
                    )
                };
                let page: String = changes.iter().skip(from).take(5).map(member).collect();
                let next = if from + 5 < changes.len() { format!("<NextToken>{}</NextToken>", from + 5) } else { String::new() };
                Ok(format!("<Status>CREATE_COMPLETE</Status><Changes>{page}</Changes>{next}"))
            }
            "DeleteChangeSet" => {
                state.change_sets.remove(&of("ChangeSetName"));
                Ok(String::new())
            }
            "ExecuteChangeSet" => {
                let wanted = state.change_sets.remove(&of("ChangeSetName")).expect("a change set that was made");
                let fail = state.fail.take();
                let stack = state.stack.as_mut().unwrap();
                let verb = if stack.status == "REVIEW_IN_PROGRESS" { "CREATE" } else { "UPDATE" };
                let names =
                    stack.wanted.changes(&wanted).into_iter().filter(|(action, ..)| *action != "Remove").map(|(_, name, _)| name);
                stack.work(names, verb, fail);
                let then = match (fail, verb) {
                    (None, _) => (format!("{verb}_COMPLETE"), wanted),
                    (Some(_), "CREATE") => ("ROLLBACK_COMPLETE".to_string(), Wanted { template: Value::Null, ..wanted }),
                    (Some(_), _) => ("UPDATE_ROLLBACK_COMPLETE".to_string(), stack.wanted.clone()),
                };
                stack.then = Some(then);
                Ok(String::new())
            }
            "DescribeStackEvents" => {
                let stack = state.stack.as_mut().ok_or_else(none)?;
                for _ in 0..5 {
                    stack.events.extend(stack.coming.pop_front());
                }
                if let (true, Some((status, wanted))) = (stack.coming.is_empty(), stack.then.clone()) {
                    (stack.status, stack.wanted, stack.then) = (status, wanted, None);
                }
                let member = |(at, (name, status, reason)): (usize, &Event)| {
                    format!(
                        "<member><EventId>{at}</EventId><StackId>{ID}</StackId><StackName>fanfold-thumbs</StackName><Timestamp>2026-11-23T09:00:00Z</Timestamp>\
                         <LogicalResourceId>{name}</LogicalResourceId><PhysicalResourceId>a-{name}</PhysicalResourceId>\
                         <ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason></member>"
                    )
                };
                Ok(format!(
                    "<StackEvents>{}</StackEvents>",
                    stack.events.iter().enumerate().rev().map(member).collect::<String>()
                ))
            }
            "DeleteStack" => {
                let fail = state.fail.take();
                let stack = state.stack.as_mut().ok_or_else(none)?;
                if stack.status == "REVIEW_IN_PROGRESS" {
                    state.stack = None;
                    return Ok(String::new());
                }
                let kept = |resource: &Value| resource["DeletionPolicy"] == "RetainExceptOnCreate";
                let names = stack.wanted.resources().into_iter().filter(|(_, resource)| !kept(resource)).map(|(name, _)| name);
                stack.work(names, "DELETE", fail);
                let status = if fail.is_some() { "DELETE_FAILED" } else { "DELETE_COMPLETE" };
                stack.then = Some((status.to_string(), stack.wanted.clone()));
                Ok(String::new())
            }
            other => panic!("{other} is not played here"),
        }
    }

    fn call(&self, target: &str, body: &Value) -> Result<Value, &'static str> {
        let mut state = self.state();
        let action = target.split('.').nth(1).unwrap();
        state.asked.push(format!("Describe{action}"));
        let told = |name: &str, status: &str| {
            json!({
                "executionArn": format!("arn:aws:states:eu-west-1:123456789012:execution:thumbs:{name}"), "stateMachineArn": MACHINE,
                "name": name, "status": status, "startDate": 1_795_428_000, "input": "{}",
            })
        };
        match action {
            "GetServiceQuota" => {
                let quota = state.quota.ok_or("AccessDeniedException")?;
                Ok(json!({ "Quota": { "QuotaCode": body["QuotaCode"], "Value": quota } }))
            }
            "ListExecutions" => {
                let wanted = |status: &str| body["statusFilter"].as_str().is_none_or(|filter| filter == status);
                let found = state.executions.iter().filter(|(_, status)| wanted(status));
                Ok(json!({ "executions": found.map(|(name, status)| told(name, status)).collect::<Vec<_>>() }))
            }
            "DescribeExecution" => {
                let arn = body["executionArn"].as_str().unwrap();
                let (name, status) = state.executions.iter().find(|(name, _)| arn.ends_with(name)).unwrap();
                Ok(told(name, status))
            }
            other => panic!("{other} is not played here"),
        }
    }
}

impl Stack {
    /// One at rest, or that somebody else changes.
    pub fn at(status: &str, wanted: Wanted) -> Self {
        Self { status: status.into(), wanted, ..Self::default() }
    }

    /// The events of a change: each resource begins and is done. The one that fails takes the next one along.
    fn work(&mut self, names: impl Iterator<Item = String>, verb: &str, fail: Option<(&str, &str)>) {
        self.status = format!("{verb}_IN_PROGRESS");
        let mut failed = false;
        for name in names {
            let mut tell = |status: &str, reason: &str| {
                self.coming.push_back((name.clone(), format!("{verb}_{status}"), reason.to_string()));
            };
            if failed {
                tell("FAILED", "Resource creation cancelled");
                return;
            }
            tell("IN_PROGRESS", "");
            match fail.filter(|(at, _)| *at == name) {
                Some((_, reason)) => tell("FAILED", reason),
                None => tell("COMPLETE", ""),
            }
            failed = fail.is_some_and(|(at, _)| at == name);
        }
    }
}

async fn answer(Axum(server): Axum<StackServer>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(target) = headers.get("x-amz-target") {
        let (status, body) = match server.call(target.to_str().unwrap(), &serde_json::from_slice(&body).unwrap()) {
            Ok(body) => (StatusCode::OK, body),
            Err(code) => (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "not authorized to perform this action" })),
        };
        return (status, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response();
    }
    let form: Form = url::form_urlencoded::parse(&body).into_owned().collect();
    let action = &form["Action"];
    let (status, xml) = match server.stack_call(&form) {
        Ok(xml) => (StatusCode::OK, format!("<{action}Response><{action}Result>{xml}</{action}Result></{action}Response>")),
        Err(message) => {
            let error = format!("<Error><Type>Sender</Type><Code>ValidationError</Code><Message>{message}</Message></Error>");
            (StatusCode::BAD_REQUEST, format!("<ErrorResponse>{error}</ErrorResponse>"))
        }
    };
    (status, [("content-type", "text/xml")], xml).into_response()
}
