//! Answers, refusals and silence, and what is sent again.

use super::*;

#[tokio::test(start_paused = true)]
async fn start_is_written_before_it_is_sent_and_done_before_it_is_judged() {
    let bench = Bench::new();
    let (ended, arrivals) = bench.play(&policy(StepRepeat::Once), &[Line::Status(201)]).await;
    assert_eq!(status(&ended), 201);
    assert_eq!(bench.logged(), ["start", "send", "note answered"]);
    let row = bench.row().await;
    assert_eq!((row.state, row.starts, row.unheard, &*row.sent), (CallState::Answered, 1, 0, "POST /1"));
    assert_eq!((arrivals[0].key.as_str(), row.key.len()), (&*row.key, 43));
    // The next process gives it back.
    let (ended, arrivals) = bench.play(&policy(StepRepeat::Once), &[]).await;
    assert_eq!((status(&ended), arrivals.len()), (201, 0));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_effect_is_sent_without_start_and_its_answer_kept() {
    let bench = Bench::new();
    let (ended, arrivals) = bench.play(&policy(StepRepeat::Safe), &[Line::TimedOut, Line::Status(500), Line::Status(200)]).await;
    assert_eq!((status(&ended), arrivals.len()), (200, 3));
    assert_eq!(bench.logged(), ["send", "send", "send", "note answered"]);
    let fresh = StepPolicy { fresh: true, ..policy(StepRepeat::Safe) };
    assert_eq!(status(&bench.play(&fresh, &[Line::Status(204)]).await.0), 204);
}

#[tokio::test(start_paused = true)]
async fn a_keyed_call_is_retried_under_one_key_with_growing_waits() {
    let bench = Bench::new();
    let lines = [Line::Lost, Line::TimedOut, Line::Body(500, "a"), Line::Status(201)];
    let (ended, arrivals) = bench.play(&policy(KEYED), &lines).await;
    assert_eq!(status(&ended), 201);
    assert!(arrivals.iter().all(|arrival| arrival.key == arrivals[0].key));
    assert_eq!(arrivals.iter().map(|arrival| arrival.at.as_secs()).collect::<Vec<_>>(), [0, 1, 3, 7]);
    assert_eq!(*bench.permits.given.lock().unwrap(), [Turn::First, Turn::Retry, Turn::Retry, Turn::Retry]);
    assert_eq!(bench.row().await.starts, 4);
}

#[tokio::test(start_paused = true)]
async fn retries_that_are_used_up_are_unknown_under_a_key_and_failed_where_twice_is_once() {
    let lines = [Line::Lost, Line::Lost, Line::Lost, Line::Lost];
    for (repeat, kind) in [
        (KEYED, JobErrorKind::Unknown),
        (StepRepeat::Idempotent, JobErrorKind::Permanent),
        (StepRepeat::Safe, JobErrorKind::Permanent),
    ] {
        let (ended, _) = Bench::new().play(&policy(repeat), &lines).await;
        assert_eq!(error(&ended), (kind, "Http.NoAnswer"), "{repeat:?}");
    }
    // An answer that came last is the job's to judge, and nothing that a redrive would take for settled.
    let bench = Bench::new();
    let lines = [Line::Lost, Line::Lost, Line::Lost, Line::Status(503)];
    assert_eq!(status(&bench.play(&policy(StepRepeat::Idempotent), &lines).await.0), 503);
    assert_eq!(bench.row().await.state, CallState::Started);
    let bench = Bench::new();
    let (ended, _) = bench.play(&policy(KEYED), &lines).await;
    assert_eq!(error(&ended), (JobErrorKind::Unknown, "Http.Status.503"));
    assert_eq!(ended.unwrap_err().cause(), "step `pay`: answered 503; its effect may have happened");
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_once_is_unknown_without_a_whole_answer() {
    for line in [Line::Lost, Line::TimedOut, Line::Status(500), Line::Status(503), Line::Status(408), Line::Unusable(200)] {
        let bench = Bench::new();
        let (ended, arrivals) = bench.play(&policy(StepRepeat::Once), &[line]).await;
        assert_eq!((error(&ended).0, arrivals.len()), (JobErrorKind::Unknown, 1));
        assert_eq!(bench.row().await.state, CallState::Started);
        // Neither a resume nor a redrive sends it again.
        for redrive in [0, 1] {
            let bench = Bench { redrive, ..bench.again() };
            assert_eq!(error(&bench.play(&policy(StepRepeat::Once), &[]).await.0).0, JobErrorKind::Unknown);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_not_sent_and_eats_no_attempt_while_the_host_is_away() {
    let bench = Bench::new();
    bench.permits.is_away.store(true, Ordering::SeqCst);
    let mut lines = vec![Line::NotSent; 50];
    lines.push(Line::Status(201));
    let (ended, _) = bench.play(&policy(StepRepeat::Once), &lines).await;
    assert_eq!(status(&ended), 201);
    assert!(bench.permits.given.lock().unwrap().iter().all(|turn| *turn == Turn::First));
    assert_eq!(bench.row().await.starts, 1, "those before were never sent");
    // The host answers others: it is the call's own.
    let bench = Bench::new();
    let (ended, _) = bench.play(&policy(StepRepeat::Once), &[Line::NotSent, Line::NotSent, Line::NotSent, Line::NotSent]).await;
    assert_eq!(error(&ended), (JobErrorKind::Permanent, "Http.Unreachable"));
    assert_eq!(bench.row().await.state, CallState::NotSent);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_away_behind_a_gateway_eats_no_attempt_where_it_may_be_sent_again() {
    for repeat in [StepRepeat::Safe, StepRepeat::Idempotent, KEYED] {
        let bench = Bench::new();
        bench.permits.is_away.store(true, Ordering::SeqCst);
        let lines: Vec<Line> = [502, 503, 504].repeat(20).into_iter().map(Line::Status).chain([Line::Status(200)]).collect();
        assert_eq!(status(&bench.play(&policy(repeat), &lines).await.0), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_down_is_waited_for_and_eats_no_attempt_whatever_the_step() {
    for repeat in [StepRepeat::Safe, StepRepeat::Idempotent, KEYED, StepRepeat::Once] {
        let bench = Bench::new();
        let mut lines = vec![Line::With(429, "retry-after", "600")];
        lines.extend(vec![Line::Status(429); 20]);
        lines.push(Line::Status(201));
        let (ended, arrivals) = bench.play(&policy(repeat), &lines).await;
        assert_eq!(status(&ended), 201);
        assert_eq!(arrivals[1].at, Duration::from_secs(600));
        assert!(arrivals[21].at > Duration::from_secs(610), "nobody spins: {:?}", arrivals[21].at);
        let is_noted = bench.logged().iter().any(|line| line == "note notsent");
        assert_eq!(is_noted, repeat != StepRepeat::Safe, "a process that dies while it waits knows that nothing was done");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_as_a_date_too() {
    let bench = Bench::new();
    // The clock began on 2001-09-09 01:46:40.
    let lines = [Line::With(503, "retry-after", "Sun, 09 Sep 2001 01:48:40 GMT"), Line::Status(200)];
    let (_, arrivals) = bench.play(&policy(KEYED), &lines).await;
    assert_eq!(arrivals[1].at, Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn a_slow_down_after_silence_leaves_it_in_doubt() {
    let bench = Bench::new();
    let (ended, _) =
        bench.play(&policy(KEYED), &[Line::Lost, Line::Status(429), Line::NotSent, Line::Status(425), Line::Lost]).await;
    assert_eq!(error(&ended), (JobErrorKind::Unknown, "Http.NoAnswer"));
    assert!(!bench.logged().iter().any(|line| line == "note notsent"), "the first one may have arrived");
}

#[tokio::test(start_paused = true)]
async fn while_the_first_of_its_key_is_running_it_is_waited_for() {
    let bench = Bench::new();
    let (ended, arrivals) =
        bench.play(&policy(KEYED), &[Line::Lost, Line::Status(409), Line::Status(409), Line::Status(201)]).await;
    assert_eq!((status(&ended), arrivals.len()), (201, 4));
    let lines = [Line::Lost, Line::Status(409), Line::Status(409), Line::Status(409)];
    assert_eq!(error(&Bench::new().play(&policy(KEYED), &lines).await.0), (JobErrorKind::Unknown, "Http.Status.409"));
    let (ended, _) = Bench::new().play(&policy(StepRepeat::Once), &[Line::Status(409)]).await;
    assert_eq!(status(&ended), 409, "without a key it is a refusal");
}

#[tokio::test(start_paused = true)]
async fn another_payload_under_the_key_is_refused_and_the_key_is_named() {
    let bench = Bench::new();
    let (ended, arrivals) = bench.play(&policy(KEYED), &[Line::Body(422, "other payload")]).await;
    assert_eq!(error(&ended), (JobErrorKind::Permanent, "Http.Status.422"));
    let key = &arrivals[0].key;
    let cause = format!("step `pay`, idempotency key `{key}`: answered 422: other payload");
    assert_eq!(ended.unwrap_err().cause(), cause);
    // The same for whoever finds it kept.
    assert_eq!(bench.again().play(&policy(KEYED), &[]).await.0.unwrap_err().cause(), cause);
    let expected = StepPolicy { expected: &[422], ..policy(KEYED) };
    assert_eq!(status(&Bench::new().play(&expected, &[Line::Status(422)]).await.0), 422);
}

#[tokio::test(start_paused = true)]
async fn a_stored_error_is_not_asked_for_for_ever() {
    let many = Retry { max_retries: 100, ..retry() };
    let patient = StepPolicy { retry: Some(&many), ..policy(KEYED) };
    let (ended, arrivals) =
        Bench::new().play(&patient, &[Line::Body(500, "e1"), Line::Body(500, "e1"), Line::Body(500, "e1")]).await;
    assert_eq!((error(&ended), arrivals.len()), ((JobErrorKind::Unknown, "Http.StoredError"), 3));
    // Other errors are not that one.
    let mut lines: Vec<Line> = ["1", "2", "2", "3", "3", "1"].into_iter().map(|body| Line::Body(500, body)).collect();
    lines.push(Line::Status(200));
    assert_eq!(status(&Bench::new().play(&patient, &lines).await.0), 200);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_sends_a_refused_call_under_a_new_key_and_never_one_that_succeeded() {
    let bench = Bench::new();
    let (_, first) = bench.play(&policy(KEYED), &[Line::Status(404)]).await;
    assert_eq!(status(&bench.again().play(&policy(KEYED), &[]).await.0), 404, "within the same redrive it is given back");
    let redriven = Bench { redrive: 1, ..bench.again() };
    let (ended, second) = redriven.play(&policy(KEYED), &[Line::Status(201)]).await;
    assert_eq!(status(&ended), 201);
    assert_ne!(first[0].key, second[0].key);
    let row = redriven.row().await;
    assert_eq!((row.generation, row.redrive, row.starts), (1, 1, 1));
    assert_eq!(status(&Bench { redrive: 2, ..redriven.again() }.play(&policy(KEYED), &[]).await.0), 201);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_kept_fails_and_a_redrive_asks_again() {
    let bench = Bench::new();
    let (ended, first) = bench.play(&policy(KEYED), &[Line::Unusable(200)]).await;
    assert_eq!(error(&ended), (JobErrorKind::Permanent, "Http.BadAnswer"));
    let (ended, second) = Bench { redrive: 1, ..bench.again() }.play(&policy(KEYED), &[Line::Status(200)]).await;
    assert_eq!((status(&ended), &first[0].key), (200, &second[0].key));
}

#[tokio::test(start_paused = true)]
async fn statuses_that_are_asked_for_are_tried_again() {
    let step = |repeat| StepPolicy { retried: &[404, 202], ..policy(repeat) };
    let (ended, arrivals) = Bench::new().play(&step(StepRepeat::Once), &[Line::Status(404), Line::Status(201)]).await;
    assert_eq!(status(&ended), 201);
    assert_ne!(arrivals[0].key, arrivals[1].key, "refused for good, so the next one is another");
    let lines = [Line::Status(404), Line::Status(404), Line::Status(404), Line::Status(404)];
    assert_eq!(status(&Bench::new().play(&step(KEYED), &lines).await.0), 404);
    let lines = [Line::Status(202), Line::Status(202), Line::Status(202), Line::Status(202)];
    let bench = Bench::new();
    assert_eq!(status(&bench.play(&step(KEYED), &lines).await.0), 202);
    assert_eq!(bench.row().await.state, CallState::Answered);
}

#[tokio::test(start_paused = true)]
async fn surroundings_stop_the_run_and_what_is_not_allowed_fails_the_item() {
    let bench = Bench::new();
    let (ended, _) = bench.play(&policy(StepRepeat::Once), &[Line::Surroundings]).await;
    assert_eq!(error(&ended).0, JobErrorKind::Surroundings);
    assert_eq!(bench.row().await.state, CallState::NotSent);
    let (ended, _) = Bench::new().play(&policy(StepRepeat::Once), &[Line::NotAllowed]).await;
    assert_eq!(error(&ended), (JobErrorKind::Permanent, "Http.NotAllowed"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_is_not_sent() {
    let bench = Bench::new();
    bench.ledger.full.store(true, Ordering::SeqCst);
    let (ended, arrivals) = bench.play(&policy(StepRepeat::Once), &[]).await;
    assert_eq!((error(&ended).0, arrivals.len()), (JobErrorKind::Surroundings, 0));
    assert_eq!(*bench.permits.told.lock().unwrap(), ["unused"]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_permit_is_not_used() {
    let bench = Bench::new();
    *bench.permits.stale.lock().unwrap() = 1;
    let (ended, arrivals) = bench.play(&policy(StepRepeat::Once), &[Line::Status(200)]).await;
    assert_eq!((status(&ended), arrivals.len()), (200, 1));
    assert_eq!(*bench.permits.told.lock().unwrap(), ["unused", "200"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_given_up_stops_the_run_and_says_so() {
    let bench = Bench::new();
    bench.permits.gives_up.store(true, Ordering::SeqCst);
    let (ended, _) = bench.play(&policy(KEYED), &[]).await;
    assert_eq!(error(&ended).0, JobErrorKind::Stopped);
    assert_eq!(*bench.desk.0.lock().unwrap(), ["gave up: h:80 has been away for 2h"]);
}

#[tokio::test(start_paused = true)]
async fn once_the_run_stops_nothing_new_is_sent() {
    let bench = Bench::new();
    bench.stop.cancel();
    assert_eq!(error(&bench.play(&policy(KEYED), &[]).await.0).0, JobErrorKind::Stopped);
    // Nor is it sent again after a wait that the stop ends.
    let bench = Bench::new();
    let stop = bench.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    });
    let (ended, arrivals) = bench.play(&policy(KEYED), &[Line::Lost]).await;
    assert_eq!((error(&ended).0, arrivals.len()), (JobErrorKind::Stopped, 1));
    // What is kept is still given.
    let kept = Bench::new();
    kept.play(&policy(KEYED), &[Line::Status(200)]).await.0.unwrap();
    kept.stop.cancel();
    assert_eq!(status(&kept.play(&policy(KEYED), &[]).await.0), 200);
}
