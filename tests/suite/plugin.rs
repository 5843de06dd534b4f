//! A job of one's own: `examples/greet.rs` has the whole command line, and a job is tried without any.

use fanfold::{Attempt, ConfigError, Job, JobError, Outcome, Repeat, Setup, Trial};
use serde_json::{Value, json};

use crate::stage::{Done, Running, Stage, program};

fn greet(stage: &Stage, args: &[&str]) -> Done {
    Running::of(stage.command_of(&program("greet"), args)).wait()
}

fn people(stage: &Stage) {
    stage.write(
        "people.jsonl",
        "{\"name\":\"Ada\"}\n{\"name\":\"\"}\n{\"name\":\"Grace\",\"opens_at\":3}\n{\"nome\":\"Alan\"}\n{\"name\":\"Edsger\",\"opens_at\":9}\n",
    );
}

#[test]
fn from_new_to_results_with_a_job_of_ones_own() {
    let stage = Stage::new();
    people(&stage);
    let made = greet(&stage, &["new", "hello", "--job", "greet", "--from", "people.jsonl"]).ended(0);
    assert_eq!(made.out, "hello.yaml\n");
    let text = stage.read("hello.yaml");
    assert!(text.contains("description: \"Greets each person by name\"") && text.contains("# knocks: "), "{text}");
    greet(&stage, &["new", "hello", "--job", "greet"]).ended(2).says("hello.yaml is there already");
    greet(&stage, &["new", "other", "--job", "great"]).ended(2).says("did you mean `greet`?");
    greet(&stage, &["check", "hello.yaml"]).ended(0).says("hello.yaml: no mistake found");
    stage.write("hello.yaml", text.replace("greeting: greeting", "greeting: Hello").replace("# knocks: 3", "knocks: 4"));
    assert!(stage.read("hello.yaml").contains("greeting: Hello") && stage.read("hello.yaml").contains("    knocks: 4"), "{text}");
    let quick = format!("{}retry: {{ initial_interval: 1ms, max_interval: 1ms }}\n", stage.read("hello.yaml"));
    stage.write("hello.yaml", quick);
    greet(&stage, &["run", "hello.yaml", "--as", "x", "--limit", "2"]).ended(3);
    let last = crate::stage::finished(&greet(&stage, &["resume", "x", "--json"]).ended(1).lines());
    assert_eq!(
        (&last["items"]["succeeded"], &last["items"]["failed"], &last["attempts"]),
        (&json!(3), &json!(2), &json!(1 + 1 + 3 + 1 + 4))
    );
    let results = greet(&stage, &["results"]).ended(0).lines();
    assert_eq!(results[0]["output"], json!({ "text": "Hello, Ada!" }));
    assert_eq!(results[1]["error"], "Greet.NoName");
    assert_eq!((&results[3]["error"], &results[3]["cause"]), (&json!("Item.Invalid"), &json!("missing field `name`")));
    assert_eq!(results[4]["attempts"], 4);
}

#[test]
fn it_is_explained_and_in_the_schema() {
    let stage = Stage::new();
    let text = greet(&stage, &["explain", "greet"]).ended(0).out;
    assert!(text.contains("Greets each person by name.") && text.contains("greeting (required): What to say"), "{text}");
    assert!(greet(&stage, &["explain", "greet.knocks"]).ended(0).out.contains("How often an answer is asked for"));
    assert!(greet(&stage, &["explain", "Greet.NoName"]).ended(0).out.contains("The person has no name."));
    assert!(greet(&stage, &["explain"]).ended(0).out.contains("Greet.NoName"));
    greet(&stage, &["explain", "gret"]).ended(2).says("did you mean `greet`?");
    let schema: Value = serde_json::from_str(&greet(&stage, &["schema"]).ended(0).out).unwrap();
    let flow = |job: Value| json!({ "fanfold": 1, "name": "x", "items": { "jsonl": { "source": "x" } }, "job": job });
    let valid = |job: Value| jsonschema::validator_for(&schema).unwrap().is_valid(&flow(job));
    assert!(valid(json!({ "greet": { "greeting": "Hello" } })));
    assert!(!valid(json!({ "greet": { "greeting": "Hello", "knocks": 11 } })));
    assert!(!valid(json!({ "great": { "greeting": "Hello" } })));
}

#[test]
fn its_settings_are_checked_with_their_place() {
    let stage = Stage::new();
    people(&stage);
    let flow = |greeting: &str| {
        format!("fanfold: 1\nname: hello\nitems: {{ jsonl: {{ source: people.jsonl }} }}\njob:\n  greet:\n    {greeting}\n")
    };
    stage.write("hello.yaml", flow("greeting: Hello\n    knocks: 11"));
    greet(&stage, &["run", "hello.yaml"]).ended(2).says("knocks").says("(hello.yaml:7:13)");
    // What only the job itself can find is found before anything is done.
    stage.write("hello.yaml", flow("greeting: \" \""));
    greet(&stage, &["run", "hello.yaml"])
        .ended(2)
        .says("`job.greet.greeting`: is empty, expected some words (hello.yaml:6:")
        .says("hint: for example `greeting: Hello`");
}

#[test]
fn a_run_of_a_job_that_is_not_in_the_program_is_refused() {
    let stage = Stage::new();
    people(&stage);
    stage.write(
        "hello.yaml",
        "fanfold: 1\nname: hello\nitems: { jsonl: { source: people.jsonl } }\njob: { greet: { greeting: Hello } }\n",
    );
    greet(&stage, &["run", "hello.yaml", "--as", "x", "--limit", "1"]).ended(3);
    stage.run(&["resume", "x"]).ended(2).says("greet");
    // Nobody needs the job to see how the run stands.
    stage.run(&["status", "x"]).ended(0);
    stage.run(&["results", "x"]).ended(0);
}

/// Every kind of answer, by the item.
struct Answering;

impl Job for Answering {
    const NAME: &'static str = "answering";
    const REPEAT: Repeat = Repeat::Keyed;
    type Config = Value;
    type Input = String;
    type Output = Value;

    fn new(config: Value, _: &Setup) -> Result<Self, ConfigError> {
        match config {
            Value::Object(_) => Ok(Self),
            _ => Err(ConfigError::new("", "expected settings")),
        }
    }

    async fn run(&self, word: String, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        match word.as_str() {
            "number" => Ok(attempt.number().into()),
            "twice" if attempt.number() < 2 => Err(JobError::transient("once more")),
            "twice" => Ok(attempt.number().into()),
            "hang" => std::future::pending().await,
            "full" => Err(JobError::surroundings("no room")),
            "key" => Ok(json!([attempt.key("a"), attempt.key("b"), attempt.key("a")])),
            _ => panic!("what is {word}?"),
        }
    }
}

#[tokio::test]
async fn a_job_is_tried_on_single_items() {
    let trial = Trial::of::<Answering>(json!({})).unwrap();
    assert_eq!(trial.item(json!("number")).await.outcome, Some(Outcome::Succeeded(json!(1))));
    let tried = trial.item(json!("twice")).await;
    assert_eq!((tried.outcome, tried.attempts), (Some(Outcome::Succeeded(json!(2))), 2));
    assert_eq!(trial.item(json!("full")).await.outcome, None);
    let failed = |outcome| match outcome {
        Some(Outcome::Failed(failure)) => failure.error,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(trial.item(json!("what")).await.outcome), "Job.Panicked");
    assert_eq!(failed(trial.item(json!(7)).await.outcome), "Item.Invalid");
    let Some(Outcome::Succeeded(keys)) = trial.item(json!("key")).await.outcome else { panic!("no keys") };
    assert!(keys[0] == keys[2] && keys[0] != keys[1], "{keys}");
    let timed = Trial::with::<Answering>(json!({}), json!({}), Some(std::time::Duration::from_millis(10))).unwrap();
    assert_eq!(failed(timed.item(json!("hang")).await.outcome), "Item.TimedOut");
    assert_eq!(Trial::of::<Answering>(json!(1)).unwrap_err().to_string(), "expected settings");
}

#[test]
fn a_new_workflow_has_no_mistake_whatever_the_job() {
    let stage = Stage::new();
    stage.write("orders.csv", "id,amount\n1,2.50\n");
    for (job, from) in [("http_chain", "orders.csv"), ("image_resize", "s3://your-photos/")] {
        stage.run_fanfold(&["new", job, "--job", job, "--from", from]).ended(0);
        stage.run_fanfold(&["check", &format!("{job}.yaml")]).ended(0);
    }
}
