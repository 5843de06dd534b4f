//! One rate for all processes of a user, in real time.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::super::clock::Clock;
use super::super::shared::SharedFile;
use super::*;

const LIMIT: f64 = 400.0;
const TIME: Duration = Duration::from_secs(2);

/// Names the folder to the other processes of these tests, which run this program again.
const FOLDER: &str = "FANFOLD_TEST_RATES";

fn shared(folder: &Path, rates: Rates) -> Arc<HostPermits> {
    Arc::new(HostPermits::shared_in(folder.to_path_buf(), rates, &Outage::default(), Arc::new(Unobserved)))
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["permits::tests::processes::another_process", "--exact", "--ignored"]).env(FOLDER, folder);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

/// What another process does: takes permits, and says how many.
#[test]
#[ignore = "run by the tests of several processes"]
fn another_process() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let taken = runtime.block_on(async { take(&shared(&folder.join("rates"), rates(LIMIT, 10)), TIME).await.len() });
    std::fs::write(folder.join(format!("{}.taken", std::process::id())), taken.to_string()).unwrap();
}

#[test]
fn processes_share_one_rate() {
    let folder = tempfile::tempdir().unwrap();
    let began = std::time::Instant::now();
    let children: Vec<Child> = (0..2).map(|_| start(folder.path())).collect();
    let mut taken = Vec::new();
    for mut child in children {
        assert!(child.wait().unwrap().success());
        let path = folder.path().join(format!("{}.taken", child.id()));
        taken.push(std::fs::read_to_string(path).unwrap().parse::<f64>().unwrap());
    }
    let took = began.elapsed().as_secs_f64();
    let all: f64 = taken.iter().sum();
    assert!(all <= LIMIT * (took + 0.005) + 10.0, "{taken:?} in {took} s");
    assert!(all >= LIMIT, "together they reach it: {taken:?} in {took} s");
    assert!(taken.iter().all(|taken| *taken >= all / 10.0), "none starves: {taken:?}");
}

#[tokio::test]
async fn a_pause_that_one_is_asked_for_holds_the_others_and_so_does_a_lower_rate() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("rates");
    let (one, two) = (shared(&folder, Rates::default()), shared(&folder, rates(1000.0, 1)));
    one.permit(HOST, Turn::First).await.unwrap();
    let began = Instant::now();
    let headers = [("retry-after".to_string(), "1".to_string())];
    one.heard(HOST, Heard::Answer { status: 429, headers: &headers });
    let mut file = SharedFile::new(Some(folder.clone()), HOST);
    while {
        let (state, _) = file.enter(None, Clock::Machine).await.unwrap();
        file.leave(&state).unwrap();
        state.paused_until.is_zero()
    } {
        tokio::task::yield_now().await;
    }
    two.permit(HOST, Turn::First).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(999), "{:?}", began.elapsed());
    // A third comes with a much lower rate: the next turns are that far apart for all.
    let three = shared(&folder, rates(2.0, 1));
    three.permit(HOST, Turn::First).await.unwrap();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..3 {
        two.permit(HOST, Turn::First).await.unwrap();
        three.heard(HOST, GOOD);
    }
    assert!(began.elapsed() >= Duration::from_millis(1490), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_cannot_be_shared_is_no_permit() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("rates");
    std::fs::write(&folder, "").unwrap();
    let permits = shared(&folder, Rates::default());
    for _ in 0..2 {
        let super::super::NoPermit::Trouble(why) = permits.permit(HOST, Turn::First).await.unwrap_err() else { panic!() };
        assert!(why.starts_with("runs cannot share their rates through "), "{why}");
    }
    std::fs::remove_file(&folder).unwrap();
    permits.permit(HOST, Turn::First).await.unwrap();
}
