//! [`Clients`]: whom AWS is asked through, from one place.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};

use crate::error::{Error, Result};
use crate::storage::Storages;

/// Tries of the SDK by itself, with waits between them that grow: throttled calls are the usual trouble.
const TRIES: u32 = 5;
/// How long a connection may take, and how long the first byte of an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The clients of one account and region. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// Such as `eu-west-1`.
    pub region: String,
    pub sfn: aws_sdk_sfn::Client,
    pub cloudformation: aws_sdk_cloudformation::Client,
    pub quotas: aws_sdk_servicequotas::Client,
    pub s3: aws_sdk_s3::Client,
    /// S3 in the same region, for what reads and writes by [`Location`](crate::storage::Location).
    pub storages: Storages,
}

impl Clients {
    /// Reads credentials, profiles and endpoints (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, …) from the environment as the AWS tools
    /// do; the region is this one (a workflow's `aws.region`, that of an ARN), or the environment's.
    ///
    /// # Errors
    /// There is no region, or there are no credentials.
    pub async fn load(region: Option<&str>) -> Result<Self> {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(timeouts)
            .retry_config(aws_config::retry::RetryConfig::standard().with_max_attempts(TRIES));
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_string()));
        }
        let config = loader.load().await;
        let Some(region) = config.region().map(|region| region.as_ref().to_string()) else {
            return Err(Error::refused("no AWS region is set").hint("set `aws.region` in the workflow, or AWS_REGION"));
        };
        check_credentials(&config).await?;
        // A store that is not AWS has no name server entry for each bucket.
        let elsewhere = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(elsewhere).build();
        Ok(Self {
            sfn: aws_sdk_sfn::Client::new(&config),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            quotas: aws_sdk_servicequotas::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            storages: Storages::in_region("aws", &region),
            region,
        })
    }
}

/// Asks for credentials now: that there are none is told once and plainly, not by whichever call comes first.
async fn check_credentials(config: &SdkConfig) -> Result<()> {
    use aws_sdk_s3::config::ProvideCredentials;
    let none = |why: String| {
        Error::surroundings(format!("no AWS credentials were found{why}"))
            .hint("set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    };
    let provider = config.credentials_provider().ok_or_else(|| none(String::new()))?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(none(format!(": {}", crate::error::causes(&error)))),
    }
}
