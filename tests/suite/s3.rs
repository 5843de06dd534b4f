//! Storage on S3, against a server of our own.

use std::time::Duration;

use bytes::Bytes;
use fanfold::storage::{Location, OnExists, Put, Storage, StorageError, StorageErrorKind};
use fanfold::{ErrorKind, JobError};

use crate::s3_server::{BUCKET, Fault, S3Server};
use crate::stage::{Running, Stage, finished};

async fn open(server: &S3Server, prefix: &str) -> Storage {
    server.storages("run").open(&Location::s3(BUCKET, prefix)).await.unwrap()
}

async fn names(storage: &Storage) -> (Vec<String>, Vec<usize>) {
    let (mut names, mut pages) = (Vec::new(), Vec::new());
    let mut listing = storage.list();
    while let Some(page) = listing.next().await.unwrap() {
        pages.push(page.len());
        names.extend(page.into_iter().map(|object| object.name));
    }
    (names, pages)
}

#[tokio::test]
async fn a_listing_goes_past_a_thousand_keys_and_stays_in_its_folder() {
    let server = S3Server::start().await;
    for index in 0..2500 {
        server.put(&format!("photos1/{index:04}.jpg"), "x");
    }
    server.put("photos10/other.jpg", "x");
    server.put("photos1", "x");
    let (found, pages) = names(&open(&server, "photos1").await).await;
    assert_eq!(pages, [1000, 1000, 500]);
    assert_eq!(found.len(), 2500);
    assert_eq!(found.first().unwrap(), "0000.jpg");
    assert!(found.is_sorted());
    assert_eq!(names(&open(&server, "nothing/here").await).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn keys_of_any_characters_are_listed_and_read() {
    let server = S3Server::start().await;
    let keys = ["a b+c%41.jpg", "line\nbreak", "one\u{1}control", "placeholder/", "ü/&<>\"'?#.txt"];
    for key in keys {
        server.put(&format!("in/{key}"), key.to_string());
    }
    let storage = open(&server, "in").await;
    assert_eq!(names(&storage).await.0, keys);
    for key in keys {
        assert_eq!(storage.get(key, None).await.unwrap(), key, "{key:?}");
    }
}

#[tokio::test]
async fn an_object_is_read_only_in_the_version_that_was_listed() {
    let server = S3Server::start().await;
    server.put("in/a", "before");
    let storage = open(&server, "in").await;
    let listed = storage.list().next().await.unwrap().unwrap().remove(0);
    assert_eq!((listed.size, listed.last_modified, listed.storage_class.as_str()), (6, 1_793_527_200, "STANDARD"));
    assert_eq!(storage.get("a", Some(&listed.etag)).await.unwrap(), "before");
    server.put("in/a", "after");
    let error = storage.get("a", Some(&listed.etag)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Changed);
    assert_eq!(JobError::from(error).name(), "Item.Changed");
    assert_eq!(storage.get("a", None).await.unwrap(), "after");
    let error = storage.get("b", None).await.unwrap_err();
    assert_eq!(error.to_string(), "`s3://bucket/in/b`: does not exist (NoSuchKey: The specified key does not exist.)");
    assert_eq!(JobError::from(error).name(), "Item.NotFound");
}

#[tokio::test]
async fn a_put_keeps_what_is_there_if_it_should() {
    let server = S3Server::start().await;
    let storage = open(&server, "out").await;
    let put = async |text: &'static str, exists| storage.put("deep/a.jpg", Bytes::from(text), exists).await;
    assert_eq!(put("one", OnExists::Fail).await.unwrap(), Put::Written);
    assert_eq!(put("two", OnExists::Skip).await.unwrap(), Put::Kept);
    let error = put("three", OnExists::Fail).await.unwrap_err();
    assert_eq!(error.to_string(), "`s3://bucket/out/deep/a.jpg` exists already");
    assert_eq!(server.get("out/deep/a.jpg").unwrap(), "one");
    assert_eq!(put("four", OnExists::Overwrite).await.unwrap(), Put::Written);
    assert_eq!(server.get("out/deep/a.jpg").unwrap(), "four");
    for name in ["../a", "/a", "a//b", "", "a/./b"] {
        let error = storage.put(name, Bytes::new(), OnExists::Overwrite).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::BadName, "{name}");
    }
}

#[tokio::test]
async fn a_busy_s3_is_asked_again_and_then_left_to_the_item() {
    let server = S3Server::start().await;
    server.put("a", "x");
    let storage = open(&server, "").await;
    server.fail(&[Fault::SlowDown, Fault::SlowDown]);
    assert_eq!(storage.get("a", None).await.unwrap(), "x");
    server.fail(&[Fault::SlowDown; 3]);
    let before = server.requests().len();
    let error = storage.get("a", None).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Throttled { retry_after: Some(Duration::from_secs(7)) });
    assert_eq!(JobError::from(error).name(), "Job.Throttled");
    assert_eq!(server.requests().len() - before, 3);
}

#[tokio::test]
async fn half_a_body_is_no_body() {
    let server = S3Server::start().await;
    server.put("a", vec![7u8; 100_000]);
    let storage = open(&server, "").await;
    server.fail(&[Fault::HalfTheBody]);
    let error = storage.get("a", None).await.map(|bytes| bytes.len()).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Transient, "{error}");
}

/// The bytes of an object, in the pieces in which they come.
async fn read(storage: &Storage, name: &str) -> Result<Vec<u8>, StorageError> {
    let mut reading = storage.read(name).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reading.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn reading_goes_on_where_it_broke_off() {
    let server = S3Server::start().await;
    let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    server.put("a", bytes.clone());
    let storage = open(&server, "").await;
    server.fail(&[Fault::HalfTheBody; 3]);
    assert!(read(&storage, "a").await.unwrap() == bytes);
    assert_eq!(server.requests().len(), 4);
    // Answers that bring nothing are not asked for without an end; one that does gives new courage.
    let barren = [Fault::CutAt(0); 4];
    server.fail(&[&barren[..], &[Fault::CutAt(7)], &barren[1..], &[Fault::SlowDown]].concat());
    assert!(read(&storage, "a").await.unwrap() == bytes);
    server.fail(&[Fault::CutAt(0); 20]);
    let before = server.requests().len();
    let error = read(&storage, "a").await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Transient, "{error}");
    assert_eq!(server.requests().len() - before, 5);
    server.fail(&[Fault::HalfTheBody]);
    server.without_ranges();
    let error = read(&storage, "a").await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Transient, "{error}");
    assert!(read(&storage, "a").await.unwrap() == bytes);
}

#[tokio::test]
async fn an_object_that_becomes_another_one_is_not_read_on() {
    let server = S3Server::start().await;
    let storage = open(&server, "").await;
    for (fault, what) in [(Fault::Replaced, "replaced"), (Fault::Removed, "removed")] {
        server.put("a", (0..100u8).collect::<Vec<_>>());
        server.fail(&[fault]);
        let error = read(&storage, "a").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                StorageErrorKind::Changed,
                format!("`s3://bucket/a` was {what} while it was read, behind byte 50 of 100; hint: begin again when it stays as it is")
                    .as_str()
            )
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_everything_is_not_the_items_fault() {
    let server = S3Server::start().await;
    server.put("a", "x");
    let storage = open(&server, "").await;

    server.fail(&[Fault::Denied]);
    let error = storage.get("a", None).await.unwrap_err();
    assert_eq!(error.to_string(), "`s3://bucket/a`: access is denied (AccessDenied: Access Denied)");
    assert_eq!(JobError::from(error).name(), "Item.Denied");
    server.fail(&[Fault::Denied]);
    let error = storage.put("b", Bytes::new(), OnExists::Overwrite).await.unwrap_err();
    assert_eq!(JobError::from(error).name(), "Job.Surroundings");
    server.fail(&[Fault::ExpiredToken]);
    let error = storage.get("a", None).await.unwrap_err();
    assert_eq!(JobError::from(error).name(), "Job.Surroundings");
    server.fail(&[Fault::OtherRegion]);
    let error = storage.list().next().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`s3://bucket/`: the bucket is in region us-west-2, not in the one that is set \
         (PermanentRedirect: Use the specified endpoint.); hint: set AWS_REGION=us-west-2"
    );
    assert_eq!(fanfold::Error::from(error).kind(), ErrorKind::Surroundings);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_before_anything_starts() {
    let server = S3Server::start().await;
    open(&server, "").await.writable().await.unwrap();
    let other = server.storages("run").open(&"s3://buckett/x".parse().unwrap()).await.unwrap();
    assert_eq!(other.writable().await.unwrap_err().kind(), StorageErrorKind::NotFound);
    let error = other.list().next().await.unwrap_err();
    assert_eq!(error.to_string(), "the bucket `buckett` does not exist (NoSuchBucket: The specified bucket does not exist)");
}

/// 1,200 photos from a bucket into a bucket by the installed program, killed once on the way: past a page of the listing, with a folder
/// placeholder, a prefix beside ours, one object that is no picture, and an S3 that is busy now and then.
#[tokio::test(flavor = "multi_thread")]
async fn photos_go_from_a_bucket_into_a_bucket_through_a_kill() {
    const PHOTOS: usize = 1_200;
    let server = S3Server::start().await;
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/samples/photos/abstract-roof-01.jpg");
    let photo = Bytes::from(std::fs::read(sample).unwrap());
    for n in 0..PHOTOS {
        server.put(&format!("photos1/{:02}/p{n:04}.jpg", n % 20), photo.clone());
    }
    server.put("photos1/", "");
    server.put("photos1/note.txt", "no picture");
    server.put("photos10/other.jpg", photo);
    let stage = Stage::new();
    stage.write(
        "flow.yaml",
        "fanfold: 1\nname: s3\nitems: { objects: { source: s3://bucket/photos1 } }\nbatch: { max_items: 50 }\nmax_concurrency: 100\n\
         job: { image_resize: { width: 16, destination: s3://bucket/small/ } }\n",
    );
    let command = || {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_fanfold"));
        let mut command = stage.command_of(program, &["run", "flow.yaml", "--as", "x", "--json"]);
        command.envs(server.environment());
        command
    };
    let made = || (0..PHOTOS).filter(|n| server.get(&format!("small/{:02}/p{n:04}.jpg", n % 20)).is_some()).count();
    server.fail(&[Fault::SlowDown; 2]);
    let running = Running::of(command());
    stage.until("some thumbnails", |_| made() > 300);
    running.kill();
    assert!(made() < PHOTOS, "it was killed too late to show anything");
    let last = finished(&Running::of(command()).wait().ended(1).lines());
    let items = &last["items"];
    assert_eq!((&items["total"], &items["succeeded"]), (&(PHOTOS + 2).into(), &PHOTOS.into()), "{last}");
    assert_eq!((&items["skipped"], &items["failed"], &items["pending"]), (&1.into(), &1.into(), &0.into()), "{last}");
    assert_eq!(made(), PHOTOS);
    let failed = stage.json(0, &["results", "x", "--failed"]);
    assert_eq!((&failed[0]["key"], &failed[0]["error"]), (&"bucket/photos1/note.txt".into(), &"Image.Unsupported".into()));
    // The server's own log is the judge: what had an outcome at the kill was not fetched again.
    let fetched = server.requests().iter().filter(|line| line.starts_with("GET") && line.contains("/p")).count();
    assert!(fetched < PHOTOS * 3 / 2, "{fetched} fetches for {PHOTOS} photos");
}
