//! The README and the guide do what they say: their workflows are checked and their commands are run.
//!
//! - A `yaml` block that names its format (`fanfold: 1`) is a whole workflow; any other is a part of one, top-level settings that
//!   are checked in a workflow that is small otherwise.
//! - In a `console` block `$ ` begins a command, in an `sh` block every line is one. Commands run in the order of the page, in a
//!   folder of their own with a copy of `workflows/`, with the programs of this build in place of `cargo run … --`, the third party
//!   on a port of the page's own. Other calls of
//!   cargo are not run, nor what needs a bucket, which is called `your-…`.
//! - A `text` block with such buckets is run where AWS is played (tests/aws/rig.sh), with buckets of these names.
//! - The other lines of a `console` block have to be printed; `…` stands for anything, [`ID`] for the id of the newest run. A
//!   command ends with 0, or with what `$ echo $?` behind it shows.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use fanfold::{Jobs, Workflow};

use crate::aws_rig::Rig;
use crate::stage::{Done, Running, Stage, program};
use crate::workflows;

/// The id of a run on every page.
const ID: &str = "20261123-8f3c";

/// The two commands of the README's first screen.
const FIRST: [&str; 2] = ["cargo run --release -- run workflows/resize-photos.yaml", "cargo test"];

/// What a part of a workflow is checked in.
const SMALL: &str = "\
fanfold: 1
name: small
items: { objects: { source: photos/ } }
job: { image_resize: { width: 128, destination: thumbnails/ } }
";

/// What a page shows.
struct Block {
    language: String,
    line: usize,
    text: String,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let guide = fs::read_dir(top().join("src/guide")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = guide.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.sort();
    assert!(pages.len() >= 6, "{pages:?}");
    pages.insert(0, top().join("README.md"));
    pages
}

fn name_of(page: &Path) -> String {
    page.strip_prefix(top()).unwrap().display().to_string()
}

fn blocks(page: &Path) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in fs::read_to_string(page).unwrap().lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                blocks.push(Block { language: language.to_string(), line: index + 1, text: String::new() });
            }
            None if open => {
                let text = &mut blocks.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "{}: a block is not closed", name_of(page));
    blocks
}

/// The name of the top-level setting that a line begins.
fn setting(line: &str) -> Option<&str> {
    line.split_once(':').map(|(name, _)| name).filter(|name| !name.is_empty() && !name.contains([' ', '#']))
}

/// A whole workflow, made of the part that is shown.
fn whole(part: &str) -> String {
    if part.lines().any(|line| line.starts_with("fanfold:")) {
        return part.to_string();
    }
    let shown: Vec<_> = part.lines().filter_map(setting).collect();
    assert!(!shown.is_empty(), "no setting is shown in {part}");
    let rest = SMALL.lines().filter(|line| !setting(line).is_some_and(|name| shown.contains(&name)));
    rest.chain(part.lines()).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn every_workflow_that_is_shown_is_without_mistake() {
    let mut found = 0;
    for page in pages() {
        for block in blocks(&page).into_iter().filter(|block| block.language == "yaml") {
            found += 1;
            let text = whole(&block.text);
            let place = format!("{}:{}", name_of(&page), block.line);
            if text.contains("  greet:") {
                // The job of `examples/greet.rs`: known to that program alone.
                let stage = Stage::new();
                stage.write("shown.yaml", &text);
                let checked = Running::of(stage.command_of(&program("greet"), &["check", "shown.yaml"])).wait();
                assert_eq!(checked.code, Some(0), "{place}: {}", checked.err);
                continue;
            }
            let workflow = Workflow::parse(&text, &place, Path::new("/work"), &Jobs::builtin());
            let bound = workflow.and_then(|workflow| workflow.bind(&[], Path::new("/work")));
            if let Err(error) = bound {
                let mistakes: Vec<_> = error.each().map(ToString::to_string).collect();
                panic!("{place}: {mistakes:#?}\n{text}");
            }
        }
    }
    assert!(found >= 10, "{found} are too few to be all");
}

#[test]
fn the_readme_shows_the_main_workflow_as_it_is() {
    let first = blocks(&top().join("README.md")).into_iter().find(|block| block.language == "yaml").unwrap();
    let file = fs::read_to_string(top().join("workflows/resize-photos.yaml")).unwrap();
    assert_eq!(first.text, file.split_once('\n').unwrap().1, "all of it but the line for editors");
}

#[test]
fn the_two_commands_of_the_readme_are_those_of_the_ci() {
    let first = blocks(&top().join("README.md")).into_iter().find(|block| block.language == "sh").unwrap();
    assert_eq!(first.text.lines().collect::<Vec<_>>(), FIRST);
    assert!(first.line < 60, "they are on the first screen");
    let ci = fs::read_to_string(top().join(".ci/run")).unwrap();
    for command in FIRST {
        assert!(ci.lines().any(|line| line.trim() == command), "`{command}` is not in .ci/run");
    }
}

/// The folder in which the commands of a page are run.
struct Shell {
    stage: Stage,
    run: Option<String>,
    /// Where the third party is on this page; the workflows that call it are told.
    port: u16,
    /// Whether there are buckets called `your-…`.
    buckets: bool,
}

impl Shell {
    fn new() -> Self {
        let stage = workflows::stage();
        fs::create_dir(stage.path(".bin")).unwrap();
        let fanfold = ("fanfold", PathBuf::from(env!("CARGO_BIN_EXE_fanfold")));
        for (name, program) in [fanfold, ("greet", program("greet")), ("third_party", program("third_party"))] {
            std::os::unix::fs::symlink(program, stage.path(".bin").join(name)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for name in ["bill-customers", "does-it-dedupe"] {
            let file = format!("workflows/{name}.yaml");
            let text = stage.read(&file).replace("127.0.0.1:9090", &format!("127.0.0.1:{port}"));
            stage.write(&file, text);
        }
        Self { stage, run: None, port, buckets: false }
    }

    /// Runs a command as it is shown; `None` if it is not to be run.
    fn run(&mut self, shown: &str) -> Option<Done> {
        let built = shown
            .replace("cargo run --release -- ", "fanfold ")
            .replace("cargo run --example greet -- ", "greet ")
            .replace("cargo run --release --example third_party -- ", "third_party ");
        if built.starts_with("cargo ") || (built.contains("your-") && !self.buckets) {
            return None;
        }
        let command = self.with_id(&built);
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.stage.path(".bin").display());
        let mut shell: Command = self.stage.command_of(Path::new("sh"), &["-c", &command]);
        shell.env("PATH", path).env("BILLING_PORT", self.port.to_string()).env_remove("BILLING_TOKEN");
        let done = Running::of(shell).wait();
        let first = done.out.lines().next().unwrap_or_default();
        if is_id(first) {
            self.run = Some(first.to_string());
        }
        Some(done)
    }

    /// The text with the id of the newest run in it.
    fn with_id(&self, text: &str) -> String {
        match &self.run {
            Some(run) => text.replace(ID, run),
            None => text.to_string(),
        }
    }
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(day, rest)| {
        day.len() == 8
            && day.bytes().all(|b| b.is_ascii_digit())
            && rest.len() == 4
            && rest.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Whether a line is as shown, with anything for `…`.
fn is_as_shown(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    true
}

/// Runs the commands of a page, and says what is not as shown and how many there were.
fn run_all(page: &Path, mut shell: Shell) -> (Vec<String>, usize) {
    let (mut wrong, mut found) = (Vec::new(), 0);
    for block in blocks(page) {
        let commands_only = match (block.language.as_str(), shell.buckets) {
            ("sh", false) => true,
            ("console", false) => false,
            ("text", true) if block.text.contains("your-") => false,
            _ => continue,
        };
        let lines: Vec<&str> = block.text.lines().collect();
        let command =
            |line: &'_ str| if commands_only { Some(line.to_string()) } else { line.strip_prefix("$ ").map(str::to_string) };
        let mut at = 0;
        while at < lines.len() {
            let place = format!("{}:{}", name_of(page), block.line + 1 + at);
            let Some(shown) = command(lines[at]).filter(|line| !line.is_empty()) else {
                wrong.push(format!("{place}: the output of no command"));
                break;
            };
            at += 1;
            let mut output = Vec::new();
            while at < lines.len() && command(lines[at]).is_none() {
                output.push(lines[at]);
                at += 1;
            }
            let mut code = 0;
            if lines.get(at) == Some(&"$ echo $?") {
                code = lines.get(at + 1).and_then(|line| line.parse().ok()).expect("a number");
                at += 2;
            }
            let Some(done) = shell.run(&shown) else { continue };
            found += 1;
            if done.code != Some(code) {
                wrong.push(format!("{place}: `{shown}` ended with {:?}, not {code}\n{}{}", done.code, done.out, done.err));
            }
            for shown in output.into_iter().filter(|line| *line != "…") {
                let shown = shell.with_id(shown);
                if !done.out.lines().chain(done.err.lines()).any(|line| is_as_shown(line, &shown)) {
                    wrong.push(format!("{place}: not printed: {shown}\nbut:\n{}{}", done.out, done.err));
                }
            }
        }
    }
    (wrong, found)
}

#[test]
fn every_command_that_is_shown_does_what_is_shown() {
    let pages = pages();
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = pages.iter().map(|page| scope.spawn(|| run_all(page, Shell::new()))).collect();
        running.into_iter().map(|page| page.join().unwrap()).collect()
    });
    let wrong: Vec<_> = results.iter().flat_map(|(wrong, _)| wrong.iter().map(String::as_str)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let found: usize = results.iter().map(|(_, found)| found).sum();
    assert!(found >= 25, "{found} are too few to be all");
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn what_is_shown_of_aws_is_so_where_others_play_it() {
    let rig = Rig::new("readme");
    rig.call("s3", "create_bucket", serde_json::json!({ "Bucket": "your-thumbnails" }));
    let mut found = 0;
    for page in pages() {
        let shell = Shell { buckets: true, ..Shell::new() };
        rig.upload_to(&shell.stage.path("workflows/samples/photos"), "your-photos", "");
        // Functions run the program of the tests: a debug build is too large to be packed.
        let link = shell.stage.path(".bin/fanfold");
        let program = fs::read_link(&link).unwrap();
        fs::remove_file(&link).unwrap();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = deploy ]; then shift; set -- deploy --bootstrap /bin/true \"$@\"; fi\nexec {} \"$@\"\n",
            program.display()
        );
        fs::write(&link, script).unwrap();
        fs::set_permissions(&link, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (wrong, commands) = run_all(&page, shell);
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        found += commands;
    }
    assert!(found >= 4, "{found} are too few to be all");
}

#[test]
fn what_the_pages_link_to_is_there() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains("::") {
                continue;
            }
            assert!(page.parent().unwrap().join(file).exists(), "{}: {target}", name_of(&page));
        }
    }
}

#[test]
fn lines_are_compared_with_gaps() {
    assert!(is_as_shown("75 items: 75 succeeded; 1.2 s", "75 items: 75 succeeded; … s"));
    assert!(is_as_shown("abc", "…") && is_as_shown("abc", "a…") && is_as_shown("abc", "…c") && is_as_shown("abc", "abc"));
    assert!(!is_as_shown("abc", "ab") && !is_as_shown("abc", "b…") && !is_as_shown("abc", "…b") && !is_as_shown("abc", "a…d…c"));
    assert!(is_id(ID) && !is_id("thumbs.yaml") && !is_id("2026-11-23"));
}
