//! Validators that others wrote take the definitions of fanfold. `tests/validators.sh` installs them, pinned, and runs this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::stage::Stage;

/// Where the validators are.
fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("FANFOLD_TEST_VALIDATORS").expect("tests/validators.sh sets FANFOLD_TEST_VALIDATORS"))
}

fn definitions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions")
}

/// What a validator says of a definition, if it does not take it.
fn refused(validator: &str, file: &Path) -> Option<String> {
    let folder = folder();
    let stage = Stage::new();
    let mut command = match validator {
        "asl-validator" => {
            let mut command = Command::new(folder.join("node_modules/.bin/asl-validator"));
            command.arg("--json-path").arg(file);
            command
        }
        "amazon-states-language-service" => {
            let mut command = Command::new("node");
            command.arg(folder.join("language_service.js")).arg(file);
            command
        }
        _ => {
            stage.write("template.json", template(&fs::read_to_string(file).unwrap()).to_string());
            let mut command = Command::new(folder.join("python/bin/cfn-lint"));
            command.arg(stage.path("template.json"));
            command
        }
    };
    let done = command.output().unwrap_or_else(|error| panic!("{validator}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (!done.status.success()).then_some(text)
}

/// A template of CloudFormation around a definition.
fn template(definition: &str) -> Value {
    let parameter = json!({ "Type": "String" });
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": { "WorkerArn": parameter, "ResultsBucket": parameter, "Role": parameter },
        "Resources": { "Machine": { "Type": "AWS::StepFunctions::StateMachine", "Properties": {
            "RoleArn": { "Ref": "Role" },
            "DefinitionString": definition,
            "DefinitionSubstitutions": { "WorkerArn": { "Ref": "WorkerArn" }, "ResultsBucket": { "Ref": "ResultsBucket" } },
        } } },
    })
}

#[test]
#[ignore = "needs cfn-lint: tests/validators.sh"]
fn cfn_lint_takes_every_template_without_a_warning() {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates")).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2);
    for file in files {
        let done = Command::new(folder().join("python/bin/cfn-lint")).arg(&file).output().unwrap();
        assert!(done.status.success() && done.stdout.is_empty(), "{}\n{}", file.display(), String::from_utf8_lossy(&done.stdout));
    }
}

#[test]
#[ignore = "needs asl-validator, amazon-states-language-service and cfn-lint: tests/validators.sh"]
fn the_validators_of_others_take_every_definition() {
    let files = fs::read_dir(definitions()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    assert!(files.len() >= 2);
    for validator in ["asl-validator", "amazon-states-language-service", "cfn-lint"] {
        for file in &files {
            if let Some(text) = refused(validator, file) {
                panic!("{validator}: {}\n{text}", file.display());
            }
        }
        // And this is what a refusal looks like.
        assert!(refused(validator, &definitions().join("bad/no-end-in-a-child.json")).is_some(), "{validator} takes anything");
    }
}
