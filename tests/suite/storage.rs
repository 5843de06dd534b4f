//! Storage in a folder: names stay inside, files are whole, listings are those of S3.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use fanfold::JobError;
use fanfold::storage::{Location, Object, OnExists, Put, Storage, StorageErrorKind, Storages};
use tempfile::TempDir;

async fn open(root: &Path) -> (Storages, Storage) {
    let storages = Storages::new("run-1");
    let storage = storages.open(&Location::Folder(root.to_path_buf())).await.unwrap();
    (storages, storage)
}

async fn list(storage: &Storage) -> Vec<Object> {
    let mut objects = Vec::new();
    let mut pages = storage.list();
    while let Some(page) = pages.next().await.unwrap() {
        assert!(!page.is_empty() && page.len() <= 1000);
        objects.extend(page);
    }
    objects
}

async fn names(storage: &Storage) -> Vec<String> {
    list(storage).await.into_iter().map(|object| object.name).collect()
}

fn stage(files: &[&str]) -> TempDir {
    let stage = tempfile::tempdir().unwrap();
    for file in files {
        let path = stage.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    stage
}

#[tokio::test]
async fn a_folder_is_listed_in_the_order_of_s3() {
    let stage = stage(&["a/x", "a.txt", "a-b/y", "a0", "Z", ".hidden", "a/b/c", "é", ".fanfold/runs/1", "sub/.fanfold-old/3"]);
    fs::create_dir(stage.path().join("empty")).unwrap();
    let (_, storage) = open(stage.path()).await;
    let found = names(&storage).await;
    assert_eq!(found, [".hidden", "Z", "a-b/y", "a.txt", "a/b/c", "a/x", "a0", "é"]);
    assert!(found.is_sorted());
}

#[tokio::test]
async fn a_listing_of_thousands_comes_in_pages() {
    let stage = tempfile::tempdir().unwrap();
    for index in 0..2100 {
        fs::write(stage.path().join(format!("{index}")), "").unwrap();
    }
    let (_, storage) = open(stage.path()).await;
    let found: BTreeSet<_> = names(&storage).await.into_iter().collect();
    assert_eq!(found, (0..2100).map(|index| index.to_string()).collect());
}

#[tokio::test]
async fn links_are_followed_and_never_in_circles() {
    let stage = stage(&["real/a", "real/b"]);
    symlink("a", stage.path().join("real/link")).unwrap();
    symlink("real", stage.path().join("also")).unwrap();
    symlink("..", stage.path().join("real/up")).unwrap();
    symlink("loop", stage.path().join("loop")).unwrap();
    symlink("nowhere", stage.path().join("broken")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, stage.path().join("fifo"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (_, storage) = open(stage.path()).await;
    let found = names(&storage).await;
    assert_eq!(found, ["also/a", "also/b", "also/link", "broken", "loop", "real/a", "real/b", "real/link"]);
    assert_eq!(storage.get("real/link", None).await.unwrap(), "real/a");
    for (name, words) in [("broken", "does not exist"), ("loop", "is a symbolic link that leads to itself")] {
        let error = storage.get(name, None).await.unwrap_err();
        assert_eq!(error.detail(), format!("`{}`: {words}", stage.path().join(name).display()));
        assert_eq!(JobError::from(error).name(), "Item.NotFound");
    }
    let error = storage.get("fifo", None).await.unwrap_err();
    assert!(error.detail().ends_with("is not a regular file"), "{error}");
    let error = storage.get("real", None).await.unwrap_err();
    assert!(error.detail().ends_with("is a folder"), "{error}");
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_listed_all_the_same() {
    let stage = stage(&["a", "z"]);
    if fs::write(stage.path().join(OsStr::from_bytes(b"m\xff\nx")), "").is_err() {
        return; // A file system that only takes UTF-8 has no such names.
    }
    let (_, storage) = open(stage.path()).await;
    let found: Vec<_> = list(&storage).await.into_iter().map(|object| (object.name, object.not_utf8)).collect();
    assert_eq!(found, [("a".into(), false), ("m\\xff\nx".into(), true), ("z".into(), false)]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_refused_with_the_one_that_is() {
    let stage = stage(&["photos/a", "file"]);
    let (_, storage) = open(&stage.path().join("phtos")).await;
    let error = storage.list().next().await.unwrap_err();
    let at = |name: &str| stage.path().join(name).display().to_string();
    assert_eq!(error.to_string(), format!("`{}`: does not exist; hint: did you mean `{}`?", at("phtos"), at("photos")));
    let (_, storage) = open(&stage.path().join("file")).await;
    let error = storage.list().next().await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` is a file, not a folder", at("file")));
    let error = storage.writable().await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` is a file, not a folder", at("file")));
}

#[tokio::test]
async fn a_file_is_read_only_in_the_version_that_was_listed() {
    let stage = stage(&["a"]);
    let (_, storage) = open(stage.path()).await;
    let listed = list(&storage).await.remove(0);
    assert_eq!(storage.get("a", Some(&listed.etag)).await.unwrap(), "a");
    assert_eq!(listed.size, 1);
    fs::write(stage.path().join("a"), "longer").unwrap();
    let error = storage.get("a", Some(&listed.etag)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Changed);
    assert_eq!(storage.get("a", None).await.unwrap(), "longer");
}

#[tokio::test]
async fn a_put_makes_its_folders_and_leaves_nothing_behind() {
    let stage = tempfile::tempdir().unwrap();
    let root = stage.path().join("out/deep");
    let (storages, storage) = open(&root).await;
    // What a killed run of the same id has left.
    fs::create_dir_all(root.join(".fanfold-run-1")).unwrap();
    fs::write(root.join(".fanfold-run-1/0"), "torn").unwrap();
    storage.writable().await.unwrap();
    assert_eq!(fs::read_dir(root.join(".fanfold-run-1")).unwrap().count(), 0);
    for name in ["x.jpg", "a/b/x.jpg", "a/y.jpg", "...", ".fanfoldish"] {
        assert_eq!(storage.put(name, Bytes::from(name), OnExists::Overwrite).await.unwrap(), Put::Written, "{name}");
        assert_eq!(fs::read(root.join(name)).unwrap(), name.as_bytes());
    }
    storages.sweep().await;
    assert!(!root.join(".fanfold-run-1").exists());
    assert_eq!(names(&storage).await, ["...", ".fanfoldish", "a/b/x.jpg", "a/y.jpg", "x.jpg"]);
    // A folder that someone removes is made again.
    fs::remove_dir_all(root.join("a")).unwrap();
    storage.put("a/b/z", Bytes::from("again"), OnExists::Overwrite).await.unwrap();
    assert_eq!(fs::read(root.join("a/b/z")).unwrap(), b"again");
    storages.sweep().await;
    assert_eq!(names(&storage).await, ["...", ".fanfoldish", "a/b/z", "x.jpg"]);
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let stage = tempfile::tempdir().unwrap();
    let (_, storage) = open(&stage.path().join("out")).await;
    for name in ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", "./x", "a\0b", ".fanfold/x", "a/.fanfold-run-1/0"] {
        for error in
            [storage.put(name, Bytes::new(), OnExists::Overwrite).await.unwrap_err(), storage.get(name, None).await.unwrap_err()]
        {
            assert_eq!(error.kind(), StorageErrorKind::BadName, "{name:?}: {error}");
        }
    }
    let error = storage.put("../x", Bytes::new(), OnExists::Overwrite).await.unwrap_err();
    let root = stage.path().join("out").display().to_string();
    assert_eq!(error.detail(), format!("`../x` cannot be a name in `{root}`: it has `.` or `..` as a part"));
    assert_eq!(JobError::from(error).name(), "Destination.InvalidName");
    assert_eq!(fs::read_dir(stage.path()).unwrap().count(), 0);
    let error = storage.put(&"n".repeat(300), Bytes::new(), OnExists::Overwrite).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::BadName, "{error}");
}

#[tokio::test]
async fn what_is_there_is_kept_whoever_else_writes() {
    let stage = tempfile::tempdir().unwrap();
    let (storages, storage) = open(stage.path()).await;
    for exists in [OnExists::Skip, OnExists::Fail] {
        let puts = (0..64).map(|writer: u32| {
            let storage = storage.clone();
            tokio::spawn(async move { storage.put(&format!("{exists:?}"), Bytes::from(writer.to_string()), exists).await })
        });
        let mut written = 0;
        for put in futures_util::future::join_all(puts).await {
            match (put.unwrap(), exists) {
                (Ok(Put::Written), _) => written += 1,
                (Ok(Put::Kept), OnExists::Skip) => {}
                (Err(error), OnExists::Fail) => assert_eq!(error.kind(), StorageErrorKind::Exists),
                (other, _) => panic!("{other:?}"),
            }
        }
        assert_eq!(written, 1);
    }
    assert_eq!(fs::read_dir(stage.path().join(".fanfold-run-1")).unwrap().count(), 0);
    storages.sweep().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_puts_at_once_are_all_there() {
    let stage = tempfile::tempdir().unwrap();
    let (storages, storage) = open(stage.path()).await;
    let puts = (0..500).map(|index: u32| {
        let storage = storage.clone();
        tokio::spawn(async move {
            storage.put(&format!("{}/{index}", index % 7), Bytes::from(index.to_string()), OnExists::Overwrite).await
        })
    });
    for put in futures_util::future::join_all(puts).await {
        assert_eq!(put.unwrap().unwrap(), Put::Written);
    }
    storages.sweep().await;
    for object in list(&storage).await {
        assert_eq!(fs::read_to_string(stage.path().join(&object.name)).unwrap(), object.name.split_once('/').unwrap().1);
    }
    assert_eq!(names(&storage).await.len(), 500);
}

#[tokio::test]
async fn a_folder_is_the_same_by_any_spelling() {
    let stage = stage(&["out/a"]);
    symlink("out", stage.path().join("link")).unwrap();
    let (storages, storage) = open(&stage.path().join("out")).await;
    storage.writable().await.unwrap();
    let scratch = stage.path().join("out/.fanfold-run-1");
    fs::write(scratch.join("in-flight"), "").unwrap();
    for spelling in ["link", "out/../out", "./out"] {
        let same = storages.open(&Location::Folder(stage.path().join(spelling))).await.unwrap();
        same.put("b", Bytes::from(spelling), OnExists::Overwrite).await.unwrap();
        assert_eq!(storage.get("b", None).await.unwrap(), spelling);
    }
    assert!(scratch.join("in-flight").exists());
}

#[tokio::test]
async fn what_is_read_is_one_version() {
    let stage = stage(&["in/a"]);
    let (_, storage) = open(&stage.path().join("in")).await;
    let listed = list(&storage).await.remove(0);
    let mut reading = storage.read("a").await.unwrap();
    assert_eq!(reading.etag(), listed.etag);
    assert_eq!(reading.next().await.unwrap(), Some(Bytes::from("in/a")));
    assert_eq!(reading.next().await.unwrap(), None);
    let error = storage.read("b").await.unwrap_err();
    assert_eq!((error.kind(), error.is_writing()), (StorageErrorKind::NotFound, false));
    let mut reading = storage.read("a").await.unwrap();
    fs::write(stage.path().join("in/a"), "another").unwrap();
    assert_eq!(reading.next().await.unwrap(), Some(Bytes::from("another")));
    assert_eq!(reading.next().await.unwrap_err().kind(), StorageErrorKind::Changed);
}
