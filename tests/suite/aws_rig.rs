//! [`Rig`]: AWS as `tests/aws/rig.sh` plays it, and a stage on it: buckets, a workflow with a name of its own, what was invoked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::stage::{Done, Running, Stage, finished, program};

/// The engines that run, and a stage with a bucket of its own.
pub struct Rig {
    pub stage: Stage,
    /// A name that no other test has: of the bucket and of the workflow.
    pub name: String,
    folder: PathBuf,
}

impl Rig {
    /// `what` is part of the name: small letters, so that it can be a bucket's.
    pub fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = PathBuf::from(std::env::var_os("FANFOLD_RIG").expect("tests/aws/rig.sh sets FANFOLD_RIG"));
        // What functions run instead of what was packed; a debug build of a hundred megabytes is not packed for each test.
        let stand_in = folder.join("bootstrap");
        if !stand_in.exists() {
            let _ = std::os::unix::fs::symlink(program("test_jobs"), &stand_in);
        }
        let name = format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let rig = Self { stage: Stage::new(), name, folder };
        rig.call("s3", "create_bucket", json!({ "Bucket": rig.name }));
        rig
    }

    fn script(&self, args: &[&str]) -> Done {
        let python = std::env::var("FANFOLD_RIG_PYTHON").expect("tests/aws/rig.sh sets FANFOLD_RIG_PYTHON");
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/rig.py")).args(args);
        Running::of(command).wait()
    }

    /// One call of AWS's API, by boto3's names.
    #[track_caller]
    pub fn call(&self, service: &str, operation: &str, given: Value) -> Value {
        let done = self.script(&["call", service, operation, &given.to_string()]).ended(0);
        serde_json::from_str(&done.out).expect("JSON")
    }

    /// From now on every `every`th call of a worker goes wrong like this, so many times.
    pub fn fault(&self, kind: &str, asked: Value) {
        self.script(&["fault", kind, &asked.to_string()]).ended(0);
    }

    /// A secret of Secrets Manager.
    pub fn secret(&self, name: &str, value: &str) {
        let given = json!({ "Name": name, "SecretString": value }).to_string();
        self.script(&["call", "secretsmanager", "create_secret", &given]);
    }

    /// Whom functions reach as `http://api.example.com`: they would not be told an address of this machine.
    pub fn reach(&self, url: &str) {
        std::fs::write(self.folder.join("environment.json"), json!({ "HTTP_PROXY": url, "NO_PROXY": "127.0.0.1" }).to_string())
            .expect("a file");
    }

    /// An object of the bucket.
    pub fn put(&self, key: &str, body: &str) {
        self.stage.write(&format!("put/{key}"), body);
        self.upload("put", "");
        std::fs::remove_dir_all(self.stage.path("put")).expect("it is there");
    }

    /// The files of a folder of the stage, as objects below this prefix.
    pub fn upload(&self, folder: &str, prefix: &str) {
        self.upload_to(&self.stage.path(folder), &self.name, prefix);
    }

    /// The files of a folder, as objects of a bucket, which is made if it is not there.
    pub fn upload_to(&self, folder: &Path, bucket: &str, prefix: &str) {
        self.script(&["upload", folder.to_str().expect("a plain name"), bucket, prefix]).ended(0);
    }

    /// `flow.yaml`: `note` over `s3://BUCKET/items.jsonl`, which is put there, with these settings of its own and of the job.
    pub fn notes(&self, items: impl IntoIterator<Item = Value>, job: &str, settings: &str) {
        let lines: String = items.into_iter().map(|item| format!("{item}\n")).collect();
        self.put("items.jsonl", &lines);
        let path = |name: &str| self.stage.path(name).display().to_string();
        self.stage.write(
            "flow.yaml",
            format!(
                "fanfold: 1\nname: {}\n{settings}\nitems: {{ jsonl: {{ source: \"s3://{}/items.jsonl\" }} }}\n\
                 job: {{ note: {{ log: {}, gate: {}, cure: {}, {job} }} }}\n",
                self.name,
                self.name,
                path("log.txt"),
                path("gate"),
                path("cure"),
            ),
        );
    }

    /// Puts a workflow on AWS.
    #[track_caller]
    pub fn deploy(&self, args: &[&str]) {
        let bootstrap = self.stage.path("bootstrap");
        std::fs::copy("/bin/true", &bootstrap).expect("a program");
        let args = [&["deploy", args[0], "--bootstrap", bootstrap.to_str().expect("a plain name")], &args[1..]].concat();
        self.stage.run(&args).ended(0);
    }

    /// Runs a workflow that is on AWS to its end, with this exit code; what its last line says.
    #[track_caller]
    pub fn run(&self, code: i32, args: &[&str]) -> Value {
        let args = [&["run", args[0], "--on", "aws"], &args[1..]].concat();
        finished(&self.stage.json(code, &args))
    }

    /// What was invoked of the workflow's function, workers and gates.
    pub fn invocations(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("invocations.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line"));
        lines.filter(|line| line["function"].as_str().is_some_and(|name| name.contains(&self.name))).collect()
    }

    /// How many calls were refused because too many ran.
    pub fn throttled(&self) -> usize {
        let text = std::fs::read_to_string(self.folder.join("invocations.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"throttled\"")).count()
    }

    /// The name of the workflow's function.
    pub fn function(&self) -> String {
        let stack = self.call("cloudformation", "describe_stacks", json!({ "StackName": format!("fanfold-{}", self.name) }));
        let outputs = stack["Stacks"][0]["Outputs"].as_array().expect("outputs").clone();
        let output = outputs.into_iter().find(|output| output["OutputKey"] == "WorkerFunction").expect("a function");
        output["OutputValue"].as_str().expect("a name").to_string()
    }

    /// From now on the first event that a worker is given is kept.
    pub fn watch_event(&self) {
        let _ = std::fs::remove_file(self.folder.join("event.json"));
    }

    /// That event.
    pub fn event(&self) -> Value {
        let text = std::fs::read_to_string(self.folder.join("event.json")).expect("a worker was invoked");
        serde_json::from_str(&text).expect("JSON")
    }

    /// How many of them were workers.
    pub fn workers(&self) -> usize {
        self.invocations().iter().filter(|line| line["kind"] == "worker").count()
    }

    /// How many of them ended like this: `killed`, `memory`, `Sandbox.Timedout`.
    pub fn ended(&self, status: &str) -> usize {
        self.invocations().iter().filter(|line| line["status"] == status).count()
    }
}

/// How each item ended, without what differs from run to run, in the order of the input.
#[track_caller]
pub fn outcomes(stage: &Stage, run: &str) -> Vec<Value> {
    let mut lines = stage.run(&["results", run]).ended(0).lines();
    lines.sort_by_key(|line| line["index"].as_u64());
    lines
}
