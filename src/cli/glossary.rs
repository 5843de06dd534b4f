//! The words and the error names of fanfold itself, each in a sentence or two, for `explain`.

/// Words, as the guide uses them.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("workflow", "The YAML file, checked: where the items come from, what is done to each, what happens on failure."),
    ("item", "One element of the dataset: an object of a folder or bucket, a row, a JSON value. A batch is never an item."),
    (
        "item key",
        "What an item is called: an object's address, `file#index`, or the value of `items.key`. It is unique in a run, or the run is \
         refused before it starts.",
    ),
    ("batch", "Items handed to one child execution, at most 256 KiB of JSON. A batch never fails because one of its items did."),
    ("job", "The kind of work done to each item. This program's jobs: `fanfold explain` without a word lists them."),
    ("child execution", "One batch being worked. At most `max_concurrency` of them run at once."),
    ("map run", "All child executions of a run together."),
    ("attempt", "One try at an item, numbered from 1. `retry.max_retries: 5` is at most 6 tries."),
    (
        "outcome",
        "How an item ended: succeeded, skipped (left out on purpose), failed (with an error name and a cause), unknown (an effect may \
         have happened) or blocked. An item that has not ended is pending. The total is their sum, always.",
    ),
    ("step", "One of the calls of a chain, in order. Each names what the steps before it captured: `steps.NAME.CAPTURE`."),
    (
        "call",
        "One request of a step. Most steps make one; each page and each poll is another. Every one of them counts against the rate.",
    ),
    (
        "lane",
        "All items with one `order.by`, strictly in input order: an item begins when the one before it has ended, and sees its output as \
         `previous`. Lanes run beside one another.",
    ),
    (
        "ledger",
        "What was sent and what was answered, for every item, step and call. A call is in it before it is sent, and its answer before it \
         is judged, so that nothing is lost and nothing is repeated blindly.",
    ),
    (
        "permit",
        "The leave to make one call now, by the rate of its host. All runs of a user on one machine share one dispenser of them.",
    ),
    (
        "outage",
        "A host that refuses connections or answers 502 to 504. Everyone who calls it waits, it is asked again one call at a time, and \
         nothing fails; after `outage.give_up_after` the run stops, resumable.",
    ),
    (
        "blocked",
        "How an item ended whose lane stopped before it. It was not begun. A redrive of the one before it goes on with it.",
    ),
    (
        "resolve",
        "Say what came of an unknown call: it happened, with the answer it would have had; it did not happen, so it is sent again with a \
         new key; or it is given up.",
    ),
    (
        "generation",
        "Which idempotency key a call has: 0, and one more after a definite refusal or a `resolve --did-not-happen`. While a call is \
         unknown its key stays, so that the other side knows it again.",
    ),
    (
        "definition",
        "A workflow as the state machine that AWS runs, in the Amazon States Language. `fanfold definition` prints it, `fanfold check \
         FILE.json` holds any definition to the rules of its language.",
    ),
    (
        "gate",
        "What judges a run on AWS once its children have ended: it folds the outcomes of all items and holds them against \
         `tolerated_failure`, since Step Functions counts a batch as one unit.",
    ),
    (
        "execution",
        "On AWS: one execution of a workflow's state machine. A run is begun by one, each resume and each redrive is another one; how items \
         ended lies in the results bucket, over all of them. `fanfold status` takes the ARN of any of them.",
    ),
    ("resume", "Go on with what is pending, after a stop or a crash. What ended is not touched."),
    (
        "deployment",
        "A workflow as it was put on AWS, called by a hash over all that it is made of: the program, the file, what was given by `-p`. It \
         is kept in the results bucket, so that `fanfold deploy --rollback` can put it back.",
    ),
    (
        "redrive",
        "Run again what failed or was blocked, any time, as the items are now. Never what is unknown: an effect may have happened.",
    ),
    (
        "unknown",
        "A call was sent, or may have been, and there is no answer that settles it: its effect may have happened. Neither resume nor \
         redrive sends it again. `fanfold results --unknown` shows what was sent; `fanfold resolve` says what became of it.",
    ),
    (
        "verdict",
        "Comes when no item can go further: failed + unknown + blocked against `tolerated_failure`. Within it the run SUCCEEDED and \
         exits with 0, beyond it it FAILED and exits with 1.",
    ),
    (
        "record",
        "The one file of a run, `run.db` in its folder. Status, counts and results are computed from it. It survives kill -9 and a loss \
         of power; a finished item is not done again.",
    ),
    (
        "secret",
        "A password, token or key. It stands in no workflow: `secrets` says where it is kept, it is looked up when a session begins, and \
         it is taken out of everything that is kept or shown.",
    ),
    (
        "state folder",
        "Where runs are kept: `--state-dir`, else FANFOLD_STATE, else the nearest `.fanfold` in the current folder or above it.",
    ),
    (
        "expression",
        "`{{ params.x }}` or `{{ item.Key | stem }}` in a value of the workflow. A value that is exactly one expression keeps its JSON \
         type. An undefined name is an error. `params` may be named anywhere; `item`, `previous`, `steps`, `status`, `headers`, `body`, \
         `pages` and `secrets` in the settings that know them.",
    ),
];

/// Error names that any job's item may end with.
pub(super) const ERRORS: &[(&str, &str)] = &[
    ("Job.Transient", "The job said that another try may succeed, and none of the retries did. Redrive it later."),
    (
        "Job.Throttled",
        "The job was told to slow down, until its retries were used up. Redrive it with a lower `max_concurrency`.",
    ),
    ("Job.Permanent", "The job said that no other try will succeed. Put right what the cause says, then redrive."),
    ("Job.Unknown", "An effect may have happened. Neither resume nor redrive touches the item. `fanfold resolve` decides it."),
    ("Item.GivenUp", "It was unknown, and somebody gave it up by `fanfold resolve --give-up`. A redrive leaves it alone."),
    (
        "Job.Panicked",
        "The job has a mistake of its own: it panicked at this item, at the place in its source that the cause names.",
    ),
    ("Job.Broken", "The job has a mistake of its own: it gave no answer for the item, or one that is not JSON."),
    (
        "Item.Invalid",
        "The item is damaged or not what the job takes; the cause says what was found. Repair the source and begin a new run, or leave it out by `items.where`.",
    ),
    ("Item.TimedOut", "One try at it took longer than `item_timeout`. Raise that, then redrive with `--accept`."),
    ("Item.TooLarge", "It alone is larger than a batch may be (`batch.max_bytes`, at most 256 KiB as on AWS)."),
    ("Item.Changed", "The file or object is another one than when the list was frozen. A redrive takes it as it is now."),
    ("Item.NotFound", "The file or object is not there any more."),
    ("Item.Denied", "The file or object may not be read. Give access to it, then redrive."),
    ("Item.InvalidKey", "`items.key` gave it no text and no integer. Repair the source or the expression and begin a new run."),
    ("Item.InvalidName", "Its name cannot be used: not UTF-8, or it would leave the destination."),
    ("Destination.Exists", "What would be written is there already, and `on_exists: fail` says to leave it."),
    ("Destination.InvalidName", "The destination does not take a file of this name."),
    ("Output.TooLarge", "What the job said about it is more than 64 KiB of JSON."),
    (
        "Worker.Refused",
        "On AWS: the worker cannot begin at all, and no other try would change that. The cause says why; put it right, then start anew.",
    ),
    (
        "Fanfold.BeyondTolerance",
        "On AWS: more items failed than `tolerated_failure` allows. The cause counts them; failed.jsonl beside the report names them.",
    ),
    (
        "Fanfold.Stopped",
        "On AWS: items have no outcome, since workers could not begin, were cut off, or the run was stopped. `fanfold status` says why where it \
         is known; put it right, then `fanfold resume` does the rest.",
    ),
    (
        "Worker.Crashed",
        "The process died four times with the item in flight, twice with nothing beside it: the item itself is what kills it. Put right what the job does with it, then redrive. \
         Of a job whose calls are kept: it died with a call under way that may not be sent again (then the item is unknown), or eight times in a row with the same call.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_explained_twice() {
        let mut words: Vec<&str> = WORDS.iter().chain(ERRORS).map(|(word, _)| *word).collect();
        words.sort_unstable();
        let twice: Vec<_> = words.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
