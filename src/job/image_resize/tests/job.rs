//! The job between two folders.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::expression::{Params, Scope};
use crate::item::{Item, ItemKey};
use crate::job::image_resize::{ImageResize, ObjectItem, ResizedItem};
use crate::job::{Attempt, ConfigError, Job, JobError, Setup, Within};
use crate::storage::{Location, Storages};

/// A folder with `photos/` beside `small/`.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(stage.path("photos")).expect("a folder");
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path("photos").join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    fn setup(&self, source: Option<&str>) -> Setup {
        Setup {
            workflow: "thumbnails".into(),
            run: "1".into(),
            params: Arc::new(json!({})),
            source: source.map(|name| Location::Folder(self.path(name))),
            storages: Storages::new("1"),
            within: Within::default(),
            succeeded: 0,
            secrets: Arc::new(crate::secrets::Secrets::new(Default::default())),
            wire: None,
            one_of_many: false,
        }
    }

    fn job_with(&self, settings: Value, source: Option<&str>) -> Result<ImageResize, ConfigError> {
        let mut config = json!({ "width": 16, "destination": self.path("small") });
        for (name, value) in settings.as_object().expect("an object") {
            config[name] = value.clone();
        }
        let config = serde_json::from_value(config).expect("a config");
        ImageResize::check(&config, &Within::default())?;
        ImageResize::new(config, &self.setup(source))
    }

    fn job(&self, settings: Value) -> ImageResize {
        self.job_with(settings, Some("photos")).expect("a job")
    }

    /// Runs one item; `change` may alter how.
    async fn run(
        &self,
        job: &ImageResize,
        item: Value,
        change: impl FnOnce(&mut u32, &CancellationToken),
    ) -> Result<ResizedItem, JobError> {
        let item = Item { index: 0, key: ItemKey::Name(item["Key"].to_string()), value: item };
        let params = Params::new(json!({}));
        let (cancelled, cores, mut redrive) = (CancellationToken::new(), Arc::new(Semaphore::new(1)), 0);
        change(&mut redrive, &cancelled);
        let attempt = Attempt {
            number: 1,
            redrive,
            item: &item,
            scope: Scope::params(&params).with_item(&item.value),
            workflow: "thumbnails",
            run: "trial",
            deadline: None,
            cancelled: &cancelled,
            cores: &cores,
            previous: &Value::Null,
            services: &crate::job::NoServices,
        };
        let input: ObjectItem = serde_json::from_value(item.value.clone()).expect("an object");
        job.run(input, &attempt).await
    }

    fn results(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.path("small")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match path.strip_prefix(self.path("small")) {
                    Ok(name) if name.starts_with(".fanfold-1") => {}
                    Ok(_) if path.is_dir() => folders.push(path),
                    Ok(name) => names.push(name.display().to_string()),
                    Err(_) => {}
                }
            }
        }
        names.sort();
        names
    }
}

#[tokio::test]
async fn an_item_becomes_a_smaller_picture_of_its_name() {
    let stage = Stage::new();
    let photo = jpeg(&scene(64, 48), PLAIN);
    stage.put("a/b.JPG", &photo);
    let job = stage.job(json!({}));
    let item = json!({ "Key": "a/b.JPG", "Size": photo.len(), "StorageClass": "STANDARD", "LastModified": 1 });
    let made = stage.run(&job, item.clone(), |_, _| {}).await.expect("a result");
    let path = stage.path("small/a/b.JPG");
    let written = std::fs::read(&path).expect("the result");
    assert_eq!(made, ResizedItem { width: 16, height: 12, bytes: written.len() as u64, destination: path.display().to_string() });
    assert_eq!((seen(&written).width(), seen(&written).height()), (16, 12));

    let webp = stage.job(json!({ "format": "webp" }));
    stage.run(&webp, item.clone(), |_, _| {}).await.expect("a result");
    let named = stage.job(json!({ "name": "{{ item.Key | stem }}-16.bin" }));
    stage.run(&named, item, |_, _| {}).await.expect("a result");
    assert_eq!(stage.results(), ["a/b.JPG", "a/b.webp", "b-16.bin"]);
}

#[tokio::test]
async fn what_is_there_already_is_overwritten_kept_or_fails() {
    let stage = Stage::new();
    stage.put("a.png", &written(scene(40, 40), ImageFormat::Png));
    let item = json!({ "Key": "a.png" });
    std::fs::create_dir(stage.path("small")).expect("a folder");
    std::fs::write(stage.path("small/a.png"), "old").expect("a file");
    let result = stage.path("small/a.png");

    let skip = stage.run(&stage.job(json!({ "on_exists": "skip" })), item.clone(), |_, _| {}).await.expect_err("kept");
    assert_eq!(skip.to_string(), format!("Job.Skipped: `{}` is there already", result.display()));
    let fail = stage.run(&stage.job(json!({ "on_exists": "fail" })), item.clone(), |_, _| {}).await.expect_err("kept");
    assert_eq!(fail.name(), "Destination.Exists");
    assert_eq!(std::fs::read(&result).expect("a file"), b"old");
    stage.run(&stage.job(json!({})), item, |_, _| {}).await.expect("a result");
    assert_eq!(seen(&std::fs::read(&result).expect("a file")).width(), 16);
}

#[tokio::test]
async fn failures_have_stable_names_and_leave_nothing_behind() {
    let stage = Stage::new();
    let photo = jpeg(&scene(64, 48), PLAIN);
    stage.put("cut.jpg", &photo[..photo.len() / 2]);
    stage.put("empty.jpg", b"");
    stage.put("text.jpg", b"not a picture at all");
    stage.put("whole.jpg", &photo);
    let job = stage.job(json!({}));
    for (item, name) in [
        (json!({ "Key": "cut.jpg" }), "Image.Truncated"),
        (json!({ "Key": "empty.jpg", "Size": 0 }), "Image.Empty"),
        (json!({ "Key": "text.jpg" }), "Image.Unsupported"),
        (json!({ "Key": "gone.jpg" }), "Item.NotFound"),
        (json!({ "Key": "whole.jpg", "Etag": "\"another\"" }), "Item.Changed"),
        (json!({ "Key": "../photos/whole.jpg" }), "Item.InvalidName"),
        (json!({ "Key": "/etc/hostname" }), "Item.InvalidName"),
    ] {
        let error = stage.run(&job, item.clone(), |_, _| {}).await.expect_err("a failure");
        assert_eq!(error.name(), name, "{item}: {error}");
    }
    let outside = stage.job(json!({ "name": "../{{ item.Key }}" }));
    let error = stage.run(&outside, json!({ "Key": "whole.jpg" }), |_, _| {}).await.expect_err("a failure");
    assert_eq!(
        error.to_string(),
        "Item.InvalidName: `../whole.jpg` cannot be the name of a result: it has `.` or `..` as a part"
    );
    let missing = stage.job(json!({ "name": "{{ item.title }}" }));
    let error = stage.run(&missing, json!({ "Key": "whole.jpg" }), |_, _| {}).await.expect_err("a failure");
    assert_eq!(error.name(), "Item.InvalidName", "{error}");
    assert!(stage.results().is_empty());
}

#[tokio::test]
async fn a_redriven_item_is_taken_as_it_is_now() {
    let stage = Stage::new();
    stage.put("a.jpg", &jpeg(&scene(64, 48), PLAIN));
    let item = json!({ "Key": "a.jpg", "Etag": "\"before\"", "Size": 1 });
    stage.run(&stage.job(json!({})), item, |redrive, _| *redrive = 1).await.expect("a result");
    assert_eq!(stage.results(), ["a.jpg"]);
}

#[tokio::test]
async fn an_item_given_up_publishes_nothing() {
    let stage = Stage::new();
    stage.put("a.jpg", &jpeg(&scene(64, 48), PLAIN));
    let given_up = stage.run(&stage.job(json!({})), json!({ "Key": "a.jpg" }), |_, cancelled| cancelled.cancel()).await;
    given_up.expect_err("given up");
    assert!(stage.results().is_empty());
}

#[test]
fn the_name_is_known_before_anything_is_read() {
    let stage = Stage::new();
    let (params, value) = (Params::new(json!({})), json!({ "Key": "a/b.png" }));
    let scope = Scope::params(&params).with_item(&value);
    let item = |key: &str| ObjectItem { key: key.to_string(), size: None, etag: None };
    let jpeg = stage.job(json!({ "format": "jpeg" }));
    assert_eq!(
        jpeg.destination(&item("a/b.png"), &scope).expect("a name"),
        Some(stage.path("small/a/b.jpg").display().to_string())
    );
    jpeg.destination(&item("../b.png"), &scope).expect_err("no name");
    let s3 = stage.job(json!({ "source": "s3://bucket/photos" }));
    assert_eq!(
        s3.destination(&item("photos/a/b.png"), &scope).expect("a name"),
        Some(stage.path("small/a/b.png").display().to_string())
    );
    let error = s3.destination(&item("photos10/b.png"), &scope).expect_err("not below");
    assert_eq!(error.to_string(), "Item.InvalidName: `photos10/b.png` is not below the source `s3://bucket/photos/`");
}

#[test]
fn a_destination_that_overlaps_the_source_is_refused() {
    let stage = Stage::new();
    let photos = stage.path("photos").display().to_string();
    let refused = |destination: &str| {
        stage.job_with(json!({ "destination": stage.path(destination) }), Some("photos")).expect_err("refused").to_string()
    };
    assert_eq!(
        refused("photos"),
        format!("`destination`: `{photos}` is the source itself: results would take the place of the pictures")
    );
    assert_eq!(
        refused("photos/small"),
        format!("`destination`: `{photos}/small` is inside the source `{photos}`: the next run would resize its results again")
    );
    let above = stage.0.path().display();
    assert_eq!(
        refused(""),
        format!("`destination`: the source `{photos}` is inside `{above}/`: a result could take the place of a picture")
    );
    let missing = stage.job_with(json!({}), None).expect_err("refused");
    assert_eq!(
        missing.to_string(),
        "`source`: missing: the workflow's `items` are not `objects`, so they do not say where the pictures are"
    );
    stage.job_with(json!({ "source": "s3://bucket/photos" }), None).expect("a source of its own");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let stage = Stage::new();
    for (settings, message) in [
        (json!({ "width": 0 }), "`width`: 0 pixels, allowed are 1 to 16384"),
        (json!({ "height": 16385 }), "`height`: 16385 pixels, allowed are 1 to 16384"),
        (json!({ "width": null }), "`width`: missing: `width`, `height` or both say how large the result is"),
        (json!({ "fit": "cover" }), "`height`: missing: `fit: cover` needs `width` and `height`"),
        (json!({ "fit": "fill", "width": null, "height": 7 }), "`width`: missing: `fit: fill` needs `width` and `height`"),
        (json!({ "quality": 0 }), "`quality`: 0, allowed are 1 to 100"),
        (json!({ "quality": 101 }), "`quality`: 101, allowed are 1 to 100"),
        (json!({ "max_pixels": 0 }), "`max_pixels`: 0 would refuse every picture; at least 1"),
        (json!({ "format": "webp", "width": 16384 }), "`width`: 16384 pixels, a WebP has at most 16383"),
    ] {
        assert_eq!(stage.job_with(settings, Some("photos")).expect_err("refused").to_string(), message);
    }
    for (settings, message) in [
        (json!({ "background": "white" }), "`white` is not a colour: expected `#` and six hexadecimal digits, such as `#ffffff`"),
        (json!({ "background": "#ff" }), "`#ff` is not a colour: expected `#` and six hexadecimal digits, such as `#ffffff`"),
        (json!({ "fit": "stretch" }), "unknown variant `stretch`, expected one of `contain`, `cover`, `fill`"),
    ] {
        let mut config = settings;
        config["destination"] = json!("out");
        let error = serde_json::from_value::<ImageResizeConfig>(config).expect_err("refused");
        assert_eq!(error.to_string(), message);
    }
}
