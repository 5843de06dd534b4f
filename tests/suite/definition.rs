//! `fanfold definition`: the state machine of a workflow, its policies, and what is refused with its place and the reason.
//!
//! `FANFOLD_BLESS=1 cargo test --test suite definition::` writes the definitions of `tests/definitions/` and the messages in
//! `tests/definitions/refused/` anew, to be read in the diff.

use std::fs;
use std::path::{Path, PathBuf};

use fanfold::asl::{Machine, check, fill, to_fill};
use fanfold::{Attempt, ConfigError, Error, Job, JobError, Jobs, Repeat, Setup, Workflow};
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::workflows;

/// The workflows that come with fanfold and run on AWS.
const NOT_REFUSED: [&str; 2] = ["notify-partners", "resize-photos"];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn bless() -> bool {
    std::env::var_os("FANFOLD_BLESS").is_some()
}

fn machine(text: &str) -> Machine {
    let workflow = Workflow::parse(text, "w.yaml", Path::new("/srv"), &jobs()).unwrap_or_else(|error| panic!("{error}"));
    Machine::of(&workflow, &[], Path::new("/srv")).unwrap_or_else(|error| panic!("{:#?}", told(&error)))
}

fn told(error: &Error) -> Vec<String> {
    error.each().map(ToString::to_string).collect()
}

/// A job of which a crash in the middle means what `KIND` says.
struct Doubtful<const UNSAFE: bool>;

impl<const UNSAFE: bool> Job for Doubtful<UNSAFE> {
    const NAME: &'static str = if UNSAFE { "unsafe" } else { "pay" };
    const REPEAT: Repeat = if UNSAFE { Repeat::Unsafe } else { Repeat::Steps };
    type Config = Value;
    type Input = Value;
    type Output = ();

    fn new(_: Value, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    async fn run(&self, _: Value, _: &Attempt<'_>) -> Result<(), JobError> {
        Ok(())
    }
}

fn jobs() -> Jobs {
    Jobs::builtin().with::<Doubtful<true>>().with::<Doubtful<false>>()
}

#[test]
fn every_workflow_that_is_not_refused_has_its_definition() {
    let files = fs::read_dir(top().join("workflows")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    let mut made = Vec::new();
    for file in files {
        let workflow = Workflow::load(&file, &Jobs::builtin()).unwrap();
        let Ok(machine) = Machine::of(&workflow, &[], Path::new("/srv")) else { continue };
        let text = format!("{:#}\n", machine.definition());
        // It passes every rule, warnings included.
        assert_eq!(check(&text, &workflow.name), []);
        let path = top().join(format!("tests/definitions/{}.json", workflow.name));
        if bless() {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{}: FANFOLD_BLESS=1 writes it anew", path.display());
        made.push(workflow.name.clone());
    }
    assert_eq!(made, NOT_REFUSED);
}

#[test]
fn the_map_of_resize_photos_has_everything_that_the_article_has() {
    let workflow = Workflow::load(&top().join("workflows/resize-photos.yaml"), &Jobs::builtin()).unwrap();
    let definition = Machine::of(&workflow, &[], Path::new("/srv")).unwrap().definition();
    let map = &definition["States"]["Map"];
    assert_eq!(map["Type"], "Map");
    assert_eq!(map["Label"], "Map");
    assert_eq!(map["MaxConcurrency"], 1000);
    assert_eq!(map["ItemReader"]["Resource"], "arn:aws:states:::s3:listObjectsV2");
    // Bucket and prefix come from the execution's input, as there.
    assert_eq!(
        map["ItemReader"]["Parameters"],
        json!({ "Bucket.$": "$.params.source.bucket", "Prefix.$": "$.params.source.prefix" })
    );
    assert_eq!(map["ItemBatcher"]["MaxItemsPerBatch"], 100);
    assert_eq!(map["ItemBatcher"]["BatchInput"]["params.$"], "$.params");
    let processor = &map["ItemProcessor"];
    assert_eq!(processor["ProcessorConfig"], json!({ "Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS" }));
    let work = &processor["States"][processor["StartAt"].as_str().unwrap()];
    assert_eq!((&work["Type"], &work["Resource"]), (&json!("Task"), &json!("arn:aws:states:::lambda:invoke")));
    assert_eq!(work["OutputPath"], "$.Payload");
    assert!(work["Parameters"]["FunctionName"].is_string());
    let retry = &work["Retry"][0];
    let errors =
        ["Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException"];
    assert_eq!(retry["ErrorEquals"], json!(errors));
    assert_eq!((&retry["IntervalSeconds"], &retry["MaxAttempts"], &retry["BackoffRate"]), (&json!(2), &json!(6), &json!(2)));
    // And what it has not: an identity for each item, a place for the results, items that decide, no retry of everything.
    assert_eq!(map["ItemSelector"]["index.$"], "$$.Map.Item.Index");
    assert_eq!(map["ToleratedFailurePercentage"], 100);
    assert!(map["ResultWriter"]["Parameters"]["Bucket.$"].is_string() && map["Retry"].is_null());
}

#[test]
fn each_kind_of_source_has_its_reader() {
    let import = "job: { csv_import: { database: postgres://app@db/shop, table: t, columns: { id: integer } } }\n";
    let reader = |items: &str| {
        let machine =
            machine(&format!("fanfold: 1\nname: w\nparams: {{ n: {{ type: integer, default: 5 }} }}\nitems: {items}\n{import}"));
        let definition = machine.definition();
        assert_eq!(check(&definition.to_string(), "w.json"), [], "{items}");
        definition["States"]["Map"]["ItemReader"].clone()
    };
    let get = "arn:aws:states:::s3:getObject";
    assert_eq!(
        reader("{ csv: { source: s3://data/a.csv, strict: false, delimiter: semicolon, header: [id, name] }, limit: 7 }"),
        json!({
            "Resource": get,
            "ReaderConfig": {
                "InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["id", "name"], "CSVDelimiter": "SEMICOLON", "MaxItems": 7,
            },
            "Parameters": { "Bucket": "data", "Key": "a.csv" },
        })
    );
    assert_eq!(
        reader("{ json: { source: s3://data/a.json, pointer: /inventory/products }, limit: \"{{ params.n }}\" }")["ReaderConfig"],
        json!({ "InputType": "JSON", "ItemsPointer": "/inventory/products", "MaxItemsPath": "$.params.n" })
    );
    assert_eq!(
        reader("{ inventory: { source: s3://data/of/photos/daily/2026-11-22T01-00Z/manifest.json, versions: all } }"),
        json!({
            "Resource": get,
            "ReaderConfig": { "ManifestType": "S3_INVENTORY" },
            "Parameters": { "Bucket": "data", "Key": "of/photos/daily/2026-11-22T01-00Z/manifest.json" },
        })
    );
    assert_eq!(reader("{ jsonl: { source: s3://data/a.jsonl.gz } }")["ReaderConfig"], json!({ "InputType": "JSONL" }));
    assert_eq!(
        reader("{ objects: { source: s3://data/photos } }"),
        json!({ "Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": { "Bucket": "data", "Prefix": "photos/" } })
    );
}

#[test]
fn settings_of_the_map_come_from_the_workflow_or_from_the_execution() {
    let map = |settings: &str| {
        let text = format!(
            "fanfold: 1\nname: w\nparams: {{ n: {{ type: integer, default: 5 }}, m: {{ type: integer, default: 6 }} }}\n\
             items: {{ objects: {{ source: s3://data/ }} }}\n{settings}job: {{ image_resize: {{ width: 1, destination: s3://outs/ }} }}\n"
        );
        let definition = machine(&text).definition();
        assert_eq!(check(&definition.to_string(), "w.json"), [], "{settings}");
        let mut map = definition["States"]["Map"].clone();
        map["As usual"] = definition["States"]["As usual"].clone();
        map
    };
    let fixed = map("max_concurrency: 9\nbatch: { max_items: 3, max_bytes: 64KiB }\n");
    assert_eq!((&fixed["MaxConcurrency"], &fixed["ItemBatcher"]["MaxItemsPerBatch"]), (&json!(9), &json!(3)));
    assert_eq!(fixed["ItemBatcher"]["MaxInputBytesPerBatch"], 65_536);
    let given = map("max_concurrency: \"{{ params.n }}\"\nbatch: { max_items: \"{{ params.m }}\" }\n");
    assert_eq!((&given["MaxConcurrency"], &given["MaxConcurrencyPath"]), (&Value::Null, &json!("$.params.n")));
    assert_eq!(given["ItemBatcher"]["MaxItemsPerBatchPath"], "$.params.m");
    assert_eq!((&given["As usual"]["InputPath"], &given["As usual"]["Result"]), (&json!("$.params.m"), &Value::Null));
    // Something is left for what the worker is told of its child.
    assert_eq!(given["ItemBatcher"]["MaxInputBytesPerBatch"], 262_144 - 2048);
}

#[test]
fn children_are_express_or_standard_by_rule() {
    let chain = |aws: &str| {
        let text = format!(
            "fanfold: 1\nname: w\nitems: {{ jsonl: {{ source: s3://data/a.jsonl }} }}\n{aws}rate: {{ limit: 100/s }}\n\
             job: {{ http_chain: {{ base_url: https://api.example.com, steps: [{{ name: a, get: /a }}] }} }}\n"
        );
        machine(&text).children().0
    };
    assert_eq!(chain(""), "STANDARD");
    assert_eq!(chain("aws: { execution_type: express }\n"), "EXPRESS", "100 calls at 1 a second fit into 4 minutes");
    let image = |aws: &str| {
        let text = format!(
            "fanfold: 1\nname: w\nitems: {{ objects: {{ source: s3://data/ }} }}\n{aws}job: {{ image_resize: {{ width: 1, destination: s3://outs/ }} }}\n"
        );
        machine(&text).children().0
    };
    assert_eq!(image(""), "EXPRESS");
    assert_eq!(image("aws: { execution_type: standard }\n"), "STANDARD");
}

#[test]
fn roles_may_what_they_need_and_nothing_else() {
    let text = "fanfold: 1\nname: thumbs\nparams: { to: { type: path, default: thumbs/ } }\nsecrets: { t: { aws: a/b } }\n\
                items: { objects: { source: s3://photos/2026 } }\njob: { image_resize: { width: 1, destination: \"{{ params.to }}\" } }\n";
    let machine = machine(text);
    let allowed = |policy: &Value| -> Vec<(String, Vec<String>)> {
        let texts = |value: &Value| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string()).collect();
        let statements = policy["Statement"].as_array().unwrap();
        statements.iter().map(|one| (one["Sid"].as_str().unwrap().to_string(), texts(&one["Resource"]))).collect()
    };
    let worker = allowed(machine.worker_policy());
    assert!(worker.contains(&("ReadObjects".into(), vec!["arn:aws:s3:::photos/2026/*".into()])), "{worker:?}");
    assert!(worker.contains(&("WriteObjects".into(), vec!["arn:aws:s3:::${ToBucket}/*".into()])), "{worker:?}");
    // A secret that is not named anywhere is not given.
    assert!(!worker.iter().any(|(sid, _)| sid == "Secrets"));
    let policy = machine.machine_policy();
    let reads = &policy["Statement"][0];
    assert_eq!((&reads["Action"], &reads["Resource"]), (&json!(["s3:ListBucket"]), &json!(["arn:aws:s3:::photos"])));
    assert_eq!(reads["Condition"], json!({ "StringLike": { "s3:prefix": ["2026/*"] } }));
    for policy in [policy, machine.worker_policy()] {
        for statement in policy["Statement"].as_array().unwrap() {
            let stars =
                |value: &Value| value.as_array().unwrap().iter().any(|text| ["*", "s3:*"].contains(&text.as_str().unwrap()));
            // AWS knows no narrower way for a state machine's log.
            let log = statement["Sid"] == "WriteLog";
            assert!(!stars(&statement["Action"]) && stars(&statement["Resource"]) == log, "{statement}");
        }
    }
    // The children of both maps, and of every version that a run still goes on with.
    let machine = allowed(policy);
    let of = |sid: &str| machine.iter().find(|(known, _)| known == sid).unwrap().1.join(" ");
    assert!(
        of("WatchChildren").contains("execution:thumbs/Map:*") && of("WatchChildren").contains("execution:thumbs/Redriven:*")
    );
    assert!(of("InvokeWorker").ends_with(":function:fanfold-thumbs:*"), "{}", of("InvokeWorker"));
    // Without it, S3 says "denied" of an object that is not there.
    let find = worker.iter().find(|(sid, _)| sid == "FindObjects2").unwrap();
    assert_eq!(find.1, ["arn:aws:s3:::photos"]);
    let chain = "fanfold: 1\nname: w\nsecrets: { a: { aws: a/b }, p: { aws: \"ssm:/p/q\" } }\nitems: { jsonl: { source: s3://data/x/a.jsonl } }\n\
                 job: { http_chain: { base_url: https://h.example.com, auth: { basic: { user: \"{{ secrets.a }}\", password: \"{{ secrets.p }}\" } }, steps: [{ name: a, get: /a }] } }\n";
    let machine = self::machine(chain);
    let worker = allowed(machine.worker_policy());
    let here = "${AWS::Region}:${AWS::AccountId}";
    assert!(worker.contains(&("Secrets".into(), vec![format!("arn:aws:secretsmanager:{here}:secret:a/b-??????")])), "{worker:?}");
    assert!(worker.contains(&("Parameters".into(), vec![format!("arn:aws:ssm:{here}:parameter/p/q")])), "{worker:?}");
    let items = &allowed(machine.machine_policy())[0];
    assert_eq!(items.1, ["arn:aws:s3:::data/x/a.jsonl"], "one file, not its bucket");
}

#[test]
fn an_execution_begins_a_run_goes_on_with_one_or_does_items_of_one_again() {
    let text = |kind: &str| {
        format!(
            "fanfold: 1\nname: w\nitems: {{ csv: {{ source: s3://data/a.csv, strict: false }} }}\naws: {{ execution_type: {kind} }}\n\
             max_concurrency: 9\njob: {{ csv_import: {{ database: postgres://app@db/shop, table: t, columns: {{ id: integer }} }} }}\n"
        )
    };
    let definition = machine(&text("express")).definition();
    let states = &definition["States"];
    let which: Vec<(&str, &str)> = states["Which run"]["Choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| (choice["Variable"].as_str().unwrap(), choice["Next"].as_str().unwrap()))
        .collect();
    assert_eq!(which, [("$.redrive", "Redrive"), ("$.resume", "Resume")]);
    assert_eq!(states["Which run"]["Default"], "Begin");
    for (state, run, round, next) in [
        ("Begin", "$$.Execution.Name", json!(0), "Map"),
        ("Resume", "$.resume.run", json!(0), "Map"),
        ("Redrive", "$.redrive.run", Value::Null, "Batch size"),
    ] {
        let work = &states[state]["Parameters"];
        assert_eq!((&work["run.$"], &work["round"], &states[state]["Next"]), (&json!(run), &round, &json!(next)));
        assert_eq!(work["results"]["prefix.$"], format!("States.Format('w/{{}}/', {run})"));
    }
    assert_eq!(states["Redrive"]["Parameters"]["round.$"], "$.redrive.round");
    // The second map differs in what it reads, and in nothing else.
    let (map, redriven) = (&states["Map"], &states["Redriven"]);
    assert_eq!(
        redriven["ItemReader"],
        json!({
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": { "InputType": "JSONL" },
            "Parameters": { "Bucket.$": "$.items.bucket", "Key.$": "$.items.key" },
        })
    );
    assert_eq!(
        redriven["ItemSelector"],
        json!({ "index.$": "$$.Map.Item.Value.index", "value.$": "$$.Map.Item.Value.value" }),
        "items keep their index"
    );
    assert_eq!(redriven["Label"], "Redriven");
    let batcher = |map: &Value| (map["ItemBatcher"]["BatchInput"].clone(), map["ItemBatcher"]["MaxInputBytesPerBatch"].clone());
    assert_eq!(batcher(map), batcher(redriven));
    // It may say how many items a batch has.
    assert_eq!(redriven["ItemBatcher"]["MaxItemsPerBatchPath"], "$.redrive.batch");
    assert_eq!((&states["As usual"]["Result"], &states["As usual"]["ResultPath"]), (&json!(100), &json!("$.redrive.batch")));
    for field in ["MaxConcurrency", "ToleratedFailurePercentage", "ResultWriter", "ResultPath", "Next"] {
        assert_eq!(map[field], redriven[field], "{field}");
    }
    assert_eq!(map["ResultWriter"]["Parameters"]["Prefix.$"], "States.Format('{}map', $.results.prefix)");
    let child = |map: &Value| serde_json::to_string(&map["ItemProcessor"]).unwrap();
    assert_eq!(child(redriven).replace(" (redriven)", ""), child(map));
    // How it ends, by what the gate says.
    assert_eq!(states["Stopped"]["Error"], "Fanfold.Stopped");
    assert_eq!(states["Beyond tolerance"]["Error"], "Fanfold.BeyondTolerance");
    // An express child says when it ends; a standard one may take its time.
    let told = |definition: &Value| {
        definition["States"]["Map"]["ItemProcessor"]["States"]["Work"]["Parameters"]["Payload"]["Child"]["ends_after"].clone()
    };
    assert_eq!(told(&definition), 300);
    assert_eq!(told(&machine(&text("standard")).definition()), Value::Null);
}

#[test]
fn names_are_filled_in_everywhere() {
    let mut value = json!({ "a": ["${X}/${Y}"], "b": { "c": "${X}" } });
    assert_eq!(to_fill(&value), ["X", "Y"]);
    fill(&mut value, &[("X".into(), "1".into())]);
    assert_eq!(value, json!({ "a": ["1/${Y}"], "b": { "c": "1" } }));
}

#[test]
fn what_cannot_be_on_aws_is_refused_with_its_place_and_the_reason() {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(top().join("tests/definitions/refused")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 40);
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let found = |text: &str| {
            let workflow =
                Workflow::parse(text, &name, Path::new("/srv/flows"), &jobs()).unwrap_or_else(|error| panic!("{name}: {error}"));
            // Here, it may be.
            let given: Vec<(String, String)> = text
                .lines()
                .filter_map(|line| line.strip_prefix("# params: ")?.split_once('='))
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            workflow.bind(&given, Path::new("/home/ada")).unwrap_or_else(|error| panic!("{name}: {error}"));
            match Machine::of(&workflow, &given, Path::new("/home/ada")) {
                Err(error) => told(&error),
                Ok(_) => panic!("{name} is not refused"),
            }
        };
        let text = fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        if found(&text) == expected {
            continue;
        }
        wrong.push(format!("{name}\n  expected {expected:#?}\n  found    {:#?}", found(&text)));
        if bless() {
            let body: String =
                text.lines().filter(|line| !line.starts_with("# expect: ")).map(|line| format!("{line}\n")).collect();
            let mut blessed = text.clone();
            // Until the places take the lines in front into account.
            for _ in 0..3 {
                let head: String = found(&blessed).iter().map(|line| format!("# expect: {line}\n")).collect();
                blessed = format!("{head}{body}");
            }
            fs::write(&path, blessed).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_definition_is_printed_checked_and_filled_in() {
    let stage = workflows::stage();
    let done = stage.run_fanfold(&["definition", "workflows/resize-photos.yaml"]).ended(0);
    assert!(done.err.contains("express children: `image_resize` calls nobody"), "{}", done.err);
    assert!(done.err.contains("each execution has to give `source`, `destination`"), "{}", done.err);
    assert!(done.err.contains("${WorkerArn}"), "{}", done.err);
    stage.write("machine.json", &done.out);
    let checked = stage.run_fanfold(&["check", "machine.json"]).ended(0);
    assert!(checked.err.contains("machine.json: no mistake found"), "{}", checked.err);

    let args = ["definition", "workflows/resize-photos.yaml", "-p", "source=s3://photos/2026", "-p", "destination=s3://thumbs/"];
    let set = ["--set", "WorkerArn=arn:aws:lambda:eu-west-1:1:function:w:1", "--set", "ResultsBucket=results"];
    let done = stage.run_fanfold(&[&args[..], &set[..]].concat()).ended(0);
    assert!(!done.out.contains("${") && !done.err.contains("to be filled in"), "{}", done.err);
    let definition: Value = serde_json::from_str(&done.out).unwrap();
    let known = &definition["States"]["Defaults"]["Result"];
    assert_eq!(known["source"], json!({ "bucket": "photos", "prefix": "2026/" }), "the source is split");
    assert_eq!(known["destination"], "s3://thumbs/", "what the worker reads is as it was given");
    let input = stage.run_fanfold(&[&args[..], &["--print", "input", "--json"]].concat()).ended(0).lines();
    assert_eq!(&input[0]["params"], known);
    let policy =
        stage.run_fanfold(&[&args[..], &["--print", "worker-policy", "--set", "AWS::Region=eu-west-1"]].concat()).ended(0);
    assert!(policy.out.contains("arn:aws:s3:::photos/2026/*") && policy.out.contains("arn:aws:logs:eu-west-1:${AWS::AccountId}"));

    let done = stage.run_fanfold(&["definition", "workflows/resize-photos.yaml", "--set", "WorkerArm=x"]).ended(2);
    assert!(done.err.contains("there is no `${WorkerArm}` in it"), "{}", done.err);
    let done = stage.run_fanfold(&["definition", "workflows/bill-customers.yaml"]).ended(2);
    assert!(done.err.contains("`order`: lanes need a ledger") && done.err.contains("bill-customers.yaml:13:"), "{}", done.err);
    assert_eq!(done.out, "", "nothing is done by halves");
    let text = Stage::new().run_fanfold(&["explain", "aws.execution_type"]).ended(0).out;
    assert!(text.contains("ends after 5 minutes"), "{text}");
}
