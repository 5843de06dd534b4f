//! Workflows that are right: what their values become.

use std::path::Path;
use std::time::Duration;

use fanfold::reader::{ItemsSource, KeyConfig};
use fanfold::{Error, ErrorKind, Jitter, Tolerance, Workflow};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bad::jobs;

fn parse(text: &str) -> Result<Workflow, Error> {
    Workflow::parse(text, "w.yaml", Path::new("/srv/flows"), &jobs())
}

fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

const WHOLE: &str = r#"
# yaml-language-server: $schema=./schema.json
fanfold: 1
name: resize-photos
description: |
  Makes small ones of large ones.
params:
  source: { type: path, default: photos }
  where: { type: path }
  n: { type: integer, default: 64 }
  price: { type: decimal, default: 19.90 }
  code: { type: text, default: 007 }
  quick: { type: boolean, default: true }
  day: { type: date, default: 2026-11-23 }
  api: { type: url, default: "http://127.0.0.1:9090" }
items:
  objects: { source: "{{ params.source }}" }
  match: [ "*.jpg", '*.{png,PNG}' ]
  where: "{{ item.Size > params.n }}"
batch: { max_items: "{{ params.n }}", max_bytes: 64KiB }
max_concurrency: 0x10
tolerated_failure: 5%
retry: { max_retries: 0, backoff_rate: 1.5, jitter: none, initial_interval: 1s }
stop: { if_first: 0 }
item_timeout: 90s
job:
  everything:
    text: no
    target: "{{ params.where }}/{{ item.Key | stem }}.webp"
    width: "{{ params.n }}"
    share: 1
    strict: "{{ params.quick }}"
    fit: cover
    names: [0123, 1_000, 1.10, 2026-11-23, "{{ params.n }}", "{{ params.price | cents }}", "{{ params.code }}", &x yes, *x]
    json: { plain: [0123, 1_000, no, 1.5, 7, true, null, ~], of: "{{ item.Key }}", n: "{{ params.n }}" }
"#;

#[test]
fn everything_is_bound() {
    let workflow = parse(WHOLE).expect("right");
    assert_eq!((workflow.name.as_str(), workflow.params.len()), ("resize-photos", 8));
    let bound = workflow.bind(&given(&[("where", "out")]), Path::new("/home/ada")).expect("fits");
    let settings = &bound.settings;
    match &settings.items.source {
        ItemsSource::Objects(objects) => assert_eq!(objects.source.to_string(), "/srv/flows/photos"),
        other => panic!("{other:?}"),
    }
    assert_eq!(settings.items.key, KeyConfig::Position);
    assert_eq!((settings.batch.max_items, settings.batch.max_bytes, settings.batch.concurrency), (Some(64), 65_536, None));
    assert_eq!(settings.max_concurrency, 16);
    assert_eq!(settings.tolerated_failure, Tolerance::Percent(5.0));
    assert_eq!((settings.retry.max_retries, settings.retry.jitter), (0, Jitter::None));
    assert_eq!(settings.retry.max_interval, Duration::from_secs(30));
    assert_eq!((settings.stop.after, settings.stop.if_first), (None, 0));
    assert_eq!(settings.item_timeout, Some(Duration::from_secs(90)));
    assert_eq!(settings.job.name, "everything");
    assert_eq!(
        settings.job.config,
        json!({
            "text": "no",
            "target": "{{ params.where }}/{{ item.Key | stem }}.webp",
            "width": 64,
            "share": 1,
            "strict": true,
            "fit": "cover",
            "names": ["0123", "1_000", "1.10", "2026-11-23", "64", "1990", "007", "yes", "yes"],
            "json": { "plain": ["0123", "1_000", "no", 1.5, 7, true, null, null], "of": "{{ item.Key }}", "n": 64 },
        })
    );
    let params = json!({
        "source": "/srv/flows/photos", "where": "/home/ada/out", "n": 64, "price": 19.9, "code": "007", "quick": true,
        "day": "2026-11-23", "api": "http://127.0.0.1:9090",
    });
    assert_eq!(bound.params.value(), &params);

    let again = Workflow::parse(&workflow.text, &workflow.file, &workflow.base, &jobs()).expect("right as before");
    assert_eq!(again.rebind(&params).expect("fits").settings.job, settings.job);
}

#[test]
fn defaults_are_those_of_the_docs() {
    let text = "fanfold: 1\nname: a\nitems: { csv: { source: s3://bucket/a.csv } }\njob: { everything: { text: x } }\n";
    let settings = parse(text).expect("right").bind(&[], Path::new("/")).expect("fits").settings;
    assert_eq!((settings.batch.max_items, settings.batch.max_bytes), (Some(100), 262_144));
    assert_eq!((settings.max_concurrency, settings.tolerated_failure), (100, Tolerance::Count(0)));
    assert_eq!((settings.stop.if_first, settings.item_timeout, settings.retry.max_retries), (20, None, 5));
}

#[test]
fn braces_from_a_param_are_no_expression() {
    let text = "fanfold: 1\nname: a\nparams: { t: { type: text } }\nitems: { csv: { source: a.csv } }\n\
                job: { everything: { text: \"{{ params.t }}\", target: \"{{ params.t }}\" } }\n";
    let bound = parse(text).expect("right").bind(&given(&[("t", "{{ item.secret }}")]), Path::new("/")).expect("fits");
    // `text` is a String and takes it as it is; `target` is worked out for each item, and gives the braces again.
    assert_eq!(bound.settings.job.config, json!({ "text": "{{ item.secret }}", "target": "{{ params.t }}" }));
}

#[test]
fn params_are_refused_with_exact_messages() {
    let workflow = parse(WHOLE).expect("right");
    let told = |pairs: &[(&str, &str)]| -> Vec<String> {
        let error = workflow.bind(&given(pairs), Path::new("/home/ada")).expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Refused);
        error.each().map(ToString::to_string).collect()
    };
    assert_eq!(told(&[]), ["param `where` has no default and is not given (w.yaml:9:3); hint: add `-p where=…`"]);
    assert_eq!(
        told(&[
            ("were", "x"),
            ("n", "many"),
            ("quick", "yes"),
            ("day", "2026-02-30"),
            ("api", "http://ada:secret@host"),
            ("api", "x"),
            ("price", "0.12345678901234567890"),
            ("where", "ftp://x"),
        ]),
        [
            "there is no param `were`; hint: did you mean `-p where=…`?",
            "`-p n`: expected an integer, found `many`",
            "`-p quick`: expected `true` or `false`, found `yes`; hint: write `true`",
            "`-p day`: expected a date such as `2026-11-23`, found `2026-02-30`",
            "`-p api`: the URL has a password in it, which would be shown and stored with the run; hint: \
             declare it: `secrets: { password: { env: PASSWORD } }`",
            "`-p api` is given twice; hint: give it once",
            "`-p price`: `0.12345678901234567890` has more digits than a number of JSON keeps; hint: declare it as `type: text`, \
             the filters `decimal` and `cents` read texts",
            "`-p where`: `ftp://x` is not a path: expected a path of this machine or `s3://bucket/…`",
        ]
    );
    assert_eq!(
        told(&[("where", "out"), ("n", "0")]),
        [
            "`batch.max_items`: expected an integer of at least 1, found `0` from `{{ params.n }}` (w.yaml:20:21)",
            "`job.everything.width`: expected an integer from 1 to 65535, found `0` from `{{ params.n }}` (w.yaml:30:12)",
        ]
    );
    let stored = workflow.rebind(&json!({ "n": "64", "other": 1 })).expect_err("wrong");
    assert_eq!(stored.detail(), "the stored param `other` is not declared");
    assert_eq!(stored.each().count(), 9);
}

#[test]
fn a_mistake_that_the_job_finds_gets_its_place() {
    let workflow = parse(WHOLE).expect("right");
    let place = |setting: &str| {
        let error = workflow.place_config_error(&fanfold::ConfigError::new(setting, "cannot be").hint("do this"));
        error.to_string()
    };
    assert_eq!(place("width"), "`job.everything.width`: cannot be (w.yaml:30:12); hint: do this");
    assert_eq!(place("names[1]"), "`job.everything.names[1]`: cannot be (w.yaml:34:19); hint: do this");
    assert_eq!(place("missing.deep"), "`job.everything.missing.deep`: cannot be (w.yaml:27:3); hint: do this");
    assert_eq!(place(""), "`job.everything`: cannot be (w.yaml:28:5); hint: do this");
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        let error = Workflow::load(path, &jobs()).expect_err("unreadable");
        (error.kind(), error.detail().replace(&format!("{}", folder.path().display()), "F"))
    };
    assert_eq!(told(&folder.path().join("no.yaml")), (ErrorKind::Refused, "there is no file `F/no.yaml`".to_string()));
    assert_eq!(told(folder.path()), (ErrorKind::Refused, "`F` is a folder, expected a workflow file".to_string()));
    let path = folder.path().join("large.yaml");
    std::fs::write(&path, vec![b'#'; 2 * 1024 * 1024]).unwrap();
    assert_eq!(told(&path).1, "`F/large.yaml` has more than 1048576 bytes (1 MiB), the most a workflow may have");
    std::fs::write(&path, "\u{feff}fanfold: 1\nname: a\nitems: { csv: { source: a.csv } }\njob: { everything: { text: x } }\n")
        .unwrap();
    let bound = Workflow::load(&path, &jobs()).expect("a byte order mark is no mistake").bind(&[], Path::new("/")).unwrap();
    assert_eq!(bound.settings.items.source.to_string(), folder.path().join("a.csv").display().to_string());
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = parse(&text).expect_err("a bomb");
    assert!(error.detail().starts_with("the file holds too much"), "{error}");
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(parse(&deep).expect_err("too deep").detail(), "more than 64 mappings and lists inside each other");
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 100].join(","));
    assert!(parse(&text).expect_err("a bomb").detail().starts_with("the file holds too much"));
}

#[test]
fn mistakes_come_in_the_order_of_the_file() {
    let text = "fanfold: 1\nname: a b\nbatch: { max_itmes: 5, max_bytes: 1GiB }\nretry: { initial_interval: 1h }\njob: { evrything: {} }\n";
    let error = parse(text).expect_err("wrong");
    let told: Vec<String> = error.each().map(|error| format!("{}", error.place().map_or(0, |place| place.line))).collect();
    assert_eq!(told, ["1", "2", "3", "4", "5"], "{:#?}", error.each().map(ToString::to_string).collect::<Vec<_>>());
}

fn yaml() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("fanfold: 1\n".to_string()),
        Just("name: a\n".to_string()),
        Just("items: { csv: { source: a.csv } }\n".to_string()),
        Just("job: { everything: { text: x } }\n".to_string()),
        Just("params: { a: { type: text, default: b } }\n".to_string()),
        "(items|batch|job|retry|params|stop): [ -~]{0,30}\n",
        "[ \\t]{0,4}[a-z]{1,5}: (\\{\\{ [a-z.]{0,10} \\}\\}|[&*][ab]|[\\[\\]{}'\"|>-]|[0-9._%]{0,5}|ü)?\n",
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_the_checker_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_yaml_makes_the_checker_panic(text in yaml()) {
        if let Ok(workflow) = parse(&text) {
            let _ = workflow.bind(&[], Path::new("/"));
        }
    }
}

#[test]
fn large_files_are_checked_in_time_and_told_in_part() {
    let keys: String = (0..5_000).map(|n| format!("key{n}: x\n")).collect();
    let error = parse(&format!("fanfold: 1\n{keys}")).expect_err("wrong");
    assert_eq!(error.each().count(), 201);
    assert_eq!(error.each().last().map(Error::detail), Some("4803 more mistakes are not shown"));
    let list = vec!["x"; 90_000].join(",");
    let text = format!(
        "fanfold: 1\nname: a\nitems: {{ csv: {{ source: a.csv }} }}\njob: {{ everything: {{ text: x, names: [{list}] }} }}\n"
    );
    assert!(parse(&text).is_ok());
    assert!(parse(&format!("{}: 1\n", "k".repeat(300))).is_err());
}

#[test]
fn values_are_json() {
    let text =
        "fanfold: 1\nname: a\nitems: { json: { source: a.json } }\njob: { everything: { text: x, json: \"{{ item }}\" } }\n";
    let bound = parse(text).expect("right").bind(&[], Path::new("/")).expect("fits");
    assert_eq!(bound.settings.job.config["json"], Value::String("{{ item }}".into()));
}

#[test]
fn what_is_most_likely_not_meant_is_a_warning_with_its_place() {
    let text = r#"fanfold: 1
name: a
items: { csv: { source: orders.csv }, key: "{{ item.email }}" }
redact: [item.email]
rate: { limit: 50/s }
outage: { give_up_after: 1h }
order: { by: "{{ item.customer }}" }
job:
  everything:
    text: x
    json: { cents: "{{ item.amount * 100 }}", exact: "{{ item.amount | cents }}", twice: "{{ item.qty * 2 }}" }
    target: "{{ item.amount / 2 }}"
    steps:
      - name: one
        json: { lines: [{ share: "a {{ item.share + 0.5 }}" }] }
tests:
  - { name: one, items: [{ amount: "19.99", share: 1 }], assert: { outcomes: { succeeded: 1 } } }
"#;
    let workflow = Workflow::parse(text, "w.yaml", Path::new("/w"), &jobs()).unwrap();
    let told: Vec<String> = workflow.warnings().iter().map(ToString::to_string).collect();
    let inexact = "calculates with binary fractions, in which 19.99 * 100 is 1998.9999999999998";
    let hint = "hint: `| cents` makes whole cents of an amount, `| decimal` keeps all of its digits";
    assert_eq!(
        told,
        [
            "`items.key`: the key of every item is shown, and it is made of `item.email`, which `redact` hides (w.yaml:3:48); hint: \
             `{{ item.email | sha256 }}` tells items apart and shows nothing"
                .to_string(),
            format!("`job.everything.json.cents`: `*` {inexact} (w.yaml:11:36); {hint}"),
            format!("`job.everything.steps[0].json.lines[0].share`: `+` {inexact} (w.yaml:15:51); {hint}"),
            "`tests[0].items[0].share`: it is an integer, and every field of a CSV file is a text (w.yaml:17:52); hint: write it in \
             quotes: `share: \"1\"`"
                .to_string(),
        ]
    );
}

#[test]
fn a_test_is_bound_with_its_own_params_and_braces_in_it_are_text() {
    let text = r#"fanfold: 1
name: a
params: { orders: { type: path }, n: { type: integer, default: 1 } }
items: { csv: { source: "{{ params.orders }}" } }
job: { everything: { text: x, width: "{{ params.n }}" } }
tests:
  - name: one
    params: { orders: a.csv, n: 7 }
    items: [{ id: "{{ o1 }}" }]
    answers: { pay: [{ status: 429, headers: { retry-after: 600 }, repeat: 2 }, { drop: after }, { status: 200, json: null, takes: 2s }] }
    assert: { calls: { pay: 4 }, sent: { pay: { json: { n: "{% x %}" } } }, outputs: { o1: null }, waited_at_least: 20m }
"#;
    let workflow = Workflow::parse(text, "w.yaml", Path::new("/w"), &jobs()).unwrap();
    let tests = workflow.tests();
    assert_eq!(tests.len(), 1);
    let bound = workflow.bind_test(&tests[0]).unwrap();
    assert_eq!(bound.params.value(), &json!({ "orders": "/w/a.csv", "n": 7 }));
    let test = &tests[0];
    assert_eq!(test.items, [json!({ "id": "{{ o1 }}" })]);
    let [busy, lost, done] = test.answers["pay"].as_slice() else { panic!("{test:?}") };
    assert_eq!((busy.status, busy.headers["retry-after"].as_str(), busy.repeat), (Some(429), "600", 2));
    assert_eq!((lost.status, lost.drop, lost.repeat), (None, Some(fanfold::workflow::Dropped::After), 1));
    assert_eq!((&done.json, done.takes), (&Some(Value::Null), Some(Duration::from_secs(2))));
    assert_eq!(test.assert.sent["pay"], json!({ "json": { "n": "{% x %}" } }));
    assert_eq!((test.assert.calls["pay"], test.assert.waited_at_least), (4, Some(Duration::from_secs(1200))));
    assert!(workflow.bind(&[], Path::new("/w")).is_err(), "a run has to be given the param");
}

#[test]
fn only_secrets_that_are_named_are_needed() {
    let text = r#"fanfold: 1
name: a
secrets: { used: { env: A, aws: a/b }, unused: { aws: c } }
items: { csv: { source: a.csv } }
job: { everything: { text: x, steps: [{ name: one, headers: { a: "Bearer {{ secrets.used }}", b: "{{ secrets['used'] }}" } }] } }
"#;
    let bound = Workflow::parse(text, "w.yaml", Path::new("/w"), &jobs()).unwrap().bind(&[], Path::new("/w")).unwrap();
    assert_eq!(bound.secrets.iter().collect::<Vec<_>>(), ["used"]);
    assert_eq!(bound.settings.secrets.len(), 2);
    assert_eq!(bound.settings.job.config["steps"][0]["headers"]["a"], "Bearer {{ secrets.used }}", "resolved late");
}
