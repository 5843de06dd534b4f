//! Storage on S3, against a server of our own.

use std::time::Duration;

use bytes::Bytes;
use fanfold::storage::{Location, OnExists, Put, Storage, StorageErrorKind};
use fanfold::{ErrorKind, JobError};

use crate::s3_server::{BUCKET, Fault, S3Server};

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
    let target = tempfile::tempdir().unwrap();
    server.fail(&[Fault::HalfTheBody]);
    let error = storage.download("a", &target.path().join("a")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Transient, "{error}");
    storage.download("a", &target.path().join("a")).await.unwrap();
    assert_eq!(std::fs::read(target.path().join("a")).unwrap(), vec![7u8; 100_000]);
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
