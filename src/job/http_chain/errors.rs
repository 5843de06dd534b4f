//! The error names that `http_chain` records, for `fanfold explain`.

/// Each with what it means and what to do.
pub(super) const ERRORS: &[(&str, &str)] = &[
    (
        "Http.Status",
        "The other side answered with a status that the step does not expect: `Http.Status.404` is a 404. The cause begins what it \
         said. Put right what it complains about, then redrive: a refusal is sent again, under a new key. If the status is fine, add \
         it to `expect` and redrive with `--accept`: the answer that is kept is judged again, and nothing is sent.",
    ),
    (
        "Http.NoAnswer",
        "A request was sent and not answered, each time it was tried. Failed: it has no effect, or it does no harm to send it again; \
         redrive it. Unknown: its effect may have happened; find out at the other side, then `fanfold resolve`.",
    ),
    (
        "Http.Unreachable",
        "No connection could be made, each time it was tried, while the host answered others: nothing was sent. Redrive it.",
    ),
    (
        "Http.BadAnswer",
        "The answer cannot be kept: it is larger than `max_response` or cannot be decompressed. Raise the limit, then redrive with \
         `--accept`. Unknown: its effect has probably happened.",
    ),
    (
        "Http.NotAllowed",
        "The request was not sent, because it may not be: it leads to a link-local address (`allow_link_local`), would carry secrets \
         over plain http (`allow_http`), or has a header field that cannot be.",
    ),
    (
        "Http.InvalidUrl",
        "What an item or an answer gives makes no URL: a part of its path is empty, null, `.` or `..`, or the whole is none.",
    ),
    ("Http.InvalidRequest", "An expression of the request cannot be worked out for this item. Nothing was sent by this step."),
    (
        "Http.CaptureFailed",
        "The answer has not what an expression of `capture`, `poll` or `paginate` names; the cause lists what it has. Put the \
         workflow right and redrive with `--accept`: the answer that is kept is judged again, and nothing is sent.",
    ),
    (
        "Http.BadBody",
        "The body of the answer is not UTF-8, and the step takes something from it. Nothing but the status and header fields can be captured.",
    ),
    (
        "Http.OutputFailed",
        "All steps were done, and `output` cannot be worked out. Put it right and redrive with `--accept`: nothing is sent again.",
    ),
    (
        "Http.PollTimeout",
        "What a step waits for (`poll.until`) did not come within `poll.timeout`. A redrive asks again; the steps before it are not done again.",
    ),
    ("Http.CursorRepeated", "A page leads to one that was fetched already, so that there would be no end."),
    ("Http.TooManyPages", "There are more pages than `paginate.max_pages`, or they have more than 64 MiB together."),
    ("Http.TooManyRedirects", "A request was sent on more often than `redirects` allows."),
    ("Http.NoToken", "The host of `auth.oauth2` answered, and gave no token. Redrive it later."),
    (
        "Http.KeyExpired",
        "A request was sent and not answered, and its idempotency key is so old that the other side may have forgotten it \
         (`idempotency.ttl`): sent again it might have its effect twice. Find out at the other side, then `fanfold resolve`.",
    ),
    (
        "Http.StoredError",
        "The other side answers the same error again and again under one idempotency key: it has stored that answer. Whether the \
         effect happened is to be found out there; then `fanfold resolve`.",
    ),
    (
        "Http.ProbeFailed",
        "Whether the effect of a lost request happened could not be found out: `probe` was not answered, or said nothing.",
    ),
];
