//! The policies of the two roles: what the state machine may, and what its workers may, and nothing else.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::given::{Given, bucket_and_prefix, open_param, placeholder};
use super::machine::{MAP, REDRIVEN, RESULTS};
use crate::job::Fleet;
use crate::reader::{ItemsSource, SourceFile};
use crate::storage::Location;
use crate::workflow::Workflow;

const HERE: &str = "${AWS::Region}:${AWS::AccountId}";

/// What a state machine needs to write its log.
const LOG_DELIVERY: &[&str] = &[
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
];

/// What a function needs to be in a network (AWS Lambda developer guide, checked 2026-10-07).
const NETWORK: &[&str] = &[
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

/// What the function of a workflow is called.
pub(crate) fn function_name(workflow: &str) -> String {
    format!("fanfold-{workflow}")
}

/// Where the workers of a workflow write their log.
pub(crate) fn log_group(workflow: &str) -> String {
    format!("/aws/lambda/{}", function_name(workflow))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl Statement {
    fn allow(sid: &str, action: &[&'static str], resource: Vec<String>) -> Self {
        Self { sid: sid.to_string(), effect: "Allow", action: action.to_vec(), resource, condition: None }
    }
}

/// What the policies are made of.
pub(super) struct Roles<'a> {
    pub workflow: &'a Workflow,
    pub given: &'a Given,
    pub fleet: &'a Fleet,
}

impl Roles<'_> {
    /// Of the state machine: reads the items, starts children, invokes the worker, writes results.
    pub fn machine(&self) -> Value {
        let name = &self.workflow.name;
        let mut statements = vec![self.read_items()];
        // Every version: a run that goes on keeps the one that it began with.
        let worker = format!("arn:aws:lambda:{HERE}:function:{}:*", function_name(name));
        statements.push(Statement::allow("InvokeWorker", &["lambda:InvokeFunction"], vec![worker]));
        let machine = format!("arn:aws:states:{HERE}:stateMachine:{name}");
        statements.push(Statement::allow(
            "StartChildren",
            &["states:StartExecution"],
            vec![machine.clone(), format!("{machine}:*")],
        ));
        let children = format!("arn:aws:states:{HERE}:execution:{name}");
        statements.push(Statement::allow(
            "WatchChildren",
            &["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"],
            vec![format!("{children}:*"), format!("{children}/{MAP}:*"), format!("{children}/{REDRIVEN}:*")],
        ));
        // Also reads the items of a redrive there.
        statements.push(Statement::allow(
            "WriteResults",
            &["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
            vec![format!("arn:aws:s3:::{RESULTS}/{name}/*")],
        ));
        statements.extend(self.key());
        // AWS knows no narrower way to let a state machine write its log.
        statements.push(Statement::allow("WriteLog", LOG_DELIVERY, vec!["*".to_string()]));
        policy(statements)
    }

    /// Of the workers: read what the job reads, write what it writes, write outcomes and logs, read the secrets that are named.
    pub fn worker(&self) -> Value {
        let name = &self.workflow.name;
        let mut statements = Vec::new();
        let objects = self.given.bound.settings.items.location();
        let reads: Vec<String> = objects.into_iter().chain(&self.fleet.reads).filter_map(below).collect();
        let writes: Vec<String> = self.fleet.writes.iter().filter_map(below).collect();
        if !reads.is_empty() {
            statements.push(Statement::allow("ReadObjects", &["s3:GetObject"], reads));
        }
        if !writes.is_empty() {
            // What is there already is looked at before it is written over.
            statements.push(Statement::allow(
                "WriteObjects",
                &["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
                writes,
            ));
        }
        let found = objects.into_iter().chain(&self.fleet.reads).chain(&self.fleet.writes).filter_map(bucket_and_prefix);
        let mut buckets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (bucket, prefix) in found {
            let prefixes = buckets.entry(bucket).or_default();
            if !prefixes.contains(&format!("{prefix}*")) {
                prefixes.push(format!("{prefix}*"));
            }
        }
        for (number, (bucket, prefixes)) in buckets.into_iter().enumerate() {
            statements.push(find(&format!("FindObjects{}", number + 1), &bucket, prefixes));
        }
        statements.push(Statement::allow(
            "Outcomes",
            &["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
            vec![format!("arn:aws:s3:::{RESULTS}/{name}/*")],
        ));
        statements.push(find("FindOutcomes", RESULTS, vec![format!("{name}/*")]));
        statements.push(Statement::allow(
            "Logs",
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            vec![format!("arn:aws:logs:{HERE}:log-group:{}:*", log_group(name))],
        ));
        let kept = |prefix: &str| -> Vec<String> {
            let secrets = &self.given.bound.settings.secrets;
            let used = self.given.bound.secrets.iter().filter_map(|name| secrets.get(name)?.aws.as_deref());
            used.filter(|name| name.starts_with("ssm:") == (prefix == "ssm:")).map(str::to_string).collect()
        };
        let secrets: Vec<String> = kept("").into_iter().map(|name| secret(&name)).collect();
        if !secrets.is_empty() {
            statements.push(Statement::allow("Secrets", &["secretsmanager:GetSecretValue"], secrets));
        }
        let parameters: Vec<String> = kept("ssm:").into_iter().map(|name| parameter(&name)).collect();
        if !parameters.is_empty() {
            statements.push(Statement::allow("Parameters", &["ssm:GetParameter"], parameters));
        }
        statements.extend(self.key());
        if self.given.bound.settings.aws.vpc.is_some() {
            // AWS knows no narrower way to let a function into a network.
            statements.push(Statement::allow("Network", NETWORK, vec!["*".to_string()]));
        }
        policy(statements)
    }

    /// The key that the results bucket is encrypted with.
    fn key(&self) -> Option<Statement> {
        let key = self.given.bound.settings.aws.kms_key.clone()?;
        Some(Statement::allow("Key", &["kms:Decrypt", "kms:GenerateDataKey"], vec![key]))
    }

    fn read_items(&self) -> Statement {
        let source = &self.given.bound.settings.items.source;
        let file = match source {
            ItemsSource::Objects(objects) => return list(&objects.source),
            ItemsSource::Csv(csv) => &csv.source,
            ItemsSource::Json(json) => &json.source,
            ItemsSource::Jsonl(jsonl) => &jsonl.source,
            ItemsSource::Inventory(inventory) => &inventory.source,
        };
        let resource = match file {
            SourceFile::S3 { bucket, key } => match open_param(bucket) {
                Some(param) => format!("arn:aws:s3:::{}/*", placeholder(param)),
                None => match source {
                    // The files that the manifest names lie beside the folder that it is in.
                    ItemsSource::Inventory(_) => {
                        let report = key.rsplitn(3, '/').nth(2).map_or(String::new(), |folder| format!("{folder}/"));
                        format!("arn:aws:s3:::{bucket}/{report}*")
                    }
                    _ => format!("arn:aws:s3:::{bucket}/{key}"),
                },
            },
            // Refused before.
            SourceFile::Path(_) | SourceFile::Stdin => String::new(),
        };
        Statement::allow("ReadItems", &["s3:GetObject"], vec![resource])
    }
}

fn list(source: &Location) -> Statement {
    let (bucket, prefix) = bucket_and_prefix(source).unwrap_or_default();
    let condition = (!prefix.is_empty()).then(|| json!({ "StringLike": { "s3:prefix": [format!("{prefix}*")] } }));
    Statement { condition, ..Statement::allow("ReadItems", &["s3:ListBucket"], vec![format!("arn:aws:s3:::{bucket}")]) }
}

/// Says of objects whether they are there. Without it S3 answers "denied" where there is no object. That question has no prefix, a listing
/// has one.
fn find(sid: &str, bucket: &str, prefixes: Vec<String>) -> Statement {
    Statement {
        condition: Some(json!({ "StringLikeIfExists": { "s3:prefix": prefixes } })),
        ..Statement::allow(sid, &["s3:ListBucket"], vec![format!("arn:aws:s3:::{bucket}")])
    }
}

/// Every object below a location.
fn below(location: &Location) -> Option<String> {
    bucket_and_prefix(location).map(|(bucket, prefix)| format!("arn:aws:s3:::{bucket}/{prefix}*"))
}

/// Secrets Manager adds six characters of its own to the name of a secret.
fn secret(name: &str) -> String {
    if name.starts_with("arn:") { name.to_string() } else { format!("arn:aws:secretsmanager:{HERE}:secret:{name}-??????") }
}

fn parameter(name: &str) -> String {
    let name = name.trim_start_matches("ssm:").trim_start_matches('/');
    format!("arn:aws:ssm:{HERE}:parameter/{name}")
}

fn policy(statement: Vec<Statement>) -> Value {
    // Types without maps of their own cannot fail to be written.
    serde_json::to_value(Policy { version: "2012-10-17", statement }).unwrap_or_default()
}
