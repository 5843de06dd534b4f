//! The verbs of runs on AWS against an engine that nobody here wrote: redriven in batches of another size, throttled, pruned.

use serde_json::json;

use crate::aws_rig::Rig;
use crate::stage::{doing, finished, plain};

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn what_failed_is_redriven_in_batches_of_another_size_and_then_pruned() {
    let rig = Rig::new("redriven");
    rig.notes(
        (0..30).map(|n| if n % 6 == 1 { doing(n, "permanent") } else { plain(n) }),
        "echo: true",
        "batch: { max_items: 10 }",
    );
    rig.deploy(&["flow.yaml"]);
    let first = rig.run(1, &["flow.yaml", "--as", "R"]);
    assert_eq!((&first["items"]["failed"], &first["batches"]), (&json!(5), &json!(3)));
    let before = rig.invocations().len();
    // `cure` heals what failed before.
    rig.stage.write("cure", "");
    let redriven = rig.stage.run(&["redrive", "R", "--batch", "1"]).ended(0);
    redriven.says("5 items to redrive").says("30 items: 30 succeeded; 3 batches, 35 tries");
    assert_eq!(rig.invocations().len() - before, 5 + 1, "five workers and a gate");
    let lines = rig.stage.run(&["results", "R"]).ended(0).lines();
    let tries: Vec<_> = lines.iter().map(|line| line["attempts"].as_u64().unwrap()).collect();
    assert_eq!(tries, (0..30).map(|n| if n % 6 == 1 { 2 } else { 1 }).collect::<Vec<_>>());
    let status = &rig.stage.json(0, &["status", "R"])[0];
    assert_eq!((&status["status"], &status["items"]["succeeded"]), (&json!("SUCCEEDED"), &json!(30)));

    assert!(rig.stage.json(0, &["prune", "R"])[0]["freed_bytes"].as_u64().unwrap() > 0);
    let lines = rig.stage.run(&["results", "R"]).ended(0).lines();
    assert!(lines.len() == 30 && lines.iter().all(|line| line["item"].is_null() && line["output"].is_null()), "{lines:?}");
    rig.run(0, &["flow.yaml", "--as", "R"]);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn a_map_run_is_throttled_while_it_goes_on() {
    let rig = Rig::new("slower");
    rig.notes((0..8).map(|n| doing(n, "wait")), "", "batch: { max_items: 1 }\nmax_concurrency: 4");
    rig.deploy(&["flow.yaml"]);
    let running = rig.stage.spawn(&["run", "flow.yaml", "--on", "aws", "--as", "R", "--json"]);
    rig.stage.until_logged("begin i0");
    rig.stage.run(&["throttle", "R", "--concurrency", "2"]).ended(0).says("at most 2 batches at once from now on, 4 before");
    assert_eq!(rig.stage.json(0, &["status", "R"])[0]["on"]["map_run"]["max_concurrency"], 2);
    rig.stage.write("gate", "");
    assert_eq!(finished(&running.wait().ended(0).lines())["items"]["succeeded"], 8);
}
