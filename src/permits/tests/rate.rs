//! The rate: kept, reached, first come first served.

use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_rate_is_reached_and_no_second_has_too_many() {
    for (limit, burst) in [(50.0, 1), (50.0, 10), (1000.0, 1), (10_000.0, 100)] {
        let given = take(&permits(rates(limit, burst)), Duration::from_secs(4)).await;
        let (count, wanted) = (given.len() as f64, limit * 4.0);
        assert!((count - wanted).abs() <= wanted * 0.01 + f64::from(burst), "{limit}/s, burst {burst}: {count} in 4 s");
        let most = most(&given) as f64;
        assert!(most <= limit * 1.02 + f64::from(burst), "{limit}/s, burst {burst}: {most} in one second");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_not_made_up_for() {
    let permits = permits(rates(100.0, 5));
    for _ in 0..3 {
        let given = take(&permits, Duration::from_millis(95)).await;
        assert!((13..=15).contains(&given.len()), "{}", given.len());
        sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first_and_who_has_gone_uses_no_turn() {
    let permits = permits(rates(10.0, 1));
    let mut waits: Vec<_> = (0..10).map(|_| Box::pin(permits.permit(HOST, Turn::First))).collect();
    for wait in &mut waits {
        assert!(wait.now_or_never().is_none());
    }
    let began = Instant::now();
    // All with an odd number go.
    let stay: Vec<_> = waits.into_iter().step_by(2).collect();
    let mut last = None;
    for wait in stay {
        let given = wait.await.unwrap().given;
        assert!(last.is_none_or(|last| given > last));
        last = Some(given);
    }
    let took = last.unwrap() - began;
    assert!(took <= Duration::from_millis(410), "five turns at 10/s: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_was_given_to_one_who_had_gone_is_the_next_ones() {
    let permits = permits(rates(1.0, 1));
    let mut first = Box::pin(permits.permit(HOST, Turn::First));
    assert!((&mut first).now_or_never().is_none());
    // The task gives it its turn; it is dropped before it looks.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    drop(first);
    let next = timeout(Duration::from_millis(10), permits.permit(HOST, Turn::First)).await;
    assert!(next.is_ok(), "the turn was lost");
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_nobody_waits() {
    let permits = permits(Rates::default());
    let began = Instant::now();
    for _ in 0..100_000 {
        permits.permit(HOST, Turn::First).await.unwrap();
        permits.heard(HOST, GOOD);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_changed_while_calls_wait_and_hosts_differ() {
    let permits = permits(Rates {
        hosts: [("slow.example.com".into(), crate::rate::Rate { limit: 1.0, burst: 1 })].into(),
        ..rates(0.1, 1)
    });
    permits.permit(HOST, Turn::First).await.unwrap();
    let began = Instant::now();
    let wait = permits.permit(HOST, Turn::First);
    let (answer, ()) = tokio::join!(wait, async {
        sleep(Duration::from_secs(2)).await;
        permits.set_rates(rates(10.0, 1));
    });
    answer.unwrap();
    assert!(began.elapsed() < Duration::from_millis(2200), "it was raised: {:?}", began.elapsed());
    for _ in 0..3 {
        permits.permit("slow.example.com:443", Turn::First).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(4), "rates are each host's own");
}

#[tokio::test(start_paused = true)]
async fn retries_wait_for_their_budget_and_new_calls_pass_them() {
    let permits = permits(Rates::default());
    let began = Instant::now();
    for _ in 0..10 {
        permits.permit(HOST, Turn::Retry).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(10));
    let mut retry = Box::pin(permits.permit(HOST, Turn::Retry));
    assert!((&mut retry).now_or_never().is_none());
    permits.permit(HOST, Turn::First).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(10), "a new call passes a retry that has to wait");
    retry.await.unwrap();
    // One a second, a tenth of which the new call had earned.
    assert!((Duration::from_millis(890)..Duration::from_millis(920)).contains(&began.elapsed()), "{:?}", began.elapsed());
}
