//! What an earlier process left behind, and the time of keys.

use super::*;

const WAIT: Duration = Duration::from_secs(30);

fn happened() -> Result<Probed, NoAnswer> {
    Ok(Probed::Happened(answer(200, &[], "{\"id\":1}")))
}

fn asked(repeat: StepRepeat) -> StepPolicy<'static> {
    StepPolicy { on_unknown: OnUnknown::Probe { wait: WAIT }, ..policy(repeat) }
}

impl Bench {
    /// The next process over the same ledger.
    pub(super) fn again(&self) -> Bench {
        let (ledger, log) = (Arc::clone(&self.ledger), Arc::clone(&self.log));
        Bench { ledger, log, clock: self.clock, redrive: self.redrive, ..Bench::new() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_started_is_sent_again_where_that_is_safe() {
    for repeat in [KEYED, StepRepeat::Idempotent] {
        let bench = Bench::new();
        bench.die_after_start(&policy(repeat)).await;
        let before = bench.row().await;
        assert_eq!((before.state, before.unheard), (CallState::Started, 1));
        let (ended, arrivals) = bench.again().play(&policy(repeat), &[Line::Status(201)]).await;
        assert_eq!((status(&ended), arrivals[0].key.as_str()), (201, &*before.key));
        assert_eq!((bench.row().await.starts, bench.row().await.first_ms), (2, before.first_ms));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_started_and_is_sent_once_is_unknown() {
    let bench = Bench::new();
    bench.die_after_start(&policy(StepRepeat::Once)).await;
    let (ended, arrivals) = bench.again().play(&policy(StepRepeat::Once), &[]).await;
    assert_eq!((error(&ended), arrivals.len()), ((JobErrorKind::Unknown, "Worker.Crashed"), 0));
    let held = StepPolicy { on_unknown: OnUnknown::Hold, ..policy(KEYED) };
    let bench = Bench::new();
    bench.die_after_start(&held).await;
    assert_eq!(error(&bench.again().play(&held, &[]).await.0).0, JobErrorKind::Unknown, "a key does not help who says hold");
}

#[tokio::test(start_paused = true)]
async fn a_probe_comes_so_long_after_sending_and_decides() {
    let bench = Bench::new();
    bench.die_after_start(&asked(StepRepeat::Once)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let next = bench.again();
    let script = next.script(&[], vec![happened()]);
    let ended = next.step(&asked(StepRepeat::Once), &script).await;
    assert_eq!(&ended.unwrap().body[..], b"{\"id\":1}");
    let at = script.probed_at.lock().unwrap()[0].as_millis();
    assert!((19_990..=20_000).contains(&at), "30 s after it was sent, 10 s of which had passed: {at}");
    assert_eq!(bench.row().await.state, CallState::Answered);
    // It did not happen: then it is sent.
    let bench = Bench::new();
    bench.die_after_start(&asked(StepRepeat::Once)).await;
    let next = bench.again();
    let script = next.script(&[Line::Status(201)], vec![Ok(Probed::DidNotHappen)]);
    assert_eq!(status(&next.step(&asked(StepRepeat::Once), &script).await), 201);
    assert_eq!(&bench.logged()[2..], ["probe", "note notsent", "start", "send", "note answered"]);
}

#[tokio::test(start_paused = true)]
async fn silence_is_probed_without_a_crash_too_and_retries_are_counted() {
    let bench = Bench::new();
    let script = bench.script(&vec![Line::TimedOut; 4], vec![Ok(Probed::DidNotHappen); 4]);
    let ended = bench.step(&asked(StepRepeat::Once), &script).await;
    assert_eq!(error(&ended), (JobErrorKind::Permanent, "Http.NoAnswer"), "nothing happened, and the retries are used up");
    let at: Vec<u64> = script.probed_at.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(at, [30, 61, 93, 127]);
    let bench = Bench::new();
    let script = bench.script(&[Line::Status(500)], vec![happened()]);
    assert_eq!(status(&bench.step(&asked(StepRepeat::Once), &script).await), 200);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_answered_is_asked_again_and_leaves_it_unknown_in_the_end() {
    let lost = || Err(NoAnswer::Lost("connection reset".into()));
    let bench = Bench::new();
    let script = bench.script(&[Line::Lost], vec![lost(), lost(), happened()]);
    assert_eq!(status(&bench.step(&asked(StepRepeat::Once), &script).await), 200);
    let bench = Bench::new();
    let script = bench.script(&[Line::Lost], vec![lost(), lost(), lost(), lost()]);
    assert_eq!(error(&bench.step(&asked(StepRepeat::Once), &script).await), (JobErrorKind::Unknown, "Http.ProbeFailed"));
    // While the host is away it is asked for as long as that takes.
    let bench = Bench::new();
    bench.permits.is_away.store(true, Ordering::SeqCst);
    let away =
        [Err(NoAnswer::NotSent("connection refused".into())), Err(NoAnswer::Unusable { status: 503, cause: "away".into() })];
    let script = bench.script(&[Line::Lost], away.into_iter().cycle().take(20).chain([happened()]).collect());
    assert_eq!(status(&bench.step(&asked(StepRepeat::Once), &script).await), 200);
    let bench = Bench::new();
    let script = bench.script(&[Line::Lost], vec![Err(NoAnswer::Refused("not to there".into()))]);
    assert_eq!(error(&bench.step(&asked(StepRepeat::Once), &script).await), (JobErrorKind::Unknown, "Http.ProbeFailed"));
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_time_ran_out_is_never_sent_again() {
    let bench = Bench::new();
    bench.die_after_start(&policy(KEYED)).await;
    tokio::time::sleep(Duration::from_secs(898)).await;
    assert_eq!(
        error(&bench.again().play(&policy(KEYED), &vec![Line::Lost; 2]).await.0),
        (JobErrorKind::Unknown, "Http.KeyExpired")
    );
    // The age is that of the first one, whatever was sent since; a probe helps.
    let probed = StepPolicy { probe: Some(WAIT), ..policy(KEYED) };
    let next = bench.again();
    let script = next.script(&[], vec![happened()]);
    assert_eq!(status(&next.step(&probed, &script).await), 200);
    let next = bench.again();
    assert_eq!(status(&next.play(&policy(KEYED), &[]).await.0), 200);
}

#[tokio::test(start_paused = true)]
async fn a_key_may_run_out_while_its_call_waits_for_its_turn() {
    let bench = Bench::new();
    bench.permits.is_away.store(true, Ordering::SeqCst);
    let ended = bench.play(&policy(KEYED), &[Line::With(503, "retry-after", "2000")]).await.0;
    assert_eq!(error(&ended), (JobErrorKind::Unknown, "Http.KeyExpired"));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_key_that_nobody_has_seen_does_not_run() {
    let bench = Bench::new();
    let (ended, _) = bench.play(&policy(KEYED), &[Line::With(429, "retry-after", "5000"), Line::Lost, Line::Status(201)]).await;
    assert_eq!(status(&ended), 201);
}

#[tokio::test(start_paused = true)]
async fn eight_deaths_in_a_row_with_one_call_are_its_end() {
    for (repeat, kind) in [(KEYED, JobErrorKind::Unknown), (StepRepeat::Idempotent, JobErrorKind::Permanent)] {
        let bench = Bench::new();
        for _ in 0..8 {
            bench.again().die_after_start(&policy(repeat)).await;
        }
        let (ended, _) = bench.again().play(&policy(repeat), &[]).await;
        assert_eq!(error(&ended), (kind, "Worker.Crashed"));
        // A redrive tries it anew, and so does one that heard something in between.
        let (ended, _) = Bench { redrive: 1, ..bench.again() }.play(&policy(repeat), &[Line::Status(200)]).await;
        assert_eq!(status(&ended), 200);
    }
    let bench = Bench::new();
    for _ in 0..4 {
        bench.again().die_after_start(&policy(KEYED)).await;
    }
    let stopped = bench.again();
    stopped.permits.is_away.store(true, Ordering::SeqCst);
    let stop = stopped.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    });
    stopped.play(&policy(KEYED), &[Line::Status(503)]).await.0.unwrap_err();
    for _ in 0..7 {
        bench.again().die_after_start(&policy(KEYED)).await;
    }
    assert_eq!(status(&bench.again().play(&policy(KEYED), &[Line::Status(200)]).await.0), 200);
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_lane_is_the_lanes_and_stops_it() {
    let lane = || Some(LaneContext { name: "c1".into(), first: 3, previous: Value::Null, rows: Mutex::default() });
    let step = StepPolicy { once_per_lane: true, ..policy(KEYED) };
    let bench = Bench { lane: lane(), ..Bench::new() };
    let (_, first) = bench.play(&step, &[Line::Status(200)]).await;
    let row = bench.row().await;
    assert_eq!((row.owner, row.lane), (3, true));
    assert_ne!(first[0].key, Bench::new().play(&policy(KEYED), &[Line::Status(200)]).await.1[0].key);
    // The next item of the lane, in this process and in another.
    let item = Item { index: 9, key: ItemKey::Name("o9".into()), value: json!({}) };
    let bench = Bench { item: item.clone(), ..bench };
    assert_eq!(status(&bench.play(&step, &[]).await.0), 200);
    let other = Bench { lane: lane(), item, ..bench.again() };
    assert_eq!(status(&other.play(&step, &[]).await.0), 200);
    let failing = Bench { lane: lane(), ..Bench::new() };
    assert!(failing.play(&step, &[Line::NotAllowed]).await.0.unwrap_err().stops_lane);
}
