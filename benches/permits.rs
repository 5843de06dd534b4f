//! The permits alone: how well a rate is kept by 64 callers and what a permit costs, beside governor's own wait.
//!
//! `cargo bench --bench permits` shows all; each measurement is a process of its own, which this program starts.

#![allow(clippy::print_stdout, reason = "it tells its figures")]

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanfold::{Answer, Attempt, ConfigError, Job, JobError, Jobs, Run, Session, Setup, StateFolder, Work, Workflow};
use governor::{Quota, RateLimiter};
use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

const CALLERS: usize = 64;
const TIME: Duration = Duration::from_secs(8);

/// When each permit came, by the time of the machine.
static GIVEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Takes permits for eight seconds and makes no calls.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PermitsConfig {}

struct Permits;

impl Job for Permits {
    const NAME: &'static str = "permits";
    const WORK: Work = Work::Io;
    type Config = PermitsConfig;
    type Input = Value;
    type Output = ();

    fn new(_: PermitsConfig, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    async fn run(&self, _: Value, attempt: &Attempt<'_>) -> Result<(), JobError> {
        let answered = Ok(Answer { status: 200, headers: Vec::new(), body: Default::default() });
        let (mut given, began) = (Vec::new(), now());
        while now() - began < TIME.as_nanos() as u64 {
            attempt.permit("api.example.com:443").await?;
            given.push(now());
            attempt.heard("api.example.com:443", &answered);
        }
        GIVEN.lock().unwrap_or_else(PoisonError::into_inner).extend(given);
        Ok(())
    }
}

fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A run of the job in a folder of its own; the folder of the rates is that of the parent.
async fn ours(folder: &Path, rate: &str) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("items.jsonl"), "1\n".repeat(CALLERS))?;
    let text = format!(
        "fanfold: 1\nname: permits\nitems: {{ jsonl: {{ source: items.jsonl }} }}\nbatch: {{ concurrency: {CALLERS} }}\n{rate}\n\
         job: {{ permits: {{}} }}\n"
    );
    std::fs::write(folder.join("flow.yaml"), text)?;
    let jobs = Jobs::builtin().with::<Permits>();
    let workflow = Workflow::load(&folder.join("flow.yaml"), &jobs)?;
    let bound = workflow.bind(&[], folder)?;
    Run::begin(&StateFolder::find(None, folder), workflow, bound, &jobs, None)?.go(Session::default()).await?;
    Ok(())
}

/// The same by governor alone, as it is usually used.
async fn governors(limit: u32, burst: u32) {
    let quota = Quota::per_second(NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN));
    let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
    let (limiter, began) = (Arc::new(RateLimiter::direct(quota)), now());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let limiter = Arc::clone(&limiter);
        callers.spawn(async move {
            let mut given = Vec::new();
            while now() - began < TIME.as_nanos() as u64 {
                limiter.until_ready().await;
                given.push(now());
            }
            GIVEN.lock().unwrap_or_else(PoisonError::into_inner).extend(given);
        });
    }
    callers.join_all().await;
}

/// One measurement: `child ours|governor|free LIMIT BURST FOLDER`. Writes when each permit came, and the CPU time of all.
fn child(args: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let (limit, burst, folder): (u32, u32, &Path) = (args[1].parse()?, args[2].parse()?, Path::new(&args[3]));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let before = nanos(ClockId::ProcessCPUTime);
    match args[0].as_str() {
        "governor" => runtime.block_on(governors(limit, burst)),
        "free" => runtime.block_on(ours(folder, ""))?,
        _ => runtime.block_on(ours(folder, &format!("rate: {{ limit: {limit}/s, burst: {burst} }}")))?,
    }
    let cpu = nanos(ClockId::ProcessCPUTime) - before;
    let mut given = std::mem::take(&mut *GIVEN.lock().unwrap_or_else(PoisonError::into_inner));
    given.push(cpu);
    let bytes: Vec<u8> = given.iter().flat_map(|time| time.to_le_bytes()).collect();
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("given"), bytes)?;
    Ok(())
}

/// Measures with so many processes at once, and tells.
fn measure(who: &str, limit: u32, burst: u32, processes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let top = tempfile::tempdir()?;
    let mut children = Vec::new();
    for n in 0..processes {
        let folder = top.path().join(n.to_string());
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("child").arg(who).arg(limit.to_string()).arg(burst.to_string()).arg(&folder);
        children.push((command.env("FANFOLD_RATE_DIR", top.path().join("rates")).spawn()?, folder));
    }
    let (mut given, mut cpu, mut each) = (Vec::new(), 0, Vec::new());
    for (mut child, folder) in children {
        if !child.wait()?.success() {
            return Err("a measurement failed".into());
        }
        let bytes = std::fs::read(folder.join("given"))?;
        let mut times: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        cpu += times.pop().unwrap_or_default();
        each.push(times.len().to_string());
        given.append(&mut times);
    }
    given.sort_unstable();
    let (first, last) = (given.first().copied().unwrap_or_default(), given.last().copied().unwrap_or_default());
    let (mut from, mut most) = (0, 0);
    for to in 0..given.len() {
        while given[to] - given[from] >= 1_000_000_000 {
            from += 1;
        }
        most = most.max(to - from + 1);
    }
    let seconds = (last - first) as f64 / 1e9;
    let achieved = (given.len() as f64 - 1.0) / seconds;
    println!(
        "| {who}{} | {limit}/s, {burst} | {achieved:.1}/s ({:+.2} %) | {most} | {:.1} | {} |",
        if processes > 1 { format!(", {processes} processes") } else { String::new() },
        (achieved / f64::from(limit) - 1.0) * 100.0,
        cpu as f64 / 1e3 / given.len() as f64,
        each.join(" + "),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "child") {
        return child(&args[1..]);
    }
    println!("| who | rate, burst | achieved in {} s | most in any second | CPU us a permit | permits |", TIME.as_secs());
    println!("| --- | --- | --- | --- | --- | --- |");
    for (limit, burst) in [(50, 1), (1000, 1), (10_000, 1), (10_000, 100)] {
        measure("ours", limit, burst, 1)?;
        measure("governor", limit, burst, 1)?;
    }
    for limit in [50, 1000, 10_000] {
        measure("ours", limit, 10, 2)?;
    }
    measure("free", 1_000_000, 1, 1)
}
