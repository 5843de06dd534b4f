//! [`Template`]: the CloudFormation stack of a workflow, as JSON. Pure: nothing here asks AWS.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::deployment::Deployment;
use super::stack::{WHOSE, stack_name};
use crate::asl::{Machine, function_name, log_group};
use crate::workflow::AwsSettings;

/// The file of the package that the function is made of.
pub(crate) const WORKER_ZIP: &str = "worker.zip";

/// The alias of the state machine that runs are started on, and of the function.
const LIVE: &str = "live";

/// The metric that the gate writes: items that failed, are unknown or blocked.
const NOT_DONE: &str = "ItemsNotDone";

/// A template, and what it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// The whole stack.
    pub whole: Value,
    /// The results bucket alone, which has to be there before what it holds; `None` if the workflow names one that is there.
    pub bucket_alone: Option<Value>,
    /// The hash that names the deployment: 16 hexadecimal digits over everything that is put on AWS.
    pub hash: String,
}

impl Template {
    /// The stack of a machine whose worker is a zip with this SHA-256 sum. `also` is what else a deployment is made of.
    pub fn of(machine: &Machine, zip: &str, also: &str) -> Self {
        let parts = Parts { machine, aws: &machine.settings().aws };
        // Over everything but the hash itself.
        let hash = digest(&[&parts.stack(zip, "").to_string(), zip, also]);
        let bucket_alone = parts.aws.results_bucket.is_none().then(|| {
            let about = format!("{}: the results bucket, before the worker is put into it.", machine.name());
            json!({
                "AWSTemplateFormatVersion": "2010-09-09",
                "Description": about,
                "Resources": Value::Object(parts.bucket()),
                "Outputs": { "ResultsBucket": output("Where outcomes and deployments are kept.", json!({ "Ref": "Results" })) },
            })
        });
        Self { whole: parts.stack(zip, &hash), bucket_alone, hash }
    }
}

/// The first 16 hexadecimal digits of the SHA-256 sum over texts.
fn digest(texts: &[&str]) -> String {
    let mut sum = Sha256::new();
    for text in texts {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text);
    }
    hex::encode(&sum.finalize()[..8])
}

struct Parts<'a> {
    machine: &'a Machine,
    aws: &'a AwsSettings,
}

impl Parts<'_> {
    fn stack(&self, zip: &str, hash: &str) -> Value {
        let name = self.machine.name();
        let mut resources = Map::new();
        if self.aws.results_bucket.is_none() {
            resources.extend(self.bucket());
        }
        resources.insert("WorkerLog".into(), self.log(&log_group(name)));
        resources.insert("MachineLog".into(), self.log(&format!("/aws/vendedlogs/states/{}", function_name(name))));
        if self.aws.roles.worker.is_none() {
            resources.insert("WorkerRole".into(), self.role("lambda.amazonaws.com", self.machine.worker_policy()));
        }
        if self.aws.roles.machine.is_none() {
            resources.insert("MachineRole".into(), self.role("states.amazonaws.com", self.machine.machine_policy()));
        }
        let worker = self.worker();
        // Lambda refuses a second version of what has not changed: its name says what it was made of.
        let version = format!("WorkerVersion{}", digest(&[zip, &worker.to_string()]));
        resources.insert("Worker".into(), worker);
        let about = format!("Made of {}.", &zip[..zip.len().min(16)]);
        let of_worker = json!({ "FunctionName": { "Ref": "Worker" }, "Description": about });
        resources.insert(version.clone(), kept("AWS::Lambda::Version", of_worker));
        let alias = json!({ "FunctionName": { "Ref": "Worker" }, "Name": LIVE, "FunctionVersion": { "Fn::GetAtt": [version, "Version"] } });
        resources.insert("WorkerAlias".into(), made("AWS::Lambda::Alias", alias));
        let machine = self.state_machine(&version);
        let machine_version = format!("MachineVersion{}", digest(&[&machine.to_string()]));
        resources.insert("Machine".into(), machine);
        let of_machine = json!({
            "StateMachineArn": { "Ref": "Machine" },
            "StateMachineRevisionId": { "Fn::GetAtt": ["Machine", "StateMachineRevisionId"] },
        });
        resources.insert(machine_version.clone(), kept("AWS::StepFunctions::StateMachineVersion", of_machine));
        let routes = json!([{ "StateMachineVersionArn": { "Ref": machine_version }, "Weight": 100 }]);
        let alias = json!({ "Name": LIVE, "RoutingConfiguration": routes });
        resources.insert("MachineAlias".into(), made("AWS::StepFunctions::StateMachineAlias", alias));
        resources.insert("Alarm".into(), self.alarm());
        let about = format!("{name}, a workflow of fanfold {}.", env!("CARGO_PKG_VERSION"));
        json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": about,
            "Parameters": {
                "CodeBucket": { "Type": "String", "Description": "The bucket that the worker lies in." },
                "CodeKey": {
                    "Type": "String",
                    "Description": "Where in it the worker lies, a zip.",
                    "Default": format!("{}{WORKER_ZIP}", Deployment::folder(name, hash)),
                },
            },
            "Resources": resources,
            "Outputs": {
                "StateMachineArn": output("The state machine.", json!({ "Ref": "Machine" })),
                "StateMachineAlias": output("What runs are started on.", json!({ "Ref": "MachineAlias" })),
                "ResultsBucket": output("Where outcomes and deployments are kept.", self.results()),
                "WorkerFunction": output("The function.", json!({ "Ref": "Worker" })),
                "WorkerVersion": output("The version of it that the state machine invokes.", json!({ "Ref": version })),
                "Deployment": output("What was deployed: the hash of all of it.", hash.into()),
            },
        })
    }

    /// The name of the results bucket.
    fn results(&self) -> Value {
        self.aws.results_bucket.as_deref().map_or_else(|| json!({ "Ref": "Results" }), Value::from)
    }

    /// The results bucket and its policy. Both stay when the stack goes.
    fn bucket(&self) -> Map<String, Value> {
        let encryption = match &self.aws.kms_key {
            Some(key) => json!({
                "ServerSideEncryptionByDefault": { "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key }, "BucketKeyEnabled": true,
            }),
            None => json!({ "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }),
        };
        let mut bucket = json!({
            "BucketEncryption": { "ServerSideEncryptionConfiguration": [encryption] },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
            },
            "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
            "LifecycleConfiguration": { "Rules": [{
                "Id": "unfinished-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 7 },
            }] },
        });
        self.tag(&mut bucket);
        let arn = json!({ "Fn::GetAtt": ["Results", "Arn"] });
        let policy = json!({
            "Bucket": { "Ref": "Results" },
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
                    "Resource": [arn, { "Fn::Join": ["", [arn, "/*"]] }],
                    "Condition": { "Bool": { "aws:SecureTransport": "false" } },
                }],
            },
        });
        let mut parts = Map::new();
        parts.insert("Results".into(), kept("AWS::S3::Bucket", bucket));
        parts.insert("ResultsPolicy".into(), kept("AWS::S3::BucketPolicy", policy));
        parts
    }

    fn log(&self, name: &str) -> Value {
        let mut log = json!({ "LogGroupName": name, "RetentionInDays": self.aws.retention_days() });
        if let Some(key) = &self.aws.kms_key {
            log["KmsKeyId"] = key.as_str().into();
        }
        self.tag(&mut log);
        // What is in it goes after its days anyway, and its name is needed again.
        json!({ "Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete", "Properties": log })
    }

    fn role(&self, who: &str, policy: &Value) -> Value {
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Principal": { "Service": who }, "Action": "sts:AssumeRole" }],
        });
        let mut policy = policy.clone();
        self.fill(&mut policy);
        let mut role = json!({
            "AssumeRolePolicyDocument": trust,
            "Policies": [{ "PolicyName": "workflow", "PolicyDocument": policy }],
        });
        if let Some(boundary) = &self.aws.permissions_boundary {
            role["PermissionsBoundary"] = boundary.as_str().into();
        }
        self.tag(&mut role);
        made("AWS::IAM::Role", role)
    }

    /// Puts what CloudFormation knows in place of `${…}`.
    fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(bucket) = &self.aws.results_bucket {
                    *text = text.replace("${ResultsBucket}", bucket);
                }
                if text.contains("${ResultsBucket}") {
                    *value = json!({ "Fn::Sub": [text.as_str(), { "ResultsBucket": { "Ref": "Results" } }] });
                } else if text.contains("${") {
                    *value = json!({ "Fn::Sub": text.as_str() });
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.fill(value)),
            Value::Object(values) => values.values_mut().for_each(|value| self.fill(value)),
            _ => {}
        }
    }

    fn worker(&self) -> Value {
        let settings = self.machine.settings();
        let role = self.aws.roles.worker.as_deref();
        let mut worker = json!({
            "FunctionName": function_name(self.machine.name()),
            "Description": format!("The workers of the workflow {}.", self.machine.name()),
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Architectures": [self.aws.architecture.word()],
            "MemorySize": self.aws.memory_mib(),
            "Timeout": self.aws.timeout.as_secs(),
            "Role": role.map_or_else(|| json!({ "Fn::GetAtt": ["WorkerRole", "Arn"] }), Value::from),
            "Code": { "S3Bucket": { "Ref": "CodeBucket" }, "S3Key": { "Ref": "CodeKey" } },
            "LoggingConfig": { "LogGroup": { "Ref": "WorkerLog" } },
        });
        if !settings.rate.is_empty() {
            // Each has its share of the rate: more at once, whoever starts them, would be more than the rate.
            worker["ReservedConcurrentExecutions"] = settings.max_concurrency.into();
        }
        if let Some(vpc) = &self.aws.vpc {
            worker["VpcConfig"] = json!({ "SubnetIds": vpc.subnets, "SecurityGroupIds": vpc.security_groups });
        }
        self.tag(&mut worker);
        made("AWS::Lambda::Function", worker)
    }

    fn state_machine(&self, version: &str) -> Value {
        let role = self.aws.roles.machine.as_deref();
        let to = json!([{ "CloudWatchLogsLogGroup": { "LogGroupArn": { "Fn::GetAtt": ["MachineLog", "Arn"] } } }]);
        let mut machine = json!({
            "StateMachineName": self.machine.name(),
            "StateMachineType": "STANDARD",
            "RoleArn": role.map_or_else(|| json!({ "Fn::GetAtt": ["MachineRole", "Arn"] }), Value::from),
            "DefinitionString": self.machine.definition().to_string(),
            "DefinitionSubstitutions": { "WorkerArn": { "Ref": version }, "ResultsBucket": self.results() },
            // Express children keep no history of their own.
            "LoggingConfiguration": { "Level": "ERROR", "IncludeExecutionData": false, "Destinations": to },
        });
        self.tag(&mut machine);
        made("AWS::StepFunctions::StateMachine", machine)
    }

    fn alarm(&self) -> Value {
        let name = self.machine.name();
        let mut alarm = json!({
            "AlarmName": format!("{}-items-not-done", function_name(name)),
            "AlarmDescription": format!("Items of {name} failed, are unknown or blocked: fanfold results RUN --failed"),
            "Namespace": "fanfold",
            "MetricName": NOT_DONE,
            "Dimensions": [{ "Name": "workflow", "Value": name }],
            "Statistic": "Maximum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        });
        if let Some(topic) = &self.aws.alarm_topic {
            alarm["AlarmActions"] = json!([topic]);
        }
        self.tag(&mut alarm);
        made("AWS::CloudWatch::Alarm", alarm)
    }

    /// Tags of one's own, and whose it is.
    fn tag(&self, properties: &mut Value) {
        let own = [(WHOSE, self.machine.name())];
        let tags = self.aws.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(own);
        properties["Tags"] = tags.map(|(name, value)| json!({ "Key": name, "Value": value })).collect();
    }
}

fn made(kind: &str, properties: Value) -> Value {
    json!({ "Type": kind, "Properties": properties })
}

/// What stays where a stack lets go of it, but what could not be made.
fn kept(kind: &str, properties: Value) -> Value {
    json!({ "Type": kind, "DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain", "Properties": properties })
}

fn output(about: &str, value: Value) -> Value {
    json!({ "Description": about, "Value": value })
}

/// A file for Terraform that puts the template of a package on AWS.
pub(crate) fn main_tf(workflow: &str, hash: &str) -> String {
    let (stack, key) = (stack_name(workflow), format!("{}{WORKER_ZIP}", Deployment::folder(workflow, hash)));
    format!(
        r#"# Puts the workflow {workflow} on AWS: the stack of template.json, the worker from worker.zip.
# terraform apply -var bucket=BUCKET

variable "bucket" {{
  type        = string
  description = "A bucket that is there, in the same region: the worker is put into it."
}}

resource "aws_s3_object" "worker" {{
  bucket      = var.bucket
  key         = "{key}"
  source      = "${{path.module}}/{WORKER_ZIP}"
  source_hash = filemd5("${{path.module}}/{WORKER_ZIP}")
}}

resource "aws_cloudformation_stack" "workflow" {{
  name          = "{stack}"
  template_body = file("${{path.module}}/template.json")
  capabilities  = ["CAPABILITY_IAM"]
  parameters = {{
    CodeBucket = aws_s3_object.worker.bucket
    CodeKey    = aws_s3_object.worker.key
  }}
}}

output "workflow" {{
  value = aws_cloudformation_stack.workflow.outputs
}}
"#
    )
}
