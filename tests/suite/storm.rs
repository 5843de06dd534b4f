//! Crashes and kills in the middle of ordered calls. The third party's own log is the only judge of what was called.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::Partner;
use crate::stage::{Done, Running, Stage};

/// Every crash point, in the order in which a call passes them: as `src/crash/` lists them.
fn points() -> Vec<&'static str> {
    let source = include_str!("../../src/crash/mod.rs");
    let list = source.split_once("POINTS: &[&str] = &[").and_then(|(_, rest)| rest.split_once("];")).expect("the list").0;
    let points: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(points.len() >= 11, "{points:?}");
    points
}

/// Lanes that are worked at once.
const AT_ONCE: usize = 8;

/// What is done about an effect that may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// Sent again with the same key, which the partner knows.
    Keyed,
    /// A person decides.
    Hold,
    /// The partner is asked.
    Probe,
    /// Twice is as good as once.
    Idempotent,
}

impl Policy {
    const ALL: [Self; 4] = [Self::Keyed, Self::Hold, Self::Probe, Self::Idempotent];

    /// The step that has the effect.
    fn step(self) -> &'static str {
        let invoice = "post: /invoices
        json: { customer: \"{{ steps.customer.id }}\", order: \"{{ item.order }}\", cents: 5, after: \"{{ previous.number }}\" }
        capture: { id: \"{{ body.id }}\", number: \"{{ body.number }}\" }";
        match self {
            Self::Keyed => leak(format!("{invoice}\n        idempotency: {{ header: Idempotency-Key, ttl: 24h }}")),
            Self::Hold => leak(format!("{invoice}\n        on_unknown: hold")),
            Self::Probe => leak(format!(
                "{invoice}\n        probe: {{ get: \"/invoices?customer={{{{ item.customer }}}}&order={{{{ item.order }}}}\", \
                 found: \"{{{{ body.data | length > 0 }}}}\", wait: 50ms, capture: \"{{{{ body.data[0] }}}}\" }}"
            )),
            Self::Idempotent => {
                "put: \"/customers/{{ item.order }}\"
        json: { name: \"{{ item.customer }}\" }
        capture: { id: \"{{ body.id }}\", number: \"{{ body.name }}\" }"
            }
        }
    }

    /// The step behind it, which has no effect.
    fn check(self) -> &'static str {
        match self {
            Self::Idempotent => "get: /orders?limit=1",
            _ => {
                "get: \"/invoices/{{ steps.invoice.id }}\"\n        poll: { until: \"{{ body.status == 'open' }}\", every: 10ms, timeout: 60s }"
            }
        }
    }
}

fn leak(text: String) -> &'static str {
    text.leak()
}

/// Orders of customers, billed in order.
struct Storm {
    stage: Stage,
    partner: Partner,
    policy: Policy,
    orders: Vec<(String, String)>,
    kills: usize,
}

impl Storm {
    /// So many customers with so many orders each, one of each after the other.
    fn of(policy: Policy, customers: usize, each: usize, settings: &str) -> Self {
        let stage = Stage::new();
        let orders: Vec<(String, String)> =
            (0..customers * each).map(|n| (format!("o{n}"), format!("c{}", n % customers))).collect();
        let lines: String =
            orders.iter().map(|(order, customer)| format!("{}\n", json!({ "order": order, "customer": customer }))).collect();
        stage.write("orders.jsonl", lines);
        // Every order break is refused as well: what follows from one would be seen.
        let partner = Partner::start(&stage, &["--refuse-disorder"]);
        stage.write(
            "storm.yaml",
            format!(
                "fanfold: 1
name: storm
params: {{ api: {{ type: url }} }}
secrets: {{ token: {{ env: BILLING_TOKEN }} }}
items: {{ jsonl: {{ source: orders.jsonl }}, key: \"{{{{ item.order }}}}\" }}
order: {{ by: \"{{{{ item.customer }}}}\", concurrency: {AT_ONCE} }}
max_concurrency: 1
tolerated_failure: 100%
stop: {{ if_first: 0 }}
retry: {{ initial_interval: 5ms, max_retries: 30, max_interval: 40ms }}
{settings}
job:
  http_chain:
    base_url: \"{{{{ params.api }}}}\"
    auth: {{ bearer: \"{{{{ secrets.token }}}}\" }}
    timeout: 5s
    steps:
      - name: customer
        once_per: lane
        put: \"/customers/{{{{ item.customer }}}}\"
        json: {{ name: \"{{{{ item.customer }}}}\" }}
        capture: {{ id: \"{{{{ body.id }}}}\" }}
      - name: invoice
        {}
      - name: confirmed
        {}
    output: {{ number: \"{{{{ steps.invoice.number }}}}\" }}
",
                policy.step(),
                policy.check()
            ),
        );
        Self { stage, partner, policy, orders, kills: 0 }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command(args);
        command.env("BILLING_TOKEN", "test-token");
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        Running::of(self.command(args)).wait()
    }

    /// Begins the run, or goes on with it.
    fn session(&self) -> Command {
        self.command(&["run", "storm.yaml", "--as", "storm", "-p", &format!("api={}", self.partner.url)])
    }

    fn arrivals(&self) -> u64 {
        self.partner.control(&json!({}))["arrivals"].as_u64().unwrap()
    }

    /// The orders with this status, as fanfold tells it.
    fn told(&self, status: &str) -> BTreeSet<String> {
        let lines = self.run(&["results", "storm"]).ended(0).lines();
        let of_status = lines.into_iter().filter(|line| line["status"] == status);
        of_status.map(|line| line["item"]["order"].as_str().unwrap().to_string()).collect()
    }

    /// The order of an arrival or effect, if it is one of the step that has the effect.
    fn order_of(&self, line: &Value) -> Option<String> {
        match self.policy {
            Policy::Idempotent => {
                let id = line["path"].as_str()?.strip_prefix("/customers/")?;
                id.starts_with('o').then(|| id.to_string())
            }
            _ if line["method"] == "POST" => line["order"].as_str().map(str::to_string),
            _ => None,
        }
    }

    /// How often each order had this: `arrival`, `effect`.
    fn times(&self, log: &[Value], what: &str) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for order in log.iter().filter(|line| line["what"] == what).filter_map(|line| self.order_of(line)) {
            *times.entry(order).or_default() += 1;
        }
        times
    }

    /// Holds what the partner saw against what fanfold says, at any time between two sessions.
    #[track_caller]
    fn judge(&self, context: &str) {
        let log = self.partner.log();
        let effects = self.times(&log, "effect");
        let repeated: Vec<_> = effects.iter().filter(|(_, times)| **times > 1).collect();
        assert!(repeated.is_empty(), "{context}: repeated effects: {repeated:?}");
        let breaks: Vec<_> = log.iter().filter(|line| line["what"] == "order_break").collect();
        assert!(breaks.is_empty(), "{context}: order breaks: {breaks:#?}");
        self.judge_order(&log, context);
        let succeeded = self.told("succeeded");
        let lost: Vec<_> = succeeded.iter().filter(|order| !effects.contains_key(*order)).collect();
        assert!(lost.is_empty(), "{context}: said to be done, and were not: {lost:?}");
        let unknown = self.told("unknown");
        let unsaid: Vec<_> = effects.keys().filter(|order| !succeeded.contains(*order) && !unknown.contains(*order)).collect();
        assert!(unsaid.is_empty(), "{context}: were done, and nobody says so: {unsaid:?}");
        // At every kill each chain in flight may have had one call under way.
        for (request, times) in repeats(&log) {
            assert!(times <= self.kills, "{context}: {request} came {times} times more, after {} kills", self.kills);
        }
        // A call with an effect is sent once the answer before it is durable. One without is not: where the disk is slow, a chain that is
        // killed then repeats what it asked last as well.
        for asks in [true, false] {
            let of_kind = repeats(&log).into_iter().filter(|(request, _)| request.starts_with("GET ") == asks);
            let more: usize = of_kind.map(|(_, times)| times).sum();
            assert!(more <= self.kills * AT_ONCE, "{context}: {more} calls were repeated, after {} kills", self.kills);
        }
    }

    /// In each lane the first arrivals of the orders are in the order of the input.
    #[track_caller]
    fn judge_order(&self, log: &[Value], context: &str) {
        let place: BTreeMap<&str, (usize, &str)> =
            self.orders.iter().enumerate().map(|(at, (order, customer))| (order.as_str(), (at, customer.as_str()))).collect();
        let mut furthest: BTreeMap<&str, usize> = BTreeMap::new();
        for order in log.iter().filter(|line| line["what"] == "arrival").filter_map(|line| self.order_of(line)) {
            let (at, customer) = place[order.as_str()];
            let last = furthest.entry(customer).or_insert(at);
            assert!(*last <= at, "{context}: {order} came after order number {last} of {customer}");
            *last = at;
        }
    }

    /// Decides every unknown as the partner's log says, and goes on, until nothing is unknown.
    #[track_caller]
    fn resolve(&self) {
        for _ in 0..self.orders.len() {
            let unknown = self.told("unknown");
            if unknown.is_empty() {
                return;
            }
            for order in unknown {
                let found = self.partner.call("GET", &format!("/invoices?order={order}"), &[], &Value::Null).unwrap();
                let made = &found.body["data"][0];
                let made = made.to_string();
                let decision: &[&str] = if made == "null" { &["--did-not-happen"] } else { &["--happened", &made] };
                self.run(&[&["resolve", "storm", &order, "invoice"], decision].concat()).ended(0);
            }
            let done = self.run(&["redrive", "storm"]);
            assert!(matches!(done.code, Some(0)), "{done:?}");
        }
        panic!("unknown for ever: {:?}", self.told("unknown"));
    }

    /// Goes on to the end without further kills; everything is done then, and nothing twice.
    #[track_caller]
    fn finish(&self, context: &str) {
        let done = Running::of(self.session()).wait();
        assert_eq!(done.code, Some(0), "{context}: {done:?}");
        self.judge(context);
        if self.policy == Policy::Hold {
            self.resolve();
            self.judge(context);
        }
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.run(&["results", "storm"]).ended(0).lines().iter().filter(|line| line["status"] != "succeeded") {
            *others.entry(format!("{} {}", line["status"], line["error"])).or_default() += 1;
        }
        assert_eq!(others, BTreeMap::new(), "{context}");
        assert_eq!(self.times(&self.partner.log(), "effect").len(), self.orders.len(), "{context}");
    }
}

/// How often each request came more than once. Questions that a probe or a person asks are no calls of the chain.
fn repeats(log: &[Value]) -> BTreeMap<String, usize> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.iter().filter(|line| line["what"] == "arrival") {
        let path = line["path"].as_str().unwrap();
        if !path.starts_with("/invoices?") && !path.starts_with("/orders") {
            *times.entry(format!("{} {path} {}", line["method"], line["payload"])).or_default() += 1;
        }
    }
    times.into_iter().filter(|(_, times)| *times > 1).map(|(request, times)| (request, times - 1)).collect()
}

/// Crashes at a point, then goes on to the end. `false`: the point was not passed so often.
fn crash(policy: Policy, point: &str, nth: usize, customers: usize, each: usize) -> bool {
    let mut storm = Storm::of(policy, customers, each, "");
    let context = format!("{policy:?}, {point}:{nth}");
    let mut command = storm.session();
    command.env("FANFOLD_CRASH_AT", format!("{point}:{nth}"));
    let done = Running::of(command).wait();
    if done.code.is_some() {
        assert_eq!(done.code, Some(0), "{context}: {done:?}");
        return false;
    }
    storm.kills = 1;
    storm.judge_between(&context);
    storm.finish(&context);
    true
}

impl Storm {
    /// What may be said right behind a kill: less is known than afterwards.
    #[track_caller]
    fn judge_between(&self, context: &str) {
        let log = self.partner.log();
        let effects = self.times(&log, "effect");
        for order in self.told("succeeded") {
            assert!(effects.contains_key(&order), "{context}: {order} is said to be done, and is not");
        }
    }
}

#[track_caller]
fn at_every_point(policy: Policy, customers: usize, each: usize) {
    // The first time, and in the middle.
    let chains = customers * each;
    let mut passed = 0;
    for point in points() {
        for nth in [1, chains] {
            passed += usize::from(crash(policy, point, nth, customers, each));
        }
        assert!(passed > 0, "{point} was never passed");
    }
    println!("{policy:?}: {passed} crashes");
    assert!(passed > points().len() * 3 / 2, "only {passed} of the crashes happened");
}

#[test]
fn a_crash_at_any_point_loses_and_repeats_nothing_with_a_key() {
    at_every_point(Policy::Keyed, 6, 3);
}

#[test]
fn a_crash_at_any_point_loses_and_repeats_nothing_if_a_person_decides() {
    at_every_point(Policy::Hold, 6, 3);
}

#[test]
fn a_crash_at_any_point_loses_and_repeats_nothing_if_the_partner_is_asked() {
    at_every_point(Policy::Probe, 6, 3);
}

#[test]
fn a_crash_at_any_point_loses_nothing_where_twice_is_as_good_as_once() {
    at_every_point(Policy::Idempotent, 6, 3);
}

#[test]
#[ignore = "takes minutes: every point, a thousand items in a hundred lanes"]
fn a_crash_at_any_point_of_a_thousand_items() {
    std::thread::scope(|scope| {
        for policy in Policy::ALL {
            scope.spawn(move || {
                for point in points() {
                    assert!(crash(policy, point, 700, 100, 10), "{point} was not passed 700 times");
                }
            });
        }
    });
}

/// Kills the run again and again, at any time.
#[track_caller]
fn kill_again_and_again(policy: Policy, kills: usize, seed: u64, customers: usize, each: usize, settings: &str) {
    println!("seed {seed}");
    let mut draw = fastrand::Rng::with_seed(seed);
    let mut storm = Storm::of(policy, customers, each, settings);
    for number in 0..kills {
        let before = storm.arrivals();
        let mut running = Running::of(storm.session());
        // Each session gets somewhere, so that every kill is one in the middle of calls, and no call is under way at eight kills
        // in a row: that would be `Worker.Crashed`.
        let far = before + draw.u64(1..40);
        while storm.arrivals() < far && running.is_running() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(draw.u64(0..5000)));
        storm.kills += 1;
        if running.kill().code.is_some() {
            println!("it was done after {number} kills");
            break;
        }
        if number % 100 == 99 {
            storm.judge_between("in the middle");
        }
    }
    assert!(storm.kills * 10 >= kills * 9, "done after {} kills, which is too early", storm.kills);
    storm.finish(&format!("{policy:?}, seed {seed}"));
    println!("{policy:?}: {} kills, {} calls repeated", storm.kills, repeats(&storm.partner.log()).values().sum::<usize>());
}

#[test]
fn a_hundred_kills_lose_and_repeat_nothing() {
    kill_again_and_again(Policy::Keyed, 100, fastrand::u64(..), 20, 60, "");
}

#[test]
#[ignore = "takes minutes: two thousand kills"]
fn two_thousand_kills_lose_and_repeat_nothing() {
    std::thread::scope(|scope| {
        for policy in [Policy::Keyed, Policy::Probe, Policy::Idempotent] {
            scope.spawn(move || kill_again_and_again(policy, 665, fastrand::u64(..), 100, 100, ""));
        }
        // At every kill up to eight lanes stop until a person has decided.
        scope.spawn(|| kill_again_and_again(Policy::Hold, 8, fastrand::u64(..), 100, 10, ""));
    });
}

/// Answers are lost at random, before and after the effect.
#[track_caller]
fn lose_answers(policy: Policy, share: f64, customers: usize, each: usize) {
    let mut storm = Storm::of(policy, customers, each, "");
    let seed = fastrand::u64(..1 << 50);
    println!("seed {seed}");
    let rule = |fault: &str| json!({ "fault": fault, "probability": share / 2.0 });
    storm.partner.control(&json!({ "seed": seed, "rules": [rule("drop_before"), rule("drop_after")] }));
    // What is repeated here is repeated for what was lost.
    storm.kills = usize::MAX / AT_ONCE;
    let context = format!("{policy:?}, {share} lost, seed {seed}");
    Running::of(storm.session()).wait().ended(0);
    storm.judge(&context);
    storm.partner.control(&json!({ "rules": [] }));
    storm.finish(&context);
}

#[test]
fn answers_that_are_lost_lose_and_repeat_nothing() {
    std::thread::scope(|scope| {
        for policy in Policy::ALL {
            scope.spawn(move || {
                // Half of all answers would be an outage: see the virtual hours of `src/rehearsal/storms.rs`.
                lose_answers(policy, 0.01, 10, 10);
                lose_answers(policy, 0.1, 10, 4);
            });
        }
    });
}
