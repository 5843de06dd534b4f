//! [`AwsSettings`]: what of a workflow is for AWS only.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::check::Finding;
use crate::units::{BytesText, DurationText, duration, parse_bytes, write_duration};

const MIB: u64 = 1 << 20;

/// What a function of Lambda may have (AWS Lambda quotas, checked 2026-10-07; hard).
const MEMORY_MIB: std::ops::RangeInclusive<u64> = 128..=10_240;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// A worker that has less time than this would do little but stop in time.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(30);

/// For how many days CloudWatch keeps logs (CloudWatch Logs API reference, checked 2026-10-07).
const RETENTION_DAYS: &[u64] =
    &[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

const DAY: Duration = Duration::from_secs(86_400);

/// What is for AWS only. Nothing of it changes a run on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AwsSettings {
    /// What the child executions are. Default by the job: `express`, which is cheap, starts 1,000 a second and ends after 5 minutes;
    /// `standard` for jobs that call others, since those may ask for a longer pause.
    #[schemars(with = "ExecutionType")]
    pub execution_type: Option<ExecutionType>,
    /// Where it runs, such as `eu-west-1`: sources and results are there too. Default that of the environment (`AWS_REGION`, profile).
    #[schemars(with = "String")]
    pub region: Option<String>,
    /// The memory of a worker, 128MiB to 10240MiB. It has its share of a processor: one at 1769MiB. Default 1024MiB.
    #[serde(deserialize_with = "bytes")]
    #[schemars(with = "BytesText")]
    pub memory: u64,
    /// How long a worker may take, 30s to 15m; what is not done by then another one does. Default 15m.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
    /// The processor of the workers, which the program has to be built for. Default x86_64.
    pub architecture: Architecture,
    /// A bucket that is there already for results and deployments; below `NAME/` it is fanfold's. Default one of its own.
    #[schemars(with = "String")]
    pub results_bucket: Option<String>,
    /// Roles that are there already, by ARN. Default roles of its own that may what the workflow needs and nothing else.
    pub roles: RoleSettings,
    /// The ARN of a policy that bounds the roles that are made.
    #[schemars(with = "String")]
    pub permissions_boundary: Option<String>,
    /// The network that the workers are in. Default none of one's own.
    #[schemars(with = "VpcSettings")]
    pub vpc: Option<VpcSettings>,
    /// The ARN of a key of KMS for the results bucket and the logs; its policy has to let CloudWatch Logs use it. Default the keys of
    /// AWS.
    #[schemars(with = "String")]
    pub kms_key: Option<String>,
    /// Tags of everything that is made.
    pub tags: BTreeMap<String, String>,
    /// How long logs are kept, in days as CloudWatch allows: `1d`, `3d`, `5d`, `7d`, `14d`, `30d`, `60d`, `90d`, …, `3653d`. Default 30d.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub log_retention: Duration,
    /// The ARN of a topic of SNS that is told when items failed, are unknown or blocked. Default nobody is told.
    #[schemars(with = "String")]
    pub alarm_topic: Option<String>,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            execution_type: None,
            region: None,
            memory: 1024 * MIB,
            timeout: LONGEST_TIMEOUT,
            architecture: Architecture::default(),
            results_bucket: None,
            roles: RoleSettings::default(),
            permissions_boundary: None,
            vpc: None,
            kms_key: None,
            tags: BTreeMap::new(),
            log_retention: 30 * DAY,
            alarm_topic: None,
        }
    }
}

impl AwsSettings {
    /// The memory of a worker in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.memory / MIB
    }

    /// How many days logs are kept.
    pub fn retention_days(&self) -> u64 {
        self.log_retention.as_secs() / DAY.as_secs()
    }
}

/// What child executions are, in the words of Step Functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionType {
    /// At most 5 minutes, up to 1,000 starts a second, paid by time.
    Express,
    /// Up to a year, up to 100 starts a second, paid by transition.
    Standard,
}

/// A kind of processor, in the words of Lambda.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    X86_64,
    /// Graviton: a fifth cheaper.
    Arm64,
}

impl Architecture {
    /// As Lambda writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Roles that are there already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RoleSettings {
    /// That of the state machine: `fanfold definition --print machine-policy` says what it has to be allowed.
    #[schemars(with = "String")]
    pub machine: Option<String>,
    /// That of the workers: `fanfold definition --print worker-policy` says what it has to be allowed.
    #[schemars(with = "String")]
    pub worker: Option<String>,
}

/// The network that workers are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct VpcSettings {
    /// Subnets by id, in several zones: `subnet-0a1b2c3d`. S3 has to be reachable from there.
    #[schemars(length(min = 1))]
    pub subnets: Vec<String>,
    /// Security groups by id: `sg-0a1b2c3d`.
    #[schemars(length(min = 1))]
    pub security_groups: Vec<String>,
}

/// What is wrong with `aws` that its schema cannot say.
pub(super) fn check_aws(aws: &AwsSettings) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let mut tell = |path: &str, detail: String, hint: &str| {
        let finding = Finding::new(&format!("aws.{path}"), detail);
        wrong.push(if hint.is_empty() { finding } else { finding.hint(hint) });
    };
    if !aws.memory.is_multiple_of(MIB) || !MEMORY_MIB.contains(&aws.memory_mib()) {
        let detail = format!("a worker has 128MiB to 10240MiB in whole MiB, found {} bytes", aws.memory);
        tell("memory", detail, "such as `1024MiB`");
    }
    if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&aws.timeout) || aws.timeout.subsec_nanos() > 0 {
        let detail = format!("a worker has 30s to 15m in whole seconds, found {}", write_duration(aws.timeout));
        tell("timeout", detail, "such as `15m`, the default");
    }
    let days = aws.retention_days();
    if aws.log_retention != DAY * u32::try_from(days).unwrap_or(0) || !RETENTION_DAYS.contains(&days) {
        let nearest = RETENTION_DAYS.iter().copied().find(|known| *known >= days).unwrap_or(3653);
        let detail = format!("CloudWatch does not keep logs for {}", write_duration(aws.log_retention));
        tell("log_retention", detail, &format!("`{nearest}d`"));
    }
    if let Some(region) = aws.region.as_ref().filter(|region| !is_region(region)) {
        tell("region", format!("`{region}` is not a region of AWS"), "such as `eu-west-1`");
    }
    if let Some(bucket) = aws.results_bucket.as_ref().filter(|bucket| !is_bucket(bucket)) {
        let hint = "its name alone: 3 to 63 small letters, digits, `-` and `.`";
        tell("results_bucket", format!("`{bucket}` is not the name of a bucket"), hint);
    }
    for (path, value, service, rest, what) in [
        ("roles.machine", &aws.roles.machine, "iam", "role/", "a role"),
        ("roles.worker", &aws.roles.worker, "iam", "role/", "a role"),
        ("permissions_boundary", &aws.permissions_boundary, "iam", "policy/", "a policy"),
        ("kms_key", &aws.kms_key, "kms", "key/", "a key of KMS"),
        ("alarm_topic", &aws.alarm_topic, "sns", "", "a topic of SNS"),
    ] {
        if let Some(arn) = value.as_ref().filter(|arn| !is_arn(arn, service, rest)) {
            let region = if service == "iam" { "" } else { "eu-west-1" };
            let example = format!("such as `arn:aws:{service}:{region}:123456789012:{rest}NAME`");
            tell(path, format!("`{arn}` is not the ARN of {what}"), &example);
        }
    }
    if aws.permissions_boundary.is_some() && aws.roles.machine.is_some() && aws.roles.worker.is_some() {
        tell("permissions_boundary", "both roles are there already, none is made that could be bounded".to_string(), "remove it");
    }
    let vpc =
        aws.vpc.iter().flat_map(|vpc| [("subnets", "subnet-", &vpc.subnets), ("security_groups", "sg-", &vpc.security_groups)]);
    for (path, start, ids) in vpc {
        for id in ids.iter().filter(|id| !id.starts_with(start)) {
            tell(&format!("vpc.{path}"), format!("`{id}` is not an id of one: those begin with `{start}`"), "");
        }
    }
    for (name, value) in &aws.tags {
        if name.is_empty() || name.chars().count() > 128 || value.chars().count() > 256 {
            tell("tags", format!("`{name}`: a tag has a name of 1 to 128 and a value of at most 256 characters"), "");
        } else if name.to_ascii_lowercase().starts_with("aws:") || name.starts_with("fanfold:") {
            tell(
                "tags",
                format!("`{name}`: tags that begin with `aws:` are AWS's, with `fanfold:` fanfold's own"),
                "another name",
            );
        }
    }
    wrong
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() >= 3
        && parts.last().is_some_and(|last| last.parse::<u8>().is_ok())
        && parts[..parts.len() - 1].iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()))
}

fn is_bucket(text: &str) -> bool {
    (3..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_arn(text: &str, service: &str, rest: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, of, _, account, name] if partition.starts_with("aws") && of == service
        && account.len() == 12 && account.bytes().all(|c| c.is_ascii_digit())
        && name.strip_prefix(rest).is_some_and(|name| !name.is_empty()))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse_bytes(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}
