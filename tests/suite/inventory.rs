//! Inventories of S3: what is listed, where its files are, what is not the report that the manifest names.

use std::fs;
use std::io::Write;
use std::path::Path;

use fanfold::expression::Params;
use fanfold::reader::{Input, Judged, Position, Selection, freeze};
use fanfold::{Error, ErrorKind};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::reader::{Stage, resumes_anywhere};
use crate::s3_server::{Fault, S3Server};
use crate::stage::{Done, Running, Stage as Program};

const SCHEMA: &str = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";
const CONFIG: &str = "in/photos/daily/";
const MANIFEST: &str = "in/photos/daily/2026-11-22T01-00Z/manifest.json";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn hex_md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row of a report as S3 writes it.
fn row(key: &str, version: &str, latest: bool, marker: bool, size: &str) -> String {
    format!(
        "\"photos\",\"{key}\",\"{version}\",\"{latest}\",\"{marker}\",\"{size}\",\"2026-11-20T10:00:00.000Z\",\"9a0364b9e99bb480dd25e1f0284c8555\",\"STANDARD\"\n"
    )
}

/// A report: the files by their keys, and the manifest that names them.
fn report(files: &[&str]) -> Vec<(String, Vec<u8>)> {
    let packed: Vec<_> = files.iter().enumerate().map(|(n, text)| (format!("{CONFIG}data/{n}.csv.gz"), gzip(text))).collect();
    let names: Vec<_> =
        packed.iter().map(|(key, bytes)| json!({ "key": key, "size": bytes.len(), "MD5checksum": hex_md5(bytes) })).collect();
    let manifest = json!({
        "sourceBucket": "photos", "destinationBucket": "arn:aws:s3:::bucket", "version": "2016-11-30",
        "creationTimestamp": "1763773200000", "fileFormat": "CSV", "fileSchema": SCHEMA, "files": names,
    });
    [packed, vec![(MANIFEST.to_string(), manifest.to_string().into_bytes())]].concat()
}

/// Two files: a folder placeholder, a name with everything in it, versions of one object, one that was deleted.
fn sample() -> Vec<(String, Vec<u8>)> {
    let first = [
        row("raw/", "", true, false, "0"),
        row("raw/a+b%2Bc%C3%A9%22%0A.jpg", "v3", true, false, "3399671"),
        row("raw/a+b%2Bc%C3%A9%22%0A.jpg", "v2", false, false, "3399000"),
    ];
    let second = [
        row("raw/gone.jpg", "v9", true, true, ""),
        row("raw/gone.jpg", "v8", false, false, "5"),
        row("raw/%FF.jpg", "", true, false, "1"),
    ];
    report(&[&first.concat(), &second.concat()])
}

async fn frozen(stage: &Stage, server: &S3Server, items: Value) -> Result<Input, Error> {
    let config = stage.config(items);
    let name = config.source.to_string();
    freeze(&config, &server.storages("run"), &stage.run_dir(), &name).await
}

/// Each item: what it is called, and why it is left out or fails.
fn told(stage: &Stage, items: &Value, input: &Input) -> Vec<(String, String)> {
    let selection = Selection::new(&stage.config(items.clone()), input, &Params::new(json!({})));
    assert!(!selection.is_everything());
    let mut rows = input.open(&stage.run_dir()).unwrap().rows(Position::START).unwrap();
    let mut told = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        told.push(match row.value() {
            Err(failure) => (selection.key_of_invalid(&row).to_string(), failure.to_string()),
            Ok(item) => {
                let judged = match selection.judge(&item).unwrap() {
                    Judged::Selected => String::new(),
                    Judged::LeftOut(why) => why,
                };
                (selection.key_of(&row, &item).unwrap().to_string(), judged)
            }
        });
    }
    told
}

#[tokio::test]
async fn an_inventory_has_the_shape_of_step_functions_and_the_keys_of_the_bucket() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    for (key, bytes) in sample() {
        server.put(&key, bytes.clone());
        stage.write(&format!("copy/{key}"), bytes);
    }
    let remote = json!({ "inventory": { "source": format!("s3://bucket/{MANIFEST}") } });
    let local = json!({ "inventory": { "source": format!("$/copy/{MANIFEST}") } });
    for items in [&remote, &local] {
        // What breaks off is fetched on.
        server.fail(&[Fault::HalfTheBody, Fault::CutAt(30), Fault::CutAt(1)]);
        let input = frozen(&stage, &server, items.clone()).await.unwrap();
        server.fail(&[]);
        assert_eq!((input.count(), input.kind(), input.is_cut()), (6, "inventory", false));
        assert_eq!(input.etag().is_some(), *items == remote);
        let found = stage.items(&input);
        assert_eq!(
            found[1],
            Ok(json!({
                "Bucket": "photos", "Key": "raw/a b+cé\"\n.jpg", "VersionId": "v3", "IsLatest": "true", "IsDeleteMarker": "false",
                "Size": "3399671", "LastModifiedDate": "2026-11-20T10:00:00.000Z", "ETag": "9a0364b9e99bb480dd25e1f0284c8555",
                "StorageClass": "STANDARD",
            }))
        );
        resumes_anywhere(&stage, &input);
        let said = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, why)| (key.to_string(), why.to_string())).collect::<Vec<_>>();
        let invalid = "Item.InvalidName: the name `raw/%FF.jpg` is not UTF-8 and cannot be a `Key`";
        assert_eq!(
            told(&stage, items, &input),
            said(&[
                ("photos/raw/", "a folder placeholder"),
                ("photos/raw/a b+cé\"\n.jpg", ""),
                ("photos/raw/a b+cé\"\n.jpg", "not the latest version"),
                ("photos/raw/gone.jpg", "a delete marker"),
                ("photos/raw/gone.jpg", "not the latest version"),
                ("photos/raw/%FF.jpg", invalid),
            ])
        );
        let mut all = items.clone();
        all["inventory"]["versions"] = json!("all");
        all["exclude"] = json!("gone*");
        let input = frozen(&stage, &server, all.clone()).await.unwrap();
        assert_eq!(
            told(&stage, &all, &input),
            said(&[
                ("photos/raw/", "a folder placeholder"),
                ("photos/raw/a b+cé\"\n.jpg?versionId=v3", ""),
                ("photos/raw/a b+cé\"\n.jpg?versionId=v2", ""),
                ("photos/raw/gone.jpg?versionId=v9", "matches `items.exclude`"),
                ("photos/raw/gone.jpg?versionId=v8", "matches `items.exclude`"),
                ("photos/raw/%FF.jpg", invalid),
            ])
        );
        for (limit, cut) in [(1, true), (3, true), (5, true), (6, false)] {
            let mut items = items.clone();
            items["limit"] = json!(limit);
            let input = frozen(&stage, &server, items).await.unwrap();
            assert_eq!((input.count(), input.is_cut()), (limit, cut));
        }
    }
    // It is frozen: the report itself is not needed any more, and nothing of it is kept but the list.
    let input = frozen(&stage, &server, local).await.unwrap();
    fs::remove_dir_all(stage.path("copy")).unwrap();
    assert_eq!((stage.items(&input).len(), input.copies().count()), (6, 0));
    let left: Vec<_> = fs::read_dir(stage.run_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["items.jsonl"]);
}

#[tokio::test]
async fn what_is_not_the_report_of_its_manifest_is_refused() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    let good = sample();
    let (data, bytes) = good[1].clone();
    let shown = format!("s3://bucket/{data}");
    let same_length = |text: &str| text.as_bytes().to_vec();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (files, message) in [
        (
            vec![(data.clone(), bytes[..bytes.len() - 9].to_vec())],
            format!(
                "`{shown}` is not the file that the manifest of the inventory names: it has {} bytes, {} there",
                bytes.len() - 9,
                bytes.len()
            ),
        ),
        (
            vec![(data.clone(), changed.clone())],
            format!(
                "`{shown}` is not the file that the manifest of the inventory names: its MD5 is {}, {} there",
                hex_md5(&changed),
                hex_md5(&bytes)
            ),
        ),
        (report(&["\"photos\",\"a\"\n"]), {
            let shown = shown.replace("1.csv", "0.csv");
            format!(
                "`{shown}`, a file of the inventory, is damaged in its row 1: it has 2 fields, `fileSchema` of the manifest has 9"
            )
        }),
        (
            vec![(MANIFEST.to_string(), same_length("{}"))],
            format!("`s3://bucket/{MANIFEST}` is no manifest of an S3 inventory: missing field"),
        ),
    ] {
        for (key, bytes) in good.iter().chain(&files) {
            server.put(key, bytes.clone());
        }
        let error =
            frozen(&stage, &server, json!({ "inventory": { "source": format!("s3://bucket/{MANIFEST}") } })).await.unwrap_err();
        assert!(error.to_string().starts_with(&message), "{error}\n{message}");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.hint_text().is_some());
    }
    // A file that the manifest names and nobody has.
    server.put(MANIFEST, good[2].1.clone());
    server.put(&data, bytes);
    server.fail(&[Fault::HalfTheBody, Fault::Replaced]);
    let error =
        frozen(&stage, &server, json!({ "inventory": { "source": format!("s3://bucket/{MANIFEST}") } })).await.unwrap_err();
    assert!(error.detail().contains("was replaced while it was read, behind byte"), "{error}");
    server.put(MANIFEST, good[2].1.clone());
    server.remove(&data);
    let error =
        frozen(&stage, &server, json!({ "inventory": { "source": format!("s3://bucket/{MANIFEST}") } })).await.unwrap_err();
    assert!(error.detail().starts_with(&format!("`{shown}`: does not exist")), "{error}");
    let error = frozen(&stage, &server, json!({ "inventory": { "source": "$/manifest.json" } })).await.unwrap_err();
    assert!(error.detail().ends_with("/manifest.json` does not exist"), "{error}");
}

/// A command of the installed program that finds this server.
fn run(stage: &Program, server: &S3Server, args: &[&str]) -> Done {
    let mut command = stage.command_of(Path::new(env!("CARGO_BIN_EXE_fanfold")), args);
    command.envs(server.environment());
    Running::of(command).wait()
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_are_resized_by_an_inventory_of_their_bucket() {
    let server = S3Server::start().await;
    let photo = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/samples/photos/abstract-roof-01.jpg")).unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("raw/p {n:02}+é.jpg")).collect();
    for name in &names {
        server.put(name, photo.clone());
    }
    let encoded = |name: &str| name.replace('+', "%2B").replace(' ', "+").replace('é', "%C3%A9");
    let rows: String = names.iter().map(|name| row(&encoded(name), "", true, false, &photo.len().to_string())).collect();
    // It is as old as the report: what is there no more is a failed item.
    for (key, bytes) in report(&[&rows, &row("raw/old.jpg", "", true, false, "7"), &row("raw/note.txt", "", true, false, "7")]) {
        server.put(&key, bytes);
    }
    let stage = Program::new();
    let items = format!("items: {{ inventory: {{ source: s3://bucket/{MANIFEST} }}, match: \"*.jpg\" }}");
    let job = |more: &str| {
        format!(
            "fanfold: 1\nname: x\n{items}\njob: {{ image_resize: {{ width: 16, destination: s3://bucket/small/ {more} }} }}\n"
        )
    };
    stage.write("flow.yaml", job(""));
    run(&stage, &server, &["run", "flow.yaml"]).ended(2).says("hint: add `source:` with the folder or the S3 prefix");
    stage.write("flow.yaml", job(", source: s3://bucket/raw/"));
    run(&stage, &server, &["run", "flow.yaml", "--as", "x", "--limit", "5"]).ended(3);
    // The list is frozen: a report that comes later is another run's.
    server.remove(MANIFEST);
    run(&stage, &server, &["resume", "x"]).ended(1).says("22 items: 20 succeeded, 1 skipped, 1 failed");
    assert!(names.iter().all(|name| server.get(&name.replace("raw/", "small/")).is_some()));
    let failed = stage.run_fanfold(&["results", "x", "--failed", "--json"]).ended(0).lines();
    assert_eq!((failed.len(), failed[0]["key"].as_str()), (1, Some("photos/raw/old.jpg")));
    // A table of them is another job, over the same list.
    stage.write("list.yaml", format!("fanfold: 1\nname: list\n{items}\njob: {{ csv_import: {{ database: list.db, table: photos, create_table: true, columns: {{ key: {{ type: text, column: Key }}, size: {{ type: integer, column: Size }} }} }} }}\n"));
    server.put(MANIFEST, report(&[&rows]).pop().unwrap().1);
    run(&stage, &server, &["run", "list.yaml"]).ended(0).says("20 items: 20 succeeded");
}
