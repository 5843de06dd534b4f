//! `package`, `deploy`, `destroy`: a workflow is put on AWS, changed, put back, and taken off.

use std::path::Path;

use serde_json::{Value, json};

use crate::s3_server::RESULTS;
use crate::stack_server::{Stack, StackServer, Wanted};
use crate::stage::{Done, Running, Stage};

const FLOW: &str = "fanfold: 1
name: thumbs
params:
  source: { type: path, default: photos/ }
items: { objects: { source: \"{{ params.source }}\" } }
max_concurrency: 50
job: { image_resize: { width: 128, destination: s3://thumbs/ } }
";

const SOURCE: [&str; 2] = ["-p", "source=s3://photos/2026/"];

/// A program for Linux that needs nothing: its head alone.
fn bootstrap(machine: u8) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    (head[16], head[18]) = (3, machine);
    head
}

/// A folder with the workflow, and an account without it.
struct Account {
    stage: Stage,
    aws: StackServer,
}

impl Account {
    async fn new() -> Self {
        let (stage, aws) = (Stage::new(), StackServer::start().await);
        stage.write("thumbs.yaml", FLOW).write("bootstrap", bootstrap(62));
        Self { stage, aws }
    }

    fn run(&self, args: &[&str]) -> Done {
        let mut command = self.stage.command_of(Path::new(env!("CARGO_BIN_EXE_fanfold")), args);
        command.envs(self.aws.environment());
        tokio::task::block_in_place(|| Running::of(command).wait())
    }

    fn deploy(&self, more: &[&str]) -> Done {
        self.run(&[&["deploy", "thumbs.yaml", "--bootstrap", "bootstrap"], &SOURCE[..], more].concat())
    }

    fn kept(&self) -> Vec<String> {
        self.aws.s3.all(RESULTS).into_keys().collect()
    }

    fn hash(&self) -> String {
        let template = self.aws.state().stack.as_ref().unwrap().wanted.template.clone();
        template["Outputs"]["Deployment"]["Value"].as_str().unwrap().to_string()
    }

    /// Puts another text in place of one in the workflow.
    fn edit(&self, from: &str, to: &str) {
        let text = self.stage.read("thumbs.yaml");
        assert!(text.contains(from));
        self.stage.write("thumbs.yaml", text.replace(from, to));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_put_on_aws_and_the_same_again_changes_nothing() {
    let account = Account::new().await;
    let done = account.deploy(&["--json"]).ended(0);
    let hash = account.hash();
    assert_eq!(done.lines()[0]["deployment"], json!(hash));
    assert_eq!(done.lines()[0]["results_bucket"], RESULTS);
    // The bucket first, then what is put into it, then the rest.
    let made = ["CreateChangeSet", "ExecuteChangeSet", "CreateChangeSet", "ExecuteChangeSet"];
    assert_eq!(account.aws.done(), made);
    let folder = format!("thumbs/deployments/{hash}");
    assert_eq!(
        account.kept(),
        ["before", "deployment.json", "template.json", "worker.zip"].map(|name| format!("{folder}/{name}"))
    );
    let deployment: Value = serde_json::from_slice(&account.aws.s3.all(RESULTS)[&format!("{folder}/deployment.json")]).unwrap();
    assert_eq!(deployment, json!({ "workflow": FLOW, "params": { "source": "s3://photos/2026/" } }));
    {
        let state = account.aws.state();
        let stack = state.stack.as_ref().unwrap();
        assert_eq!(stack.wanted.parameters["CodeBucket"], RESULTS);
        assert_eq!(stack.wanted.template["Parameters"]["CodeKey"]["Default"], format!("{folder}/worker.zip"));
        assert_eq!(stack.wanted.tags["fanfold:workflow"], "thumbs");
    }
    for said in [
        "one child execution for each batch (express, at most 5 minutes each), at most 50 at once: `image_resize` calls nobody",
        "  + Results (AWS::S3::Bucket)\n",
        &format!("the worker (0.0 MB) is put into s3://results/{folder}/worker.zip\n"),
        "  + Worker (AWS::Lambda::Function)\n",
        "  Worker UPDATE_COMPLETE\n",
        "`thumbs` is on AWS: fanfold run thumbs.yaml --on aws\n",
    ] {
        assert!(done.err.contains(said), "{said}\n{}", done.err);
    }
    let done = account.deploy(&[]).ended(0);
    assert_eq!(done.out, "arn:aws:states:eu-west-1:123456789012:stateMachine:thumbs:live\n");
    assert!(done.err.ends_with("`thumbs` is on AWS as it is here; nothing to change\n"), "{}", done.err);
    assert!(account.aws.done().is_empty(), "nothing is made and nothing is uploaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_shown_and_made_and_put_back() {
    let account = Account::new().await;
    account.deploy(&[]).ended(0);
    let (first, kept) = (account.hash(), account.kept());
    account.edit("max_concurrency: 50", "max_concurrency: 40");
    account.aws.done();
    let shown = account.deploy(&["--dry-run"]).ended(0);
    assert!(shown.err.contains("it would change:\n") && shown.err.ends_with("nothing was changed\n"), "{}", shown.err);
    assert!(shown.err.contains("  ~ Machine (AWS::StepFunctions::StateMachine)\n"), "{}", shown.err);
    assert_eq!(account.aws.done(), ["CreateChangeSet"]);
    assert_eq!((account.hash(), account.kept()), (first.clone(), kept));

    let done = account.deploy(&[]).ended(0);
    let second = account.hash();
    assert_ne!(first, second);
    // A run that goes on keeps the versions that it began with.
    let versions: Vec<&str> = done.err.lines().filter(|line| line.starts_with("  - ")).collect();
    assert!(versions.len() == 2 && versions.iter().all(|line| line.ends_with(", is kept")), "{}", done.err);
    assert_eq!(account.aws.s3.all(RESULTS)[&format!("thumbs/deployments/{second}/before")], first);

    let back = account.run(&["deploy", "thumbs.yaml", "--rollback"]).ended(0);
    assert!(back.err.starts_with(&format!("from deployment {second} back to {first}:\n")), "{}", back.err);
    assert!(back.err.ends_with("takes it once the file is as it was then, too\n"), "{}", back.err);
    assert_eq!(account.hash(), first);
    assert_eq!(account.aws.state().stack.as_ref().unwrap().wanted.tags["fanfold:workflow"], "thumbs", "tags stay");
    let done = account.run(&["deploy", "thumbs.yaml", "--rollback"]).ended(2);
    assert!(
        done.err.contains(&format!("there was no deployment of `thumbs` before {first}; hint: deploy the workflow as")),
        "{}",
        done.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_is_told_with_its_reason_and_can_be_made_again() {
    let account = Account::new().await;
    account.deploy(&[]).ended(0);
    let first = account.hash();
    account.edit("width: 128", "width: 256");
    account.aws.state().fail = Some(("Worker", "The role defined for the function cannot be assumed by Lambda."));
    let done = account.deploy(&[]).ended(4);
    assert!(
        done.err.contains(
            "error: the stack `fanfold-thumbs` could not be changed, it is UPDATE_ROLLBACK_COMPLETE now: Worker: The role defined for the \
             function cannot be assumed by Lambda.; hint: everything is as it was before; put it right and deploy again"
        ),
        "{}",
        done.err
    );
    assert_eq!(account.hash(), first);
    account.deploy(&[]).ended(0);
    assert_ne!(account.hash(), first);

    // One that could never be made is in the way of the next try.
    let account = Account::new().await;
    account.aws.state().fail = Some(("Results", "too many buckets"));
    account.deploy(&[]).ended(4).says("it is ROLLBACK_COMPLETE now: Results: too many buckets");
    account.aws.state().stack.as_mut().unwrap().wanted.template = Value::Null;
    let done = account.deploy(&[]).ended(4);
    assert!(done.err.contains("what is left of it is removed first"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_before_anything_is_made() {
    let account = Account::new().await;
    account.aws.state().quota = Some(10.0);
    let done = account.deploy(&[]).ended(2);
    assert!(
        done.err.contains(
            "`max_concurrency: 50` does not fit into the quotas: at most 10 functions may run at once in this account and region: the \
             others would be throttled (thumbs.yaml:6:18); hint: `max_concurrency: 10`, or more by Service Quotas, Lambda, L-B99A9384"
        ),
        "{}",
        done.err
    );
    assert!(account.aws.done().is_empty() && account.kept().is_empty());
    account.aws.state().quota = None;
    let done = account.deploy(&[]).ended(0);
    assert!(done.err.contains("warning: the quotas of the account cannot be read: AccessDeniedException"), "{}", done.err);

    let account = Account::new().await;
    let chain = "fanfold: 1\nname: thumbs\nitems: { jsonl: { source: s3://data/a.jsonl } }\nmax_concurrency: 950\nrate: { limit: 190/s }\n\
                 job: { http_chain: { base_url: https://api.example.com, steps: [{ name: a, get: /a }] } }\n";
    account.stage.write("thumbs.yaml", chain);
    let deploy = ["deploy", "thumbs.yaml", "--bootstrap", "bootstrap"];
    let done = account.run(&deploy).ended(2);
    assert!(
        done.err.contains("with a `rate` they are kept for this workflow alone, and 100 of the 1000 functions"),
        "{}",
        done.err
    );
    assert!(done.err.contains("hint: `max_concurrency: 900`, or more"), "{}", done.err);
    account.edit("950", "760");
    account.edit("items:", "params: { api: { type: url, default: \"http://127.0.0.1:9090\" } }\nitems:");
    account.edit("https://api.example.com", "\"{{ params.api }}\"");
    let done = account.run(&deploy).ended(0);
    // What a run has to give is said with how.
    let end = "`thumbs` is on AWS: fanfold run thumbs.yaml --on aws -p api=https://api.example.com\neach run has to give `api`\n";
    assert!(done.err.ends_with(end), "{}", done.err);
    let idle = "each of 760 children has its share of 190/s: it waits 4.0 s for each call, and 1,000 calls cost about $0.0667 of workers' time";
    assert!(
        done.err.contains("one child execution for each batch (standard), at most 760 at once") && done.err.contains(idle),
        "{}",
        done.err
    );
    let state = account.aws.state();
    let worker = state.stack.as_ref().unwrap().wanted.template["Resources"]["Worker"].clone();
    assert_eq!(worker["Properties"]["ReservedConcurrentExecutions"], 760);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deployed_is_refused() {
    let account = Account::new().await;
    let refused = |args: &[&str], words: &str| {
        let done = account.run(args).ended(2);
        assert!(done.err.contains(words), "{words}\n{}", done.err);
        assert!(account.aws.state().stack.is_none());
    };
    refused(
        &["deploy", "thumbs.yaml", "--bootstrap", "bootstrap"],
        "`params.source`: its bucket has to be known when the workflow is put on AWS, roles are made for it (thumbs.yaml:4:11); hint: -p \
         source=s3://bucket/…",
    );
    refused(&["deploy", "thumbs.yaml", "-p", "source=photos/"], "is a path of this machine, which AWS cannot reach");
    let with = |file| [&["deploy", "thumbs.yaml", "--bootstrap", file], &SOURCE[..]].concat();
    refused(&with("none"), "the program `none` cannot be read");
    account.stage.write("mac", [0xcf, 0xfa, 0xed, 0xfe]).write("arm", bootstrap(183));
    refused(
        &with("mac"),
        "`mac` is a program for macOS, workers run on Linux; hint: `--bootstrap FILE`, built by `cargo lambda build",
    );
    refused(&with("arm"), "`arm` is for arm64, `aws.architecture` is x86_64; hint: `aws.architecture: arm64`, or");
    refused(
        &["deploy", "thumbs.yaml", "--rollback"],
        "`thumbs` is not on AWS in eu-west-1; hint: `fanfold deploy` puts it there",
    );
    refused(&["deploy", "thumbs.yaml", "--rollback", "-p", "a=b"], "cannot be used with");

    let stack = |status: &str, whose: &str| {
        let wanted = Wanted { tags: [("fanfold:workflow".to_string(), whose.to_string())].into(), ..Wanted::default() };
        account.aws.state().stack = Some(Stack::at(status, wanted));
    };
    stack("UPDATE_COMPLETE", "thumbs_");
    account.deploy(&[]).ended(2).says("the stack `fanfold-thumbs` is that of the workflow `thumbs_`; hint: another `name`");
    stack("UPDATE_IN_PROGRESS", "thumbs");
    account.deploy(&[]).ended(4).says("is being changed already (UPDATE_IN_PROGRESS); hint: wait");
    stack("UPDATE_ROLLBACK_FAILED", "thumbs");
    account.deploy(&[]).ended(4).says("hint: aws cloudformation continue-update-rollback --stack-name fanfold-thumbs");
    stack("DELETE_FAILED", "thumbs");
    account.deploy(&[]).ended(4).says("is half removed (DELETE_FAILED); hint: `fanfold destroy` goes on with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_deployment_can_be_shown_and_leaves_nothing() {
    let account = Account::new().await;
    let done = account.deploy(&["--dry-run"]).ended(0);
    assert!(done.err.contains("  + Machine (AWS::StepFunctions::StateMachine)\n"), "{}", done.err);
    assert!(done.err.contains("  + ResultsPolicy (AWS::S3::BucketPolicy)\n"), "all pages: {}", done.err);
    assert!(account.aws.state().stack.is_none() && account.kept().is_empty() && done.out.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_templates_are_read_from_the_bucket_and_a_bucket_of_ones_own_needs_one_change() {
    let account = Account::new().await;
    account.edit(
        "name: thumbs",
        &format!("name: thumbs\ndescription: {}\naws: {{ results_bucket: results }}", "long ".repeat(12_000)),
    );
    account.deploy(&[]).ended(0);
    assert_eq!(account.aws.done(), ["CreateChangeSet", "ExecuteChangeSet"]);
    let state = account.aws.state();
    let resources = &state.stack.as_ref().unwrap().wanted.template["Resources"];
    assert!(resources["Machine"].is_object() && resources["Results"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_taken_off_when_nothing_goes_on_and_its_data_stays() {
    let account = Account::new().await;
    account.deploy(&[]).ended(0);
    let kept = account.kept();
    let destroy = ["destroy", "thumbs.yaml"];
    account.aws.state().executions = vec![("b", "RUNNING"), ("a", "SUCCEEDED")];
    let arn = "arn:aws:states:eu-west-1:123456789012:execution:thumbs:b";
    account
        .run(&destroy)
        .ended(2)
        .says(&format!("the run `b` of `thumbs` goes on; hint: wait for its end, or `fanfold stop {arn}`"));
    account.run(&["destroy", "thumbs.yaml", "--force"]).ended(2).says("goes on");
    account.aws.state().executions = vec![("b", "FAILED"), ("a", "SUCCEEDED")];
    let counts = json!({ "total": 3, "succeeded": 1, "skipped": 0, "failed": 0, "unknown": 2, "blocked": 0, "pending": 0 });
    let report = json!({
        "run": "b", "workflow": "thumbs", "fanfold": "0.1.0", "round": 0, "status": "FAILED", "items": counts, "batches": 1, "attempts": 3,
        "tolerated_failure": { "count": 0 }, "errors": {}, "failed": [], "ended_ms": 0,
    });
    account.aws.s3.put_into(RESULTS, "thumbs/b/report.json", report.to_string());
    let done = account.run(&destroy).ended(2);
    assert!(
        done.err.contains("the run `b` has 2 items of which it is not known whether they happened; hint: look at them"),
        "{}",
        done.err
    );
    assert!(!account.aws.done().contains(&"DeleteStack".to_string()));

    account.aws.state().fail = Some(("Worker", "in use"));
    account
        .run(&["destroy", "thumbs.yaml", "--force"])
        .ended(4)
        .says("it is DELETE_FAILED now: Worker: in use; hint: put it right and");
    let done = account.run(&["destroy", "thumbs.yaml", "--force", "--json"]).ended(0);
    assert!(done.err.contains("its results and deployments stay in s3://results/thumbs/"), "{}", done.err);
    assert_eq!(done.lines()[0], json!({ "workflow": "thumbs", "destroyed": true, "results_bucket": "results" }));
    assert!(kept.iter().all(|key| account.kept().contains(key)), "nothing is removed");
    account.run(&destroy).ended(0).says("`thumbs` is not on AWS; nothing to take off");
}

/// Everything that `aws` can say.
const EVERYTHING: &str = "fanfold: 1
name: notify_all
secrets: { token: { aws: partners/token } }
items: { jsonl: { source: s3://data/partners.jsonl } }
max_concurrency: 10
rate: { limit: 20/s }
job:
  http_chain:
    base_url: https://api.example.com
    auth: { bearer: \"{{ secrets.token }}\" }
    steps: [{ name: a, get: /a }]
aws:
  region: eu-central-1
  memory: 512MiB
  timeout: 5m
  architecture: arm64
  results_bucket: our-results
  roles: { machine: \"arn:aws:iam::123456789012:role/machine\" }
  permissions_boundary: \"arn:aws:iam::123456789012:policy/boundary\"
  vpc: { subnets: [subnet-0a1b2c3d], security_groups: [sg-0a1b2c3d] }
  kms_key: \"arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-1111-2222-333344445555\"
  tags: { team: partners }
  log_retention: 90d
  alarm_topic: \"arn:aws:sns:eu-central-1:123456789012:on-call\"
";

/// `FANFOLD_BLESS=1` writes the templates anew, to be read in the diff.
#[test]
fn templates_are_as_they_were_read() {
    let stage = Stage::new();
    stage.write("thumbs.yaml", FLOW).write("notify_all.yaml", EVERYTHING);
    stage.write("x86", bootstrap(62)).write("arm", bootstrap(183));
    for (name, program, params) in [("thumbs", "x86", &SOURCE[..]), ("notify_all", "arm", &[])] {
        let flow = format!("{name}.yaml");
        stage.run_fanfold(&[&["package", &flow, "--bootstrap", program, "-o", "out"], params].concat()).ended(0);
        let text = without_hashes(&stage.read("out/template.json"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/templates/{name}.json"));
        if std::env::var_os("FANFOLD_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == text, "{}: FANFOLD_BLESS=1 writes it anew", path.display());
    }
}

/// Hashes change with everything that they are over.
fn without_hashes(text: &str) -> String {
    let mut clean = String::new();
    for part in text.split_inclusive(|c: char| !matches!(c, '0'..='9' | 'a'..='f')) {
        let digits = part.trim_end_matches(|c: char| !matches!(c, '0'..='9' | 'a'..='f'));
        match digits.len() {
            16 => clean.push_str(&format!("0123456789abcdef{}", &part[16..])),
            _ => clean.push_str(part),
        }
    }
    clean
}

#[test]
fn versions_are_named_by_what_they_are_made_of() {
    let stage = Stage::new();
    stage.write("bootstrap", bootstrap(62));
    // Of the function and of the state machine.
    let versions = |flow: &str, source: &str| {
        stage.write("thumbs.yaml", flow);
        stage.run_fanfold(&["package", "thumbs.yaml", "--bootstrap", "bootstrap", "-o", "out", "-p", source]).ended(0);
        let template: Value = serde_json::from_str(&stage.read("out/template.json")).unwrap();
        let names: Vec<String> = template["Resources"].as_object().unwrap().keys().cloned().collect();
        ["WorkerVersion", "MachineVersion"].map(|kind| names.iter().find(|name| name.starts_with(kind)).unwrap().clone())
    };
    let first = versions(FLOW, "source=s3://photos/2026/");
    assert_eq!(versions(FLOW, "source=s3://photos/2026/"), first);
    // The function is the same: Lambda refuses a second version of it.
    let other = versions(FLOW, "source=s3://photos/2027/");
    assert!(other[0] == first[0] && other[1] != first[1]);
    // The state machine names the version of the function, and is another one with it.
    let memory = versions(&format!("{FLOW}aws: {{ memory: 2048MiB }}\n"), "source=s3://photos/2026/");
    assert!(memory[0] != first[0] && memory[1] != first[1]);
}

#[test]
fn a_package_is_the_same_for_the_same_workflow() {
    let stage = Stage::new();
    stage.write("thumbs.yaml", FLOW).write("bootstrap", bootstrap(62));
    let package = |to: &str| {
        let args = [&["package", "thumbs.yaml", "--bootstrap", "bootstrap", "-o", to], &SOURCE[..]].concat();
        stage.run_fanfold(&args).ended(0)
    };
    let done = package("out");
    let names = ["worker.zip", "definition.json", "machine-policy.json", "worker-policy.json", "template.json", "main.tf"];
    assert_eq!(done.out.lines().collect::<Vec<_>>(), names.map(|name| format!("out/{name}")));
    package("again");
    for name in names {
        let read = |folder: &str| std::fs::read(stage.path(&format!("{folder}/{name}"))).unwrap();
        assert!(read("out") == read("again"), "{name}");
    }
    let zip = std::fs::read(stage.path("out/worker.zip")).unwrap();
    let has = |words: &[u8]| zip.windows(words.len()).any(|part| part == words);
    assert!(has(b"bootstrap") && has(b"workflow.yaml"));
    let (template, terraform) = (stage.read("out/template.json"), stage.read("out/main.tf"));
    let template: Value = serde_json::from_str(&template).unwrap();
    let key = template["Parameters"]["CodeKey"]["Default"].as_str().unwrap();
    assert!(
        terraform.contains(key) && terraform.contains("\"fanfold-thumbs\"") && terraform.contains("${path.module}/worker.zip")
    );
}
