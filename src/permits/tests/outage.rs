//! Outages and pauses, and how they are told.

use futures_util::FutureExt;
use tokio::time::sleep;

use super::super::NoPermit;
use super::*;

#[tokio::test(start_paused = true)]
async fn half_an_hour_away_is_probed_by_one_call_at_a_time_and_told() {
    let told = Arc::new(Told::default());
    let permits = Arc::new(HostPermits::in_memory(Rates::default(), &Outage::default(), Arc::clone(&told) as Arc<dyn Observer>));
    let began = Instant::now();
    let back = Duration::from_secs(1800);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (permits, calls) = (Arc::clone(&permits), Arc::clone(&calls));
        callers.spawn(async move {
            loop {
                permits.permit(HOST, Turn::First).await.unwrap();
                calls.lock().unwrap().push(began.elapsed());
                sleep(Duration::from_millis(20)).await;
                if began.elapsed() >= back {
                    return permits.heard(HOST, GOOD);
                }
                permits.heard(HOST, Heard::Unreachable("connection refused"));
                assert!(!permits.has_answered_since(HOST, began));
            }
        });
    }
    callers.join_all().await;
    assert!(permits.has_answered_since(HOST, began));
    let calls = calls.lock().unwrap();
    let probes: Vec<_> = calls.iter().filter(|call| (Duration::from_millis(400)..back).contains(*call)).collect();
    assert!((50..80).contains(&probes.len()), "{} probes", probes.len());
    assert!(probes.windows(2).all(|two| *two[1] - *two[0] >= Duration::from_millis(520)), "one at a time");
    let took = *calls.last().unwrap() - back;
    assert!(took < Duration::from_secs(37), "all went on {took:?} after it was back");
    let told = told.0.lock().unwrap();
    let (first, last) = (told.first().unwrap(), told.last().unwrap());
    assert_eq!((&*first.host, &*first.why, first.away, first.over), ("api.example.com", "connection refused", true, false));
    assert!(last.over && last.lasted >= back && last.lasted < back + Duration::from_secs(37));
    assert!(told.len() < 1840 && told.iter().filter(|waiting| waiting.over).count() == 1);
    assert!(told[1..told.len() - 1].iter().all(|waiting| waiting.calls >= 63), "all but the probe wait");
}

#[tokio::test(start_paused = true)]
async fn after_long_enough_it_is_given_up() {
    let outage = Outage { give_up_after: Duration::from_secs(60) };
    let permits = HostPermits::in_memory(Rates::default(), &outage, Arc::new(Unobserved));
    let began = Instant::now();
    let why = loop {
        match permits.permit(HOST, Turn::First).await {
            Ok(_) => permits.heard(HOST, Heard::Unreachable("connection refused")),
            Err(why) => break why,
        }
    };
    assert_eq!(why, NoPermit::GaveUp("api.example.com has been away for 1m: connection refused".into()));
    assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&began.elapsed()));
    assert_eq!(permits.permit(HOST, Turn::Retry).await.unwrap_err(), why);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everyone_and_is_told_with_those_who_wait() {
    let told = Arc::new(Told::default());
    let permits = HostPermits::in_memory(rates(1000.0, 10), &Outage::default(), Arc::clone(&told) as Arc<dyn Observer>);
    let began = Instant::now();
    permits.permit(HOST, Turn::First).await.unwrap();
    let headers = [("retry-after".to_string(), "12".to_string())];
    permits.heard(HOST, Heard::Answer { status: 429, headers: &headers });
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(permits.permit(HOST, Turn::First))).collect();
    for wait in &mut waits {
        assert!(wait.now_or_never().is_none());
    }
    // Other hosts are not concerned.
    permits.permit("other.example.com:443", Turn::First).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(10));
    for wait in waits {
        wait.await.unwrap();
    }
    assert!((Duration::from_secs(12)..Duration::from_millis(12_020)).contains(&began.elapsed()), "{:?}", began.elapsed());
    tokio::task::yield_now().await;
    let told = told.0.lock().unwrap();
    assert_eq!((told[0].calls, &*told[0].why, told[0].away), (3, "429, Retry-After", false));
    assert!((12..=13).contains(&told.len()) && told.last().unwrap().over, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn only_keeping_the_rate_is_not_told() {
    let told = Arc::new(Told::default());
    let permits = HostPermits::in_memory(rates(0.2, 1), &Outage::default(), Arc::clone(&told) as Arc<dyn Observer>);
    for _ in 0..4 {
        permits.permit(HOST, Turn::First).await.unwrap();
        permits.heard(HOST, GOOD);
    }
    assert!(told.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_host_says_is_said_of_that_host_only_since_it_was_asked() {
    let permits = permits(Rates::default());
    let before = Instant::now();
    for (status, well) in [(429, false), (503, false), (502, false), (504, false), (500, true), (404, true), (201, true)] {
        sleep(Duration::from_secs(1)).await;
        let since = Instant::now();
        permits.heard(HOST, Heard::Answer { status, headers: &[] });
        assert_eq!(permits.has_answered_since(HOST, since), well, "{status}");
    }
    assert!(permits.has_answered_since(HOST, before) && !permits.has_answered_since("other:1", before));
    sleep(Duration::from_secs(1)).await;
    assert!(!permits.has_answered_since(HOST, Instant::now()));
}
