//! Readers: what is frozen, what is read again, what is refused.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fanfold::expression::Params;
use fanfold::reader::{Input, ItemsConfig, Judged, Position, Selection, freeze};
use fanfold::storage::Storages;
use fanfold::{Error, ErrorKind, Failure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::s3_server::S3Server;

/// A folder with files, and one for the run.
pub struct Stage {
    folder: TempDir,
    pub storages: Storages,
}

impl Stage {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        Self { folder, storages: Storages::new("run") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    pub fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    /// Freezes these `items`, in which `$` stands for the folder.
    pub async fn freeze(&self, items: Value) -> Result<Input, Error> {
        let config = self.config(items);
        let name = config.source.to_string();
        freeze(&config, &self.storages, &self.run_dir(), Path::new(&name).file_name().unwrap().to_str().unwrap()).await
    }

    pub fn config(&self, items: Value) -> ItemsConfig {
        let text = items.to_string().replace('$', self.folder.path().to_str().unwrap());
        serde_json::from_str(&text).unwrap()
    }

    /// Every item of it, or why it is none.
    pub fn items(&self, input: &Input) -> Vec<Result<Value, Failure>> {
        let mut rows = input.open(&self.run_dir()).unwrap().rows(Position::START).unwrap();
        let mut items = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            assert_eq!(row.index, items.len() as u64);
            let value = row.value();
            if let Ok(value) = &value {
                assert!(row.json_len() >= value.to_string().len());
            }
            items.push(value);
        }
        assert_eq!(items.len() as u64, input.count());
        items
    }

    pub async fn all(&self, items: Value) -> Vec<Value> {
        let input = self.freeze(items).await.unwrap();
        self.items(&input).into_iter().map(Result::unwrap).collect()
    }
}

/// Every item can be read alone from where it begins.
pub fn resumes_anywhere(stage: &Stage, input: &Input) {
    let open = input.open(&stage.run_dir()).unwrap();
    let mut rows = open.rows(Position::START).unwrap();
    let mut before = rows.position();
    while let Some(row) = rows.next().unwrap() {
        let (index, value) = (row.index, row.value());
        for position in [before, row.position()] {
            let mut again = open.rows(position).unwrap();
            let again = again.next().unwrap().unwrap();
            assert_eq!((again.index, again.value()), (index, value.clone()));
        }
        before = rows.position();
    }
    assert!(open.rows(before).unwrap().next().unwrap().is_none());
}

#[tokio::test]
async fn objects_of_a_folder_have_the_shape_of_step_functions() {
    let stage = Stage::new();
    stage.write("photos/b.jpg", "12345").write("photos/a/x y.jpg", "1").write("photos/.hidden", "");
    let input = stage.freeze(json!({ "objects": { "source": "$/photos" } })).await.unwrap();
    assert_eq!((input.count(), input.is_cut(), input.kind(), input.source()), (3, false, "objects", "photos"));
    let items: Vec<_> = stage.items(&input).into_iter().map(Result::unwrap).collect();
    let keys: Vec<_> = items.iter().map(|item| item["Key"].as_str().unwrap()).collect();
    assert_eq!(keys, [".hidden", "a/x y.jpg", "b.jpg"]);
    let names: Vec<_> = items[2].as_object().unwrap().keys().collect();
    assert_eq!(names, ["Etag", "Key", "LastModified", "Size", "StorageClass"]);
    assert_eq!((items[2]["Size"].as_u64(), items[2]["StorageClass"].as_str()), (Some(5), Some("STANDARD")));
    assert!(items[2]["LastModified"].as_i64().unwrap() > 1_600_000_000);
    assert!(items[2]["Etag"].as_str().unwrap().starts_with("\"5-"));
    resumes_anywhere(&stage, &input);
    // It is frozen: what comes later is not seen, and the record of it survives being written down.
    stage.write("photos/c.jpg", "");
    let record = serde_json::to_string(&input).unwrap();
    assert!(record.len() < 400, "{record}");
    let input: Input = serde_json::from_str(&record).unwrap();
    assert_eq!(stage.items(&input).len(), 3);
}

#[tokio::test]
async fn objects_of_s3_keep_their_full_keys() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    server.put("photos1/", "");
    server.put("photos1/full/", "not empty");
    for index in 0..1500 {
        server.put(&format!("photos1/{index:04}\u{1}.jpg"), "x");
    }
    server.put("photos10/x.jpg", "");
    let config = stage.config(json!({ "objects": { "source": "s3://bucket/photos1" } }));
    let input = freeze(&config, &server.storages("run"), &stage.run_dir(), "s3://bucket/photos1").await.unwrap();
    assert_eq!(input.count(), 1502);
    let selection = Selection::new(&config, &input, &Params::new(json!({})));
    let items: Vec<_> = stage.items(&input).into_iter().map(Result::unwrap).collect();
    assert_eq!(items[0]["Key"], "photos1/");
    assert_eq!(selection.judge(&items[0]), Ok(Judged::LeftOut("a folder placeholder".into())));
    assert_eq!(selection.judge(&items[1]), Ok(Judged::Selected));
    assert_eq!(selection.key(&items[1], 1).unwrap().to_string(), "bucket/photos1/0000\u{1}.jpg");
    assert_eq!(items[1501]["Key"], "photos1/full/");
    assert_eq!(selection.judge(&items[1501]), Ok(Judged::Selected));
}

#[tokio::test]
async fn a_name_that_is_no_text_is_one_failed_item() {
    let stage = Stage::new();
    stage.write("in/a", "").write("in/z", "");
    let name = std::ffi::OsStr::from_bytes(b"m\xff\n!");
    if fs::write(stage.path("in").join(name), "").is_err() {
        return; // A file system that only takes UTF-8 has no such names.
    }
    let config = stage.config(json!({ "objects": { "source": "$/in" } }));
    let input = freeze(&config, &stage.storages, &stage.run_dir(), "in").await.unwrap();
    let items = stage.items(&input);
    assert!(items[0].is_ok() && items[2].is_ok());
    let failure = items[1].clone().unwrap_err();
    assert_eq!(failure.error, "Item.InvalidName");
    assert_eq!(failure.cause, "the name `m\\xff\\x0a!` is not UTF-8 and cannot be a `Key`");
    let mut rows = input.open(&stage.run_dir()).unwrap().rows(Position::START).unwrap();
    rows.next().unwrap();
    let row = rows.next().unwrap().unwrap();
    let selection = Selection::new(&config, &input, &Params::new(json!({})));
    assert_eq!(selection.key_of_invalid(&row).to_string(), "m\\xff\\x0a!");
}

#[tokio::test]
async fn globs_and_conditions_leave_out_aloud() {
    let stage = Stage::new();
    stage.write("in/a.jpg", "123").write("in/b.JPG", "").write("in/raw/c.jpg", "1").write("in/note.txt", "1");
    let config = stage.config(json!({
        "objects": { "source": "$/in" },
        "match": ["*.jpg", "*.JPG"],
        "exclude": "raw/**",
        "where": "{{ item.Size > params.least }}",
    }));
    let input = freeze(&config, &stage.storages, &stage.run_dir(), "in").await.unwrap();
    let selection = Selection::new(&config, &input, &Params::new(json!({ "least": 0 })));
    let judged: Vec<_> = stage
        .items(&input)
        .into_iter()
        .map(|item| match selection.judge(&item.unwrap()).unwrap() {
            Judged::Selected => "selected".to_string(),
            Judged::LeftOut(reason) => reason,
        })
        .collect();
    assert_eq!(judged, ["selected", "`items.where` is false", "does not match `items.match`", "matches `items.exclude`"]);
    let wrong = Selection::new(&config, &input, &Params::new(json!({})));
    let failure = wrong.judge(&json!({ "Key": "a.jpg", "Size": 1 })).unwrap_err();
    assert_eq!(failure.error, "Item.Invalid");
    assert!(failure.cause.starts_with("`items.where`: "), "{failure}");
}

#[tokio::test]
async fn a_limit_is_told() {
    let stage = Stage::new();
    for index in 0..1001 {
        stage.write(&format!("in/{index}"), "");
    }
    stage.write("a.jsonl", "1\n2\n3\n").write("a.json", "[1,2,3]").write("a.csv", "x\n1\n2\n3\n");
    for (items, counts) in [
        (json!({ "objects": { "source": "$/in" } }), [(1, true), (1000, true), (1001, false), (2000, false)].as_slice()),
        (json!({ "jsonl": { "source": "$/a.jsonl" } }), &[(1, true), (2, true), (3, false), (4, false)]),
        (json!({ "json": { "source": "$/a.json" } }), &[(1, true), (2, true), (3, false), (4, false)]),
        (json!({ "csv": { "source": "$/a.csv" } }), &[(1, true), (2, true), (3, false), (4, false)]),
    ] {
        for (limit, cut) in counts {
            let mut items = items.clone();
            items["limit"] = json!(limit);
            let input = stage.freeze(items).await.unwrap();
            assert_eq!((input.count(), input.is_cut()), ((*limit).min(if input.kind() == "objects" { 1001 } else { 3 }), *cut));
            assert_eq!(stage.items(&input).len() as u64, input.count());
        }
    }
}

#[tokio::test]
async fn a_bad_line_is_its_items_failure() {
    let stage = Stage::new();
    let long = format!("\"{}\"", "x".repeat(9 << 20));
    let text =
        format!("\u{feff}{{\"a\":1}}\r\n\n   \n{{\"a\":}}\n  nonsense\n{long}\n{{\"a\":2}} {{}}\n[\"\\ud800\"]\n{{\"a\":3}}");
    stage.write("a.jsonl", [text.as_bytes(), b"\n\"\xff\"\n"].concat());
    let input = stage.freeze(json!({ "jsonl": { "source": "$/a.jsonl" } })).await.unwrap();
    let items = stage.items(&input);
    assert_eq!(items[0], Ok(json!({ "a": 1 })));
    assert_eq!(items[6], Ok(json!({ "a": 3 })));
    let causes: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).map(|failure| failure.cause.as_str()).collect();
    assert_eq!(
        causes,
        [
            "a.jsonl:4:6: expected value; it begins `{\"a\":}`",
            "a.jsonl:5:2: expected ident; it begins `nonsense`",
            &format!("a.jsonl:6: 9437186 bytes in one line, at most 8388608; it begins `\"{}…`", "x".repeat(79)),
            "a.jsonl:7:9: trailing characters; it begins `{\"a\":2} {}`",
            "a.jsonl:8:9: unexpected end of hex escape; it begins `[\"\\ud800\"]`",
            "a.jsonl:10:2: invalid unicode code point; it begins `\"\u{fffd}\"`",
        ]
    );
    assert!(items.iter().filter_map(|item| item.as_ref().err()).all(|failure| failure.error == "Item.Invalid"));
    resumes_anywhere(&stage, &input);
}

#[tokio::test]
async fn json_arrays_are_found_at_their_pointer() {
    let stage = Stage::new();
    stage.write(
        "a.json",
        "\u{feff}{\"meta\": {\"n\": 2}, \"orders\": [\n  {\"id\": 1,\n \"text\": \"a\\nb  c\"},\n  [1.50],\n null]}",
    );
    let config = json!({ "json": { "source": "$/a.json", "pointer": "/orders" } });
    let input = stage.freeze(config).await.unwrap();
    resumes_anywhere(&stage, &input);
    let items: Vec<_> = stage.items(&input).into_iter().map(Result::unwrap).collect();
    assert_eq!(items, [json!({ "id": 1, "text": "a\nb  c" }), json!([1.5]), json!(null)]);
}

#[tokio::test]
async fn what_is_no_source_is_refused_in_words() {
    let stage = Stage::new();
    stage.write("orders.csv", "").write("utf16.csv", b"\xff\xfei\0d\0").write("torn.csv", "id,n\n1,\"x\n2,y\n");
    stage
        .write("twice.csv", "id,n,id\n")
        .write("empty.csv", "id,,n\n")
        .write("stray.csv", "id,\"n\"x\n")
        .write("bytes.csv", b"id,\xff\n");
    stage.write("object.json", "{\"orders\": []}").write("torn.json", "[1, {\"a\":\n 2").write("lines.json", "{}\n{}\n");
    for (items, message) in [
        (json!({ "csv": { "source": "$/order.csv" } }), "`$/order.csv` does not exist; hint: did you mean `$/orders.csv`?"),
        (
            json!({ "jsonl": { "source": "$/run" } }),
            "`run` is a folder, not a file; hint: `items.objects` makes an item of each file in a folder",
        ),
        (json!({ "jsonl": { "source": "$/orders.csv/x" } }), "`$/orders.csv/x`: a part of the path is a file, not a folder"),
        (json!({ "objects": { "source": "$/orders.csv" } }), "`$/orders.csv` is a file, not a folder"),
        (json!({ "objects": { "source": "$/runs" } }), "`$/runs`: does not exist; hint: did you mean `$/run`?"),
        (json!({ "csv": { "source": "$/utf16.csv" } }), "`utf16.csv` is UTF-16, not UTF-8 text; hint: `encoding: utf-16`"),
        (
            json!({ "csv": { "source": "$/torn.csv" } }),
            "`torn.csv` ends inside a quote of the row that begins here, its row 1 (torn.csv:2:1); hint: close the quote; if the file was cut off, fetch it again",
        ),
        (
            json!({ "csv": { "source": "$/twice.csv" } }),
            "columns 1 and 3 of the header are both called `id` (twice.csv:1:1); hint: correct it in the file; if the file has no header, give the names: `header: [id, name]`",
        ),
        (
            json!({ "csv": { "source": "$/empty.csv" } }),
            "column 2 of 3 has no name in the header (empty.csv:1:1); hint: give it one in the file; if the file has no header, give all names: `header: [id, name]`",
        ),
        (
            json!({ "csv": { "source": "$/stray.csv" } }),
            "the header cannot be read: text behind the closing quote of field 2 (a quote inside of quotes is written twice) (stray.csv:1:1); hint: correct it in the file; if the file has no header, give the names: `header: [id, name]`",
        ),
        (
            json!({ "csv": { "source": "$/bytes.csv" } }),
            "name 2 of the header is not UTF-8 (bytes.csv:1:1); hint: if it is text, `encoding` says how it is written: `utf-8`, `utf-16`, `windows-1252`",
        ),
        (
            json!({ "json": { "source": "$/object.json" } }),
            "`object.json` has no list of items: the document is an object with `orders`, not an array; hint: `pointer` says where the array is, such as `/orders`",
        ),
        (
            json!({ "json": { "source": "$/torn.json" } }),
            "`torn.json` is not a JSON document: EOF while parsing an object (torn.json:2:2); hint: the file may have been cut off: fetch it again",
        ),
        (
            json!({ "json": { "source": "$/lines.json" } }),
            "`lines.json` has no list of items: the document is an empty object, not an array; hint: `pointer` says where the array is, such as `/orders`",
        ),
    ] {
        let error = stage.freeze(items.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), message.replace('$', stage.path("").to_str().unwrap().trim_end_matches('/')), "{items}");
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
}

#[tokio::test]
async fn an_empty_source_has_no_items() {
    let stage = Stage::new();
    stage
        .write("empty", "")
        .write("bom", "\u{feff}")
        .write("blank", "\n\r\n\n")
        .write("header", "id,n")
        .write("empty.json", " [ ]\n");
    fs::create_dir(stage.path("folder")).unwrap();
    for items in [
        json!({ "objects": { "source": "$/folder" } }),
        json!({ "jsonl": { "source": "$/empty" } }),
        json!({ "jsonl": { "source": "$/bom" } }),
        json!({ "jsonl": { "source": "$/blank" } }),
        json!({ "csv": { "source": "$/empty" } }),
        json!({ "csv": { "source": "$/bom" } }),
        json!({ "csv": { "source": "$/blank" } }),
        json!({ "csv": { "source": "$/header" } }),
        json!({ "csv": { "source": "$/empty", "header": ["a"] } }),
        json!({ "json": { "source": "$/empty.json" } }),
    ] {
        assert_eq!(stage.all(items.clone()).await, Vec::<Value>::new(), "{items}");
    }
}

#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    let stage = Stage::new();
    stage.write("a.jsonl", "1\n2\n3\n");
    let input = stage.freeze(json!({ "jsonl": { "source": "$/a.jsonl" } })).await.unwrap();
    let open = input.open(&stage.run_dir()).unwrap();
    let mut rows = open.rows(Position::START).unwrap();
    rows.next().unwrap();
    let file = fs::File::options().write(true).open(stage.path("a.jsonl")).unwrap();
    file.set_len(4).unwrap();
    let error = open.rows(Position::START).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`a.jsonl` has changed since the run began: 4 bytes now, 6 then; hint: put the file back as it was, or start a new run"
    );
    assert_eq!(error.kind(), ErrorKind::Surroundings);
    // What was read before is used up; then it is looked at again.
    rows.next().unwrap();
    rows.next().unwrap();
    assert!(rows.next().is_err());
    // The same size, another time.
    stage.write("a.jsonl", "1\n2\n4\n");
    let file = fs::File::options().write(true).open(stage.path("a.jsonl")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let error = input.open(&stage.run_dir()).unwrap_err();
    assert!(error.detail().contains("has changed since the run began: same size, modified"), "{error}");
    fs::remove_file(stage.path("a.jsonl")).unwrap();
    let error = input.open(&stage.run_dir()).unwrap_err();
    assert!(error.detail().ends_with("is gone since the run began"), "{error}");
}

#[tokio::test]
async fn a_file_on_s3_is_copied_once() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    server.put("in/a.csv", "id\n1\n2\n");
    server.put("in/a.json", "{\"x\":[1,2]}");
    for (items, expected, kept) in [
        (json!({ "csv": { "source": "s3://bucket/in/a.csv" } }), json!([{ "id": "1" }, { "id": "2" }]), true),
        (json!({ "json": { "source": "s3://bucket/in/a.json", "pointer": "/x" } }), json!([1, 2]), false),
    ] {
        let config = stage.config(items);
        let input = freeze(&config, &server.storages("run"), &stage.run_dir(), "in").await.unwrap();
        let items: Vec<_> = stage.items(&input).into_iter().map(Result::unwrap).collect();
        assert_eq!(Value::Array(items), expected);
        let left = fs::read_dir(stage.run_dir())
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with("source"));
        assert_eq!(left, kept);
        fs::remove_dir_all(stage.run_dir()).unwrap();
        fs::create_dir(stage.run_dir()).unwrap();
    }
    let config = stage.config(json!({ "csv": { "source": "s3://bucket/in/b.csv" } }));
    let error = freeze(&config, &server.storages("run"), &stage.run_dir(), "in").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.to_string(), "`s3://bucket/in/b.csv`: does not exist (NoSuchKey: The specified key does not exist.)");
}

#[tokio::test]
async fn keys_are_what_items_are_about() {
    let stage = Stage::new();
    stage.write("a.jsonl", "{\"id\":\"o1\"}\n{\"id\":17}\n{\"id\":\" \"}\n{\"id\":1.5}\n{\"id\":null}\n{}\n");
    let config = stage.config(json!({ "jsonl": { "source": "$/a.jsonl" }, "key": "{{ item.id }}" }));
    let input = freeze(&config, &stage.storages, &stage.run_dir(), "a.jsonl").await.unwrap();
    let selection = Selection::new(&config, &input, &Params::new(json!({})));
    let keys: Vec<_> = stage
        .items(&input)
        .into_iter()
        .enumerate()
        .map(|(index, item)| match selection.key(&item.unwrap(), index as u64) {
            Ok(key) => key.to_string(),
            Err(failure) => failure.to_string(),
        })
        .collect();
    assert_eq!(
        keys,
        [
            "o1",
            "17",
            "Item.InvalidKey: `items.key`: `{{ item.id }}` gives an empty text",
            "Item.InvalidKey: `items.key`: `{{ item.id }}` gives 1.5: expected a text or an integer",
            "Item.InvalidKey: `items.key`: `{{ item.id }}` gives null: expected a text or an integer",
            "Item.InvalidKey: `items.key`: `item` has no `id`, it is empty",
        ]
    );
    let config = stage.config(json!({ "jsonl": { "source": "$/a.jsonl" } }));
    let selection = Selection::new(&config, &input, &Params::new(json!({})));
    assert_eq!(selection.key(&json!({}), 3).unwrap().to_string(), "a.jsonl#3");
    assert!(selection.is_everything());
}

#[test]
fn what_items_can_not_be_is_said_in_words() {
    for (items, message) in [
        (json!({}), "`items` has no source: expected one of `objects`, `inventory`, `csv`, `json`, `jsonl`"),
        (
            json!({ "csv": { "source": "a" }, "jsonl": { "source": "b" } }),
            "`items` has 2 sources, `csv` and `jsonl`: expected one",
        ),
        (
            json!({ "csv": { "source": "a" }, "match": "*.x" }),
            "`match` is for `objects` and `inventory`, the items of `csv` have no `Key`: use `where`",
        ),
        (json!({ "csv": { "source": "a", "header": "none" } }), "`header` is \"none\": expected `first_row` or a list of names"),
        (json!({ "csv": { "source": "a", "header": ["a", "b", "a"] } }), "columns 1 and 3 of the header are both called `a`"),
        (
            json!({ "json": { "source": "a", "pointer": "x/y" } }),
            "`x/y` is not a JSON Pointer: expected one that begins with `/`, such as `/x/y`",
        ),
        (
            json!({ "jsonl": { "source": "s3://bucket/in/" } }),
            "`s3://bucket/in/` is a folder: expected a file, such as `s3://bucket/in/items.csv`",
        ),
        (
            json!({ "jsonl": { "source": "a" }, "key": "order_id" }),
            "`order_id` would be the key of every item: expected `position`, or an expression such as `{{ item.order_id }}`",
        ),
    ] {
        let error = serde_json::from_value::<ItemsConfig>(items.clone()).unwrap_err();
        assert_eq!(error.to_string(), message, "{items}");
    }
    assert!(serde_json::from_value::<ItemsConfig>(json!({ "jsonl": { "source": "a" }, "limit": 0 })).is_err());
    assert!(serde_json::from_value::<ItemsConfig>(json!({ "jsonl": { "source": "a" }, "lmit": 1 })).is_err());
}

#[test]
fn the_schema_says_what_the_reader_takes() {
    let schema = schemars::schema_for!(ItemsConfig);
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for (items, valid) in [
        (json!({ "objects": { "source": "photos" }, "match": ["*.jpg"], "limit": 3, "key": "{{ item.Key }}" }), true),
        (
            json!({ "csv": { "source": "a.csv", "header": ["a"], "delimiter": "tab", "strict": false }, "where": "{{ item.a }}" }),
            true,
        ),
        (json!({ "json": { "source": "a.json", "pointer": "/x" }, "key": "position" }), true),
        (json!({ "jsonl": { "source": "a.jsonl" }, "csv": { "source": "a.csv" } }), false),
        (json!({}), false),
        (json!({ "jsonl": { "source": "a.jsonl" }, "limit": 0 }), false),
        (json!({ "jsonl": { "source": "a.jsonl" }, "key": "id" }), false),
        (json!({ "jsonl": { "source": "a.jsonl", "strict": true } }), false),
    ] {
        assert_eq!(validator.is_valid(&items), valid, "{items}");
        assert_eq!(serde_json::from_value::<ItemsConfig>(items.clone()).is_ok(), valid, "{items}");
    }
}
