//! [`Stage`]: a folder of its own for a test, and the real program with the jobs of `tests/jobs/` in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What takes longer hangs. Far more than anything needs, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_secs(90);

/// A folder of its own, gone at the end.
pub struct Stage {
    folder: TempDir,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Done {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A program that is running; killed when it is forgotten.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    told: Vec<String>,
    err: Arc<Mutex<String>>,
    errs: Option<JoinHandle<()>>,
}

/// A program of `examples/` of this build.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let build = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps");
    let program = build.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not built; run `cargo test` without `--test`, or `cargo build --examples`",
        program.display()
    );
    program
}

impl Stage {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
        self
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `items.jsonl` with these items.
    pub fn items(&self, items: impl IntoIterator<Item = Value>) -> &Self {
        let lines: String = items.into_iter().map(|item| format!("{item}\n")).collect();
        self.write("items.jsonl", lines)
    }

    /// `items.jsonl` with so many items that do as they are told: i0, i1, ….
    pub fn plain(&self, n: usize) -> &Self {
        self.items((0..n).map(plain))
    }

    /// `flow.yaml`: `note` over `items.jsonl`, with these settings of its own at the top level.
    pub fn flow(&self, settings: &str) -> &Self {
        self.flow_of("note", "", settings)
    }

    /// The same with another job, and settings of the job's own such as `takes_ms: 5`.
    pub fn flow_of(&self, job: &str, job_settings: &str, settings: &str) -> &Self {
        self.write(
            "flow.yaml",
            format!(
                "fanfold: 1\nname: notes\n{settings}\n{}job: {{ {job}: {{ log: log.txt, gate: gate, cure: cure, {job_settings} }} }}\n",
                if settings.lines().any(|line| line.starts_with("items:")) { "" } else { "items: { jsonl: { source: items.jsonl } }\n" }
            ),
        )
    }

    /// What the jobs did, in order: `begin i3`, `end i3`, ….
    pub fn log(&self) -> Vec<String> {
        let text = fs::read(self.path("log.txt")).unwrap_or_default();
        String::from_utf8(text).expect("the log is text").lines().map(str::to_string).collect()
    }

    /// How often each item did this.
    pub fn times(&self, what: &str) -> BTreeMap<String, u32> {
        let mut times = BTreeMap::new();
        for line in self.log() {
            if let Some((found, id)) = line.split_once(' ')
                && found == what
            {
                *times.entry(id.to_string()).or_default() += 1;
            }
        }
        times
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(&program("test_jobs"), args)
    }

    pub fn command_of(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_remove("FANFOLD_STATE")
            .env("NO_COLOR", "1")
            .env("FANFOLD_RATE_DIR", self.path("rates"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        Running::of(self.command(args)).wait()
    }

    /// The same, but with `--json`, and it must end with this code.
    #[track_caller]
    pub fn json(&self, code: i32, args: &[&str]) -> Vec<Value> {
        let args = [args, &["--json"]].concat();
        self.run(&args).ended(code).lines()
    }

    /// The same, and its last line must be that the run is finished.
    #[track_caller]
    pub fn finished(&self, code: i32, args: &[&str]) -> Value {
        finished(&self.json(code, args))
    }

    /// Runs the program as it is installed, without the jobs of the tests.
    pub fn run_fanfold(&self, args: &[&str]) -> Done {
        Running::of(self.command_of(Path::new(env!("CARGO_BIN_EXE_fanfold")), args)).wait()
    }

    pub fn spawn(&self, args: &[&str]) -> Running {
        Running::of(self.command(args))
    }

    /// How every item of a run stands, by `id` of the item.
    pub fn results(&self, run: &str) -> BTreeMap<String, Value> {
        let lines = self.run(&["results", run]).ended(0).lines();
        lines.into_iter().map(|line| (line["item"]["id"].as_str().expect("an id").to_string(), line)).collect()
    }

    /// The ids of the items with this status.
    pub fn ids(&self, run: &str, status: &str) -> BTreeSet<String> {
        self.results(run).into_iter().filter(|(_, line)| line["status"] == status).map(|(id, _)| id).collect()
    }

    /// The only run there is.
    pub fn only_run(&self) -> String {
        let runs: Vec<_> =
            fs::read_dir(self.path(".fanfold/runs")).expect("runs").map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].to_str().expect("a run's id is plain").to_string()
    }

    /// Waits until this is so, because of what another process does.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "waited in vain: {what}; the log: {:?}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for this line of the log.
    #[track_caller]
    pub fn until_logged(&self, line: &str) {
        self.until(line, |stage| stage.log().iter().any(|found| found == line));
    }
}

pub fn plain(n: usize) -> Value {
    json!({ "id": format!("i{n}") })
}

/// Item `n`, which does `what`.
pub fn doing(n: usize, what: &str) -> Value {
    json!({ "id": format!("i{n}"), "what": what })
}

#[track_caller]
pub fn finished(lines: &[Value]) -> Value {
    let last = lines.last().expect("a line");
    assert_eq!(last["event"], "finished", "the last of {lines:#?}");
    let items = &last["items"];
    let sum: u64 = ["succeeded", "skipped", "failed", "unknown", "blocked", "pending"]
        .iter()
        .map(|name| items[name].as_u64().expect(name))
        .sum();
    assert_eq!(items["total"].as_u64(), Some(sum), "the total is the sum: {items}");
    last.clone()
}

impl Done {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Every line of stdout as JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let line = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        self.out.lines().map(line).collect()
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "not said: {text}\nbut: {}", self.err);
        self
    }
}

impl Running {
    pub fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let said = Arc::new(Mutex::new(String::new()));
        let text = Arc::clone(&said);
        let errs = std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                text.lock().expect("nobody panics with it").push_str(&format!("{line}\n"));
            }
        });
        Self { child, lines, told: Vec::new(), err: said, errs: Some(errs) }
    }

    /// The next line of stdout.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.told.push(line.clone());
                line
            }
            Err(_) => panic!("no further line after {:?}", self.told),
        }
    }

    /// Sends a signal by its name: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status().expect("a shell");
        assert!(status.success(), "kill -{name}");
    }

    /// Waits until it has said this on stderr.
    #[track_caller]
    pub fn until_said(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.err.lock().expect("nobody panics with it").contains(text) {
            assert!(Instant::now() < end && self.is_running(), "never said: {text}; but: {:?}", self.err);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it at once, if it has not ended by itself.
    pub fn kill(mut self) -> Done {
        let _ = self.child.kill();
        self.wait()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits until it ends.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.told.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("it hangs; stdout: {:?}, stderr: {:?}", self.told, self.err);
                }
            }
        }
        let code = self.child.wait().expect("a child").code();
        self.errs.take().expect("joined once").join().expect("stderr is read");
        let err = self.err.lock().expect("nobody panics with it").clone();
        let out = self.told.iter().map(|line| format!("{line}\n")).collect();
        Done { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
