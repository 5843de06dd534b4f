//! Where the bytes of a CSV file come from: compressed, in another encoding, several files, S3, standard input.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use fanfold::expression::Params;
use fanfold::reader::{Input, Position, Selection, freeze};
use serde_json::{Value, json};

use crate::reader::{Stage, resumes_anywhere};
use crate::s3_server::{Fault, S3Server};
use crate::stage::{Running, Stage as Program};

const TEXT: &str = "id,note\n1,\"two\nlines\"\n2,é€\n3,\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn of(text: &str) -> Vec<Value> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize::<std::collections::BTreeMap<String, String>>().map(|row| json!(row.unwrap())).collect()
}

fn keys(stage: &Stage, config: &Value, input: &Input) -> Vec<String> {
    let selection = Selection::new(&stage.config(config.clone()), input, &Params::new(json!({})));
    let mut rows = input.open(&stage.run_dir()).unwrap().rows(Position::START).unwrap();
    let mut keys = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        keys.push(match row.value() {
            Ok(value) => selection.key_of(&row, &value).unwrap().to_string(),
            Err(_) => selection.key_of_invalid(&row).to_string(),
        });
    }
    keys
}

#[tokio::test]
async fn compressed_files_and_other_encodings_are_read_as_what_they_are() {
    let stage = Stage::new();
    let cp1252 = "id,note\n1,\"two\nlines\"\n2,\u{e9}\u{80}\n3,\n".chars().map(|c| c as u8).collect::<Vec<_>>();
    let swapped: Vec<u8> = utf16(TEXT).chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    for (name, bytes, encoding) in [
        ("a.csv", gzip(TEXT.as_bytes()), "utf-8"),
        ("a.csv.gz", gzip(format!("\u{feff}{TEXT}").as_bytes()), "utf-8"),
        ("a.csv.zst", zstd::encode_all(TEXT.as_bytes(), 3).unwrap(), "utf-8"),
        ("a.txt", utf16(TEXT), "utf-16"),
        ("a.txt", utf16(&format!("\u{feff}{TEXT}")), "utf-16"),
        ("a.txt", [b"\xfe\xff", &swapped[..]].concat(), "utf-16"),
        ("a.txt", cp1252, "windows-1252"),
        ("a.txt.gz", gzip(&utf16(TEXT)), "utf-16"),
    ] {
        stage.write(name, bytes);
        let config = json!({ "csv": { "source": format!("$/{name}"), "encoding": encoding } });
        let input = stage.freeze(config.clone()).await.unwrap();
        let items: Vec<_> = stage.items(&input).into_iter().map(Result::unwrap).collect();
        assert_eq!(items, of(TEXT), "{name}");
        resumes_anywhere(&stage, &input);
        assert_eq!(keys(&stage, &config, &input), ["0", "1", "2"].map(|index| format!("{name}#{index}")));
        // It is a copy: what becomes of the source does not matter any more.
        fs::remove_file(stage.path(name)).unwrap();
        assert_eq!(stage.items(&input).len(), 3);
        assert_eq!(input.copies().collect::<Vec<_>>(), ["source.csv"]);
        let left: Vec<_> = fs::read_dir(stage.run_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["source.csv"]);
    }
    for (name, bytes) in
        [("a.jsonl.gz", gzip(b"{\"a\":1}\n\n2")), ("a.jsonl.zst", zstd::encode_all(&b"{\"a\":1}\n2\n"[..], 1).unwrap())]
    {
        stage.write(name, bytes);
        assert_eq!(stage.all(json!({ "jsonl": { "source": format!("$/{name}") } })).await, [json!({ "a": 1 }), json!(2)]);
    }
    stage.write("a.json.gz", gzip(b"[1, [2]]"));
    assert_eq!(stage.all(json!({ "json": { "source": "$/a.json.gz" } })).await, [json!(1), json!([2])]);
}

#[tokio::test]
async fn several_files_with_one_header_are_one_source() {
    let stage = Stage::new();
    stage
        .write("in/b.csv", "id,n\n3,c\nbad\n")
        .write("in/a.csv", "\u{feff}id,n\r\n1,a\r\n\"2\",\"b\r\nb\"")
        .write("in/c.csv.gz", gzip(b"id,n\n"))
        .write("in/d.csv", "id,n\n5,e")
        .write("in/.hidden.csv", "x\n1\n")
        .write("in/deep/z.csv", "x\n1\n")
        .write("in/note.txt", "");
    let config = json!({ "csv": { "source": "$/in/*.csv*" } });
    let input = stage.freeze(config.clone()).await.unwrap();
    assert_eq!((input.count(), input.columns()), (5, &["id".to_string(), "n".to_string()][..]));
    resumes_anywhere(&stage, &input);
    let items = stage.items(&input);
    assert_eq!(items[1], Ok(json!({ "id": "2", "n": "b\r\nb" })));
    assert_eq!(items[4], Ok(json!({ "id": "5", "n": "e" })));
    // What the user wrote is the end of the path, here `*.csv*`: so are the names.
    assert_eq!(items[3].as_ref().unwrap_err().cause, "b.csv:3, row 2: 1 field in the row, 2 in the header; it begins `bad`");
    assert_eq!(keys(&stage, &config, &input), ["a.csv#0", "a.csv#1", "b.csv#0", "b.csv#1", "d.csv#0"]);
    assert_eq!((input.address(2), input.address(4)), (("b.csv", 0), ("d.csv", 0)));
    for (limit, cut) in [(2, true), (3, true), (4, true), (5, false), (6, false)] {
        let mut config = config.clone();
        config["limit"] = json!(limit);
        let input = stage.freeze(config).await.unwrap();
        assert_eq!((input.count(), input.is_cut()), (limit.min(5), cut), "limit {limit}");
        assert_eq!(stage.items(&input).len() as u64, input.count());
    }
    let all = stage.freeze(json!({ "csv": { "source": "$/**/z.csv" } })).await.unwrap();
    assert_eq!(stage.items(&all), [Ok(json!({ "x": "1" }))]);
    stage.write("l/1.jsonl", "1\n2").write("l/2.jsonl", "x\n4\n");
    let input = stage.freeze(json!({ "jsonl": { "source": "$/l/?.jsonl" } })).await.unwrap();
    let items = stage.items(&input);
    assert_eq!((&items[0], &items[1], &items[3]), (&Ok(json!(1)), &Ok(json!(2)), &Ok(json!(4))));
    assert!(items[2].as_ref().unwrap_err().cause.contains("2.jsonl:1:1: expected value"), "{items:?}");
    // A file that is called so is only itself.
    stage.write("what?.csv", "id\n7\n").write("whatx.csv", "id\n8\n");
    assert_eq!(stage.all(json!({ "csv": { "source": "$/what?.csv" } })).await, [json!({ "id": "7" })]);
}

#[tokio::test]
async fn files_that_are_not_alike_are_refused() {
    let stage = Stage::new();
    for (files, message) in [
        (
            &[("x/a.csv", "id,n\n1,2\n"), ("x/b.csv", "n,id\n2,1\n")][..],
            "`b.csv` has the columns `n`, `id`, `a.csv` has `id`, `n`: files that are read together have the same",
        ),
        (
            &[("x/a.csv", "id,n\n1,2\n"), ("x/b.csv", "")],
            "`b.csv` is empty: it has no header; hint: if it was cut off, fetch it again",
        ),
        (
            &[("x/a.csv", "id,n\n1,\"2\n"), ("x/b.csv", "id,n\n2,\"1\"\n")],
            "`a.csv` ends inside a quote of the row that begins here, its row 1 (a.csv:2:1); hint: close the quote; if the file was cut off, fetch it again",
        ),
        (
            &[("x/a.csv", "id,n\n1,2\n"), ("x/b.csv", "id,n\n2,1\n\n3,\"")],
            "`b.csv` ends inside a quote of the row that begins here, its row 2 (b.csv:4:1); hint: close the quote; if the file was cut off, fetch it again",
        ),
        (&[("x/a.txt", "")], "no file matches `*.csv`; hint: `*` and `?` stay within a folder, `**` does not"),
    ] {
        for (name, text) in files {
            stage.write(name, text);
        }
        let error = stage.freeze(json!({ "csv": { "source": "$/x/*.csv" } })).await.unwrap_err();
        assert_eq!(error.to_string(), message);
        fs::remove_dir_all(stage.path("x")).unwrap();
    }
    let error = serde_json::from_value::<fanfold::reader::ItemsConfig>(json!({ "json": { "source": "x/*.json" } })).unwrap_err();
    assert_eq!(error.to_string(), "`x/*.json` stands for several files, `json` reads one: use `jsonl`, or name the file");
}

#[tokio::test]
async fn objects_on_s3_come_whole_and_with_their_version() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    let text: String = (0..20_000).map(|n| format!("{n},some text\n")).collect();
    server.put("in/a.csv.gz", gzip(format!("id,n\n{text}").as_bytes()));
    server.put("in/b.csv", "id,n\n-1,last\n");
    server.put("in/deep/c.csv", "id,n\n");
    let freeze = |source: &str| {
        let config = stage.config(json!({ "csv": { "source": source } }));
        let (storages, run_dir, source) = (server.storages("run"), stage.run_dir(), source.to_string());
        async move { freeze(&config, &storages, &run_dir, &source).await }
    };
    // A connection that breaks is taken up again where it did.
    server.fail(&[Fault::HalfTheBody, Fault::HalfTheBody]);
    let input = freeze("s3://bucket/in/a.csv.gz").await.unwrap();
    assert_eq!((input.count(), input.etag().map(str::len)), (20_000, Some(34)));
    assert_eq!(server.requests().len(), 3);
    // The record of it survives being written down.
    let input: Input = serde_json::from_str(&serde_json::to_string(&input).unwrap()).unwrap();
    assert_eq!(stage.items(&input)[19_999], Ok(json!({ "id": "19999", "n": "some text" })));
    let input = freeze("s3://bucket/in/*").await.unwrap();
    assert_eq!((input.count(), input.etag(), input.address(20_000)), (20_001, None, ("s3://bucket/in/b.csv", 0)));
    assert_eq!(stage.items(&input)[20_000], Ok(json!({ "id": "-1", "n": "last" })));
    let error = freeze("s3://bucket/in/*.txt").await.unwrap_err();
    assert!(error.detail().starts_with("no file matches `s3://bucket/in/*.txt`"), "{error}");
}

/// Freezes an object of the server.
async fn frozen(stage: &Stage, server: &S3Server, source: &str, more: Value) -> fanfold::Result<Input> {
    let mut items = json!({ "csv": { "source": source } });
    items.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    freeze(&stage.config(items), &server.storages("run"), &stage.run_dir(), source).await
}

#[tokio::test]
async fn a_connection_that_is_cut_anywhere_makes_no_difference() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    let text: String = (0..12).map(|n| format!("{n},\"two\nlines é {n}\"\n")).collect();
    let text = format!("id,note\n{text}");
    let expected: Vec<Result<Value, _>> = of(&text).into_iter().map(Ok).collect();
    for (name, bytes) in [("a.csv", text.clone().into_bytes()), ("a.csv.gz", gzip(text.as_bytes()))] {
        server.put(name, bytes.clone());
        let source = format!("s3://bucket/{name}");
        // Once behind every third byte, and again and again after so many.
        let once = (0..bytes.len()).step_by(3).map(|cut| vec![Fault::CutAt(cut)]);
        let often = [1, 7, 64].map(|piece| vec![Fault::CutAt(piece); bytes.len().div_ceil(piece)]);
        for faults in once.chain(often) {
            server.fail(&faults);
            let input = frozen(&stage, &server, &source, json!({})).await.unwrap();
            assert!(stage.items(&input) == expected, "{name}: {:?} ...", faults[0]);
            server.fail(&[]);
        }
        // Each time it was fetched from where it broke off, and no byte twice.
        server.fail(&[Fault::CutAt(7), Fault::CutAt(1)]);
        let before = server.requests().len();
        frozen(&stage, &server, &source, json!({})).await.unwrap();
        let asked = server.requests()[before..].to_vec();
        assert_eq!(asked, ["", " bytes=7-", " bytes=8-"].map(|range| format!("GET /bucket/{name}{range}")));
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_told() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    for (name, bytes) in [("a.csv", TEXT.into()), ("a.csv.gz", gzip(TEXT.as_bytes()))] {
        let (source, length) = (format!("s3://bucket/{name}"), bytes.len());
        for (fault, what) in [(Fault::Replaced, "replaced"), (Fault::Removed, "removed")] {
            server.put(name, bytes.clone());
            server.fail(&[fault]);
            let error = frozen(&stage, &server, &source, json!({})).await.unwrap_err();
            let told = format!(
                "`{source}` was {what} while it was read, behind byte {} of {length}; hint: begin again when it stays as it is",
                length / 2
            );
            assert_eq!((error.to_string(), error.exit_code()), (told, 4));
        }
    }
    let left: Vec<_> = fs::read_dir(stage.run_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["source.csv.tmp"]);
}

#[tokio::test]
async fn no_more_is_fetched_than_the_limit_needs() {
    let stage = Stage::new();
    let server = S3Server::start().await;
    let rows: String = (0..2_000_000).map(|n| format!("{n},\"a\n\"\n")).collect();
    let text = format!("id,n\n{rows}");
    server.put("big.csv", text.clone());
    stage.write("big.csv.gz", gzip(text.as_bytes()));
    for limit in [1u64, 1000, 200_000] {
        let input = frozen(&stage, &server, "s3://bucket/big.csv", json!({ "limit": limit })).await.unwrap();
        assert_eq!((input.count(), input.is_cut()), (limit, true));
        let kept = fs::metadata(stage.run_dir().join("source.csv")).unwrap().len();
        assert!(kept <= (limit * 30).max(2 << 20), "{kept} bytes for {limit} rows");
        assert_eq!(stage.items(&input).len() as u64, limit);
        let input = stage.freeze(json!({ "csv": { "source": "$/big.csv.gz" }, "limit": limit })).await.unwrap();
        assert_eq!((input.count(), input.is_cut()), (limit, true));
        assert!(fs::metadata(stage.run_dir().join("source.csv")).unwrap().len() < (limit * 30).max(2 << 20));
    }
    // A document is one, however many lines it has.
    let list: String = (0..300_000).map(|n| format!("{n},\n")).collect();
    server.put("big.json", format!("[{list}0]"));
    let config = stage.config(json!({ "json": { "source": "s3://bucket/big.json" }, "limit": 3 }));
    let input = freeze(&config, &server.storages("run"), &stage.run_dir(), "s3://bucket/big.json").await.unwrap();
    assert_eq!((input.count(), input.is_cut()), (3, true));
}

/// `flow.yaml` over rows of standard input.
fn flow(stage: &Program) {
    stage.flow_of("note", "echo: true", "items: { csv: { source: \"-\" } }");
}

fn fed(stage: &Program, args: &[&str], bytes: &[u8]) -> crate::stage::Done {
    let mut command = stage.command(args);
    stage.write("stdin", bytes);
    command.stdin(Stdio::from(fs::File::open(stage.path("stdin")).unwrap()));
    Running::of(command).wait()
}

#[test]
fn standard_input_is_kept_so_that_a_run_can_be_resumed() {
    let stage = Program::new();
    flow(&stage);
    let rows: String = (0..30).map(|n| format!("i{n},\n")).collect();
    let text = format!("id,what\n{rows}");
    fed(&stage, &["run", "flow.yaml", "--as", "x", "--limit", "10"], &gzip(text.as_bytes())).ended(3);
    // What comes on standard input now is nobody's business.
    fed(&stage, &["resume", "x"], b"id,what\nother,\n").ended(0);
    let results = stage.run(&["results", "x"]).ended(0).lines();
    assert_eq!(results.len(), 30);
    assert_eq!((results[29]["key"].as_str(), results[29]["item"]["id"].as_str()), (Some("stdin#29"), Some("i29")));
    assert_eq!(stage.times("end").len(), 30);
    fed(&stage, &["run", "flow.yaml"], b"").ended(2).says("nothing came on standard input; hint: test_jobs run … < items.csv");
    fed(&stage, &["run", "flow.yaml"], &gzip(text.as_bytes())[..40])
        .ended(2)
        .says("`stdin` ends in the middle of its gzip data; hint: fetch it again");
}

#[test]
fn standard_input_is_a_path_for_a_param_too() {
    let stage = Program::new();
    stage.flow_of(
        "note",
        "",
        "params: { from: { type: path, default: a.csv } }\nitems: { csv: { source: \"{{ params.from }}\", trim: true, null: [\"-\"] } }",
    );
    fed(&stage, &["run", "flow.yaml", "-p", "from=-", "--as", "x"], b"id , what\ni1, \"\"\n").ended(0);
    assert_eq!(stage.results("x")["i1"]["item"], json!({ "id": "i1", "what": "" }));
}
