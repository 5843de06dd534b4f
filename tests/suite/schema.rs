//! `fanfold schema`: the JSON Schema that editors get.

use std::path::Path;

use fanfold::Workflow;
use fanfold::workflow::schema;
use serde_json::{Value, json};

use crate::bad::jobs;

fn valid(value: &Value) -> bool {
    jsonschema::validator_for(&schema(&jobs())).expect("a schema").is_valid(value)
}

fn workflow() -> Value {
    json!({
        "fanfold": 1, "name": "resize", "params": { "source": { "type": "path", "default": "photos" } },
        "items": { "objects": { "source": "{{ params.source }}" }, "match": "*.jpg", "where": "{{ item.Size > 0 }}" },
        "batch": { "max_items": "{{ params.n }}", "max_bytes": "64KiB" }, "max_concurrency": 10, "tolerated_failure": "1%",
        "retry": { "jitter": "none", "initial_interval": "1s" }, "stop": { "if_first": 0 }, "item_timeout": "30s",
        "job": { "everything": { "text": "x", "fit": "{{ params.fit }}", "action": { "get": { "path": "x" } }, "json": [1] } },
    })
}

#[test]
fn the_schema_is_one_and_takes_what_the_checker_takes() {
    let schema = schema(&jobs());
    jsonschema::meta::validate(&schema).expect("a JSON Schema of draft 2020-12");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(valid(&workflow()));
    let text = serde_json::to_string(&workflow()).unwrap().replace("{{ params.n }}", "7").replace("{{ params.fit }}", "cover");
    let text = text.replace("\"7\"", "7");
    Workflow::parse(&text, "w.yaml", Path::new("/w"), &jobs()).expect("JSON is YAML");
}

#[test]
fn the_schema_refuses_what_the_checker_refuses() {
    let with = |pointer: &str, value: Value| {
        let mut workflow = workflow();
        *workflow.pointer_mut(pointer).unwrap() = value;
        workflow
    };
    for (pointer, value) in [
        ("/fanfold", json!(2)),
        ("/name", json!("a b")),
        ("/batch/max_items", json!(0)),
        ("/batch/max_bytes", json!("64KB")),
        ("/batch", json!({ "max_itmes": 1 })),
        ("/max_concurrency", json!(10_001)),
        ("/retry/jitter", json!("some")),
        ("/items", json!({ "objects": { "source": "x" }, "csv": { "source": "x" } })),
        ("/items", json!({})),
        ("/job", json!({})),
        ("/job/everything/width", json!(0)),
    ] {
        let mut workflow = workflow();
        workflow["job"]["everything"]["width"] = json!(1);
        assert!(valid(&workflow));
        *workflow.pointer_mut(pointer).unwrap() = value.clone();
        assert!(!valid(&workflow), "{pointer}: {value}");
    }
    assert!(!valid(&with("/params/source/type", json!("paht"))));
}

#[test]
fn settings_are_described_in_words() {
    let schema = schema(&jobs());
    let properties = schema["properties"].as_object().unwrap();
    for (name, property) in properties {
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 5), "{name} has no description");
    }
    assert_eq!(
        schema["properties"]["job"]["properties"]["everything"]["description"],
        "Does nothing, with every kind of setting."
    );
}
