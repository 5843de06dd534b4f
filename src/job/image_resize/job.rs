//! [`ImageResize`]: the job, between its storages.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore};

use super::config::ImageResizeConfig;
use super::name;
use super::recipe::Recipe;
use crate::expression::{Scope, Setting};
use crate::job::{Attempt, ConfigError, Fleet, Job, JobError, Setup, Within, Work};
use crate::storage::{Location, OnExists, Put, Storage, Storages};

/// How much of the sources is in memory at once, waiting for a core or being decoded. Many items are in flight so that
/// reading overlaps with computing; this bounds what they hold. A larger file goes alone.
const SOURCE_KIB: u32 = 64 * 1024;

/// What a file counts as whose size the item does not say.
const UNKNOWN_KIB: u32 = 8 * 1024;

/// Resizes pictures. See [`ImageResizeConfig`].
#[derive(Debug)]
pub struct ImageResize {
    recipe: Recipe,
    name: Option<Setting<String>>,
    config: ImageResizeConfig,
    source: Location,
    storages: Storages,
    /// Opened by the first item: making a job asks nothing of the network.
    opened: OnceCell<Opened>,
    source_memory: Arc<Semaphore>,
}

#[derive(Debug)]
struct Opened {
    source: Storage,
    destination: Storage,
}

/// An object, as Step Functions lists it; fields it may have beside these do not matter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ObjectItem {
    /// The full key on S3; in a folder the path below it.
    pub key: String,
    /// Its size in bytes; an inventory has it as a text.
    #[serde(default, deserialize_with = "bytes")]
    #[schemars(with = "Option<u64>")]
    pub size: Option<u64>,
    /// Its version when it was listed; a picture that has changed since is failed, `Item.Changed`.
    #[serde(default)]
    pub etag: Option<String>,
}

/// A number, or the text of one; anything else is as if it were not there.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let found = Value::deserialize(deserializer)?;
    Ok(found.as_u64().or_else(|| found.as_str()?.parse().ok()))
}

/// A picture that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResizedItem {
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it is: a path, or `s3://bucket/key`.
    pub destination: String,
}

impl ImageResize {
    /// The picture's name below the source.
    fn source_name<'k>(&self, key: &'k str) -> Result<&'k str, JobError> {
        self.source.name_of(key).ok_or_else(|| {
            let detail = format!("`{}` is not below the source `{}`", key.escape_debug(), self.source);
            JobError::permanent(detail).named("Item.InvalidName")
        })
    }

    /// The result's name below the destination.
    fn name(&self, key: &str, scope: &Scope<'_>) -> Result<String, JobError> {
        let name = match &self.name {
            Some(name) => name.get(scope).map_err(|error| JobError::permanent(error).named("Item.InvalidName"))?,
            None => name::with_extension(self.source_name(key)?, self.config.format),
        };
        name::check(&name)?;
        Ok(name)
    }

    fn is_there(&self, name: &str) -> JobError {
        JobError::skipped(format!("`{}` is there already", self.config.destination.address(name)))
    }

    async fn opened(&self) -> Result<&Opened, JobError> {
        let open = async {
            Ok::<_, JobError>(Opened {
                source: self.storages.open(&self.source).await?,
                destination: self.storages.open(&self.config.destination).await?,
            })
        };
        self.opened.get_or_try_init(|| open).await
    }
}

impl Job for ImageResize {
    const NAME: &'static str = "image_resize";
    const WORK: Work = Work::Cpu;
    const PUBLISHES: bool = true;
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("Image.Empty", "The file has not one byte. Put it back, then redrive."),
        ("Image.Unsupported", "The file is no JPEG, PNG, WebP or GIF; the cause says what it is. Leave it out by `items.match`."),
        ("Image.Truncated", "The end of the file is missing. Fetch it again, then redrive."),
        ("Image.Damaged", "The bytes of the file contradict themselves. Fetch it again, then redrive."),
        ("Image.TooLarge", "The picture has more pixels than `max_pixels`. Raise that, then redrive with `--accept`."),
    ];

    type Config = ImageResizeConfig;
    type Input = ObjectItem;
    type Output = ResizedItem;

    fn check(config: &ImageResizeConfig, _: &Within) -> Result<(), ConfigError> {
        config.check()
    }

    fn fleet(config: &ImageResizeConfig) -> Result<Fleet, ConfigError> {
        config.fleet()
    }

    fn new(config: ImageResizeConfig, setup: &Setup) -> Result<Self, ConfigError> {
        let Some(source) = config.source.clone().or_else(|| setup.source().cloned()) else {
            return Err(ConfigError::new(
                "source",
                "missing: the workflow's `items` are not `objects`, so they do not say where the pictures are",
            )
            .hint("add `source:` with the folder or the S3 prefix that the items' `Key` is in"));
        };
        let destination = &config.destination;
        let overlap = if source.contains(destination) && destination.contains(&source) {
            Some(format!("`{destination}` is the source itself: results would take the place of the pictures"))
        } else if source.contains(destination) {
            Some(format!("`{destination}` is inside the source `{source}`: the next run would resize its results again"))
        } else if destination.contains(&source) {
            Some(format!("the source `{source}` is inside `{destination}`: a result could take the place of a picture"))
        } else {
            None
        };
        if let Some(detail) = overlap {
            return Err(ConfigError::new("destination", detail).hint("choose a folder or prefix beside the source"));
        }
        Ok(Self {
            recipe: Recipe::from(&config),
            name: config.name.clone(),
            source,
            storages: setup.storages().clone(),
            opened: OnceCell::new(),
            source_memory: Arc::new(Semaphore::new(SOURCE_KIB as usize)),
            config,
        })
    }

    async fn ready(&self) -> Result<(), JobError> {
        Ok(self.opened().await?.destination.writable().await?)
    }

    async fn run(&self, item: ObjectItem, attempt: &Attempt<'_>) -> Result<ResizedItem, JobError> {
        let source_name = self.source_name(&item.key)?;
        let name = self.name(&item.key, attempt.scope())?;
        let storages = self.opened().await?;
        if self.config.on_exists == OnExists::Skip && storages.destination.exists(&name).await? {
            // Known before the work; the publishing below still holds against others who write meanwhile.
            return Err(self.is_there(&name));
        }

        let kib = item.size.map_or(UNKNOWN_KIB, |bytes| u32::try_from(bytes.div_ceil(1024)).unwrap_or(SOURCE_KIB));
        let memory = Arc::clone(&self.source_memory);
        // The semaphore is never closed.
        let memory = memory.acquire_many_owned(kib.clamp(1, SOURCE_KIB)).await.map_err(JobError::transient)?;
        // Redriven, an item is taken as it is now: that it changed is usually why.
        let version = item.etag.as_deref().filter(|_| attempt.redrive() == 0);
        let bytes = storages.source.get(source_name, version).await?;

        let recipe = self.recipe;
        let work = move || {
            let _memory = memory;
            recipe.make(&bytes)
        };
        let resized = attempt.compute(work).await?;
        if attempt.is_cancelled() {
            return Err(JobError::transient("given up before the result was published"));
        }
        let length = resized.bytes.len() as u64;
        match storages.destination.put(&name, resized.bytes.into(), self.config.on_exists).await? {
            Put::Kept if self.config.on_exists == OnExists::Skip => Err(self.is_there(&name)),
            Put::Written | Put::Kept => Ok(ResizedItem {
                width: resized.width,
                height: resized.height,
                bytes: length,
                destination: self.config.destination.address(&name),
            }),
        }
    }

    fn destination(&self, item: &ObjectItem, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        Ok(Some(self.config.destination.address(&self.name(&item.key, scope)?)))
    }
}
