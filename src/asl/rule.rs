//! [`RULES`]: every rule that a definition is held to, each with its code, which never changes; [`Finding`], one that is not kept.

use std::fmt;

use crate::error::{Error, Place};

/// A documented rule of the Amazon States Language or of Step Functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Its code, such as `Asl.LabelLength`. It never changes, and is never used for another rule.
    pub code: &'static str,
    /// What it says, in a sentence or two.
    pub text: &'static str,
    /// Whether Step Functions takes a definition that does not keep to it, although it is most likely not meant.
    pub warning: bool,
}

macro_rules! rules {
    ($($name:ident $code:literal $kind:ident $text:literal)*) => {
        $(pub(super) const $name: &Rule = &Rule { code: $code, text: $text, warning: rules!(@ $kind) };)*

        /// Every rule, by subject.
        pub const RULES: &[&Rule] = &[$($name),*];
    };
    (@ error) => { false };
    (@ warning) => { true };
}

rules! {
    // The file.
    NOT_JSON "Asl.Json" error "A definition is one JSON object."
    SIZE "Asl.Size" error "A definition has at most 1 MB (1,048,576 bytes)."
    KEY_TWICE "Asl.KeyTwice" error "No name stands twice in one object; of two, one would be dropped silently."
    TYPE "Asl.Type" error "Each field has a value of its type: a text, a whole number, a list, an object."
    UNKNOWN_FIELD "Asl.UnknownField" error "A field has a name that is known where it stands. Many validators let misspelt fields pass."
    MISSING_FIELD "Asl.MissingField" error "A field that is required is there, such as `StartAt`, `Resource` of a Task or `ErrorEquals` of a retrier."
    BOTH "Asl.ValueAndPath" error "Never `X` and `XPath` (or `X` and `X.$`) together."
    VERSION "Asl.Version" error "`Version` is `1.0`, if it is there."

    // States and the way through them.
    NO_STATES "Asl.NoStates" error "`States` has at least one state."
    NAME_LENGTH "Asl.StateName" error "The name of a state has 1 to 80 characters."
    NAME_TWICE "Asl.StateTwice" error "The name of a state is unique in the whole definition, also in branches and item processors."
    START_AT "Asl.StartAt" error "`StartAt` names a state beside it."
    STATE_TYPE "Asl.StateType" error "`Type` is one of Task, Pass, Choice, Wait, Succeed, Fail, Parallel, Map."
    NEXT "Asl.Next" error "`Next` and `Default` name a state of the same `States`."
    NO_END "Asl.NoEnd" error "A Task, Pass, Wait, Parallel or Map has `Next` or `\"End\": true`."
    END_AND_NEXT "Asl.EndAndNext" error "A state has `Next` or `\"End\": true`, not both."
    UNREACHABLE "Asl.Unreachable" error "Every state can be reached from `StartAt`."

    // Query languages, paths and templates.
    LANGUAGE "Asl.QueryLanguage" error "`QueryLanguage` is `JSONPath` or `JSONata`."
    LANGUAGE_BACK "Asl.LanguageBack" error "In a definition in JSONata no state goes back to JSONPath."
    LANGUAGE_MIX "Asl.LanguageMix" error "A JSONata state has no fields of JSONPath (`Parameters`, `ResultPath`, `…Path`, names that end in `.$`), and the other way round (`Arguments`, `Output`)."
    EXPRESSION "Asl.Expression" warning "`{% … %}` is worked out in JSONata states only; in others it is plain text."
    PATH "Asl.Path" error "A path begins with `$`, `$.`, `$[` or `$$.`, and its brackets are closed."
    REFERENCE "Asl.ReferencePath" error "`ResultPath`, `TimestampPath` and others name one place: without `*`, `..`, `?`, `@`, `,` and `:`."
    PATH_VALUE "Asl.PathValue" error "The value of a name that ends in `.$` is a path, or an intrinsic function."
    INTRINSIC "Asl.Intrinsic" error "An intrinsic function is one of those that exist, such as `States.Format`, and its parentheses are closed."

    // Tasks, waits, choices.
    RESOURCE "Asl.Resource" error "The `Resource` of a Task is an ARN."
    LAMBDA "Asl.LambdaFunction" error "`arn:aws:states:::lambda:invoke` is told which function: `FunctionName`."
    TIMEOUT "Asl.Timeout" error "`TimeoutSeconds` and `HeartbeatSeconds` are 1 to 99,999,999."
    HEARTBEAT "Asl.Heartbeat" error "`HeartbeatSeconds` is less than `TimeoutSeconds`."
    WAIT "Asl.Wait" error "A Wait has exactly one of `Seconds`, `SecondsPath`, `Timestamp`, `TimestampPath`."
    WAIT_SECONDS "Asl.WaitSeconds" error "A Wait lasts 0 to 99,999,999 seconds."
    TIMESTAMP "Asl.Timestamp" error "A timestamp is written as `2026-11-23T10:00:00Z`."
    NO_CHOICES "Asl.NoChoices" error "`Choices` has at least one rule."
    OPERATOR "Asl.ChoiceOperator" error "A choice rule compares by exactly one operator that exists, such as `StringEquals`."
    OPERAND "Asl.ChoiceOperand" error "What a choice rule compares with is of the operator's kind: a text, a number, a boolean, a timestamp, a path."
    CHOICE_NEXT "Asl.ChoiceNext" error "`Next` stands in each rule of `Choices` and in none inside of `And`, `Or`, `Not`."
    NO_BRANCHES "Asl.NoBranches" error "`Branches` has at least one branch."

    // Retriers and catchers.
    NO_ERRORS "Asl.NoErrors" error "`ErrorEquals` names at least one error."
    ALL_ALONE "Asl.AllAlone" error "`States.ALL` stands alone in its `ErrorEquals`."
    ALL_LAST "Asl.AllLast" error "A retrier or catcher for `States.ALL` is the last one."
    ERROR_NAME "Asl.ErrorName" error "An error that begins with `States.` is one of those that exist."
    RETRY_INTERVAL "Asl.RetryInterval" error "`IntervalSeconds` is 1 to 99,999,999."
    RETRY_ATTEMPTS "Asl.RetryAttempts" error "`MaxAttempts` is 0 to 99,999,999."
    BACKOFF "Asl.BackoffRate" error "`BackoffRate` is at least 1."
    MAX_DELAY "Asl.MaxDelay" error "`MaxDelaySeconds` is more than `IntervalSeconds` and less than 31,622,400."
    JITTER "Asl.Jitter" error "`JitterStrategy` is `FULL` or `NONE`."

    // Maps.
    MODE "Asl.Mode" error "`Mode` is `INLINE` or `DISTRIBUTED`."
    EXECUTION_TYPE "Asl.ExecutionType" error "A Distributed Map says what its children are: `ExecutionType` is `STANDARD` or `EXPRESS`."
    INLINE "Asl.DistributedOnly" error "`ItemReader`, `ItemBatcher`, `ResultWriter`, `Label` and `ToleratedFailure…` are for Distributed Maps."
    OLD_AND_NEW "Asl.OldAndNew" error "Never an old name beside its new one: `Iterator` is now `ItemProcessor`, `Parameters` of a Map is now `ItemSelector`."
    OLD "Asl.Deprecated" warning "`Iterator`, and `Parameters` of a Map, are deprecated."
    MAP_RETRY "Asl.MapRetry" warning "A `Retry` on a Distributed Map starts a new map run over all items, also those that were done. It belongs on the task inside."
    CONCURRENCY "Asl.Concurrency" error "`MaxConcurrency` is 0 to 10,000; 0 means 10,000."
    PERCENTAGE "Asl.TolerancePercentage" error "`ToleratedFailurePercentage` is 0 to 100."
    TOLERANCE "Asl.ToleranceCount" error "`ToleratedFailureCount` is a whole number from 0."
    LABEL_LENGTH "Asl.LabelLength" error "A label has 1 to 40 characters."
    LABEL_CHARACTERS "Asl.LabelCharacters" error "A label has no white space, no control characters and none of `?*<>{}[]:;,\\|^~$#%&\\`\"`."
    LABEL_TWICE "Asl.LabelTwice" error "A label is unique in the definition."
    NO_LIMIT "Asl.BatchLimit" error "An `ItemBatcher` has `MaxItemsPerBatch`, `MaxInputBytesPerBatch` or both."
    BATCH_ITEMS "Asl.BatchItems" error "`MaxItemsPerBatch` is a whole number from 1."
    BATCH_BYTES "Asl.BatchBytes" error "`MaxInputBytesPerBatch` is 1 to 262,144 (256 KiB)."
    BATCH_INPUT "Asl.BatchInput" error "`BatchInput` is part of every batch: with 256 KiB of it nothing is left for items."
    ITEM_CONTEXT "Asl.ItemContext" error "`$$.Map.Item` is known in `ItemSelector`, not inside the item processor of a Distributed Map."
    EXPRESS_TIME "Asl.ExpressTime" error "An express child ends after 5 minutes: no longer wait or timeout fits into it."
    EXPRESS_PATTERN "Asl.ExpressPattern" error "In express children there is no `.sync`, no `.waitForTaskToken`, no activity and no Distributed Map."

    // Item readers and result writers.
    READER "Asl.ReaderResource" error "An `ItemReader` is `arn:aws:states:::s3:listObjectsV2` or `arn:aws:states:::s3:getObject`."
    READER_PARAMETERS "Asl.ReaderParameters" error "`listObjectsV2` needs `Bucket`, `getObject` needs `Bucket` and `Key`."
    PREFIX "Asl.PrefixSlash" warning "The prefix `photos` also reads what is below `photos-old/`: a folder ends in `/`."
    INPUT_TYPE "Asl.InputType" error "`InputType` is `CSV`, `JSON`, `JSONL`, `PARQUET` or `MANIFEST`; a file that is read has one."
    LISTED_TYPE "Asl.ListedType" error "Listed objects have an `InputType` with `\"Transformation\": \"LOAD_AND_FLATTEN\"`, which needs one, and never without; a `MANIFEST` cannot be loaded so."
    TRANSFORMATION "Asl.Transformation" error "`Transformation` is one of the words of its place: `NONE`, `LOAD_AND_FLATTEN` of a reader, `NONE`, `COMPACT`, `FLATTEN` of a writer."
    CSV_HEADER "Asl.CsvHeader" error "A CSV says where its header is: `FIRST_ROW`, or `GIVEN` with `CSVHeaders`."
    HEADER_TWICE "Asl.CsvHeaderTwice" error "No name stands twice in `CSVHeaders`."
    HEADER_SIZE "Asl.CsvHeaderSize" error "`CSVHeaders` have at most 10 KB."
    DELIMITER "Asl.CsvDelimiter" error "`CSVDelimiter` is `COMMA`, `PIPE`, `SEMICOLON`, `SPACE` or `TAB`."
    CSV_ONLY "Asl.CsvOnly" error "`CSV…` fields are for CSV files and manifests."
    POINTER "Asl.ItemsPointer" error "`ItemsPointer` is a JSON Pointer into a JSON file, such as `/items`."
    MAX_ITEMS "Asl.MaxItems" error "`MaxItems` is 0 to 100,000,000; 0 means all."
    MANIFEST "Asl.ManifestType" error "`ManifestType` is `S3_INVENTORY`, without `InputType`, or `ATHENA_DATA` with `InputType` CSV, JSONL or PARQUET."
    VERSION_ID "Asl.ParquetVersion" error "A Parquet file is read without `VersionId`."
    WRITER "Asl.ResultWriter" error "A `ResultWriter` has `Resource` and `Parameters`, `WriterConfig`, or all three. An empty one is taken, and fails every run."
    WRITER_RESOURCE "Asl.WriterResource" error "A `ResultWriter` is `arn:aws:states:::s3:putObject`, with a `Bucket`."
    OUTPUT_TYPE "Asl.OutputType" error "`OutputType` is `JSON` or `JSONL`."
    NO_WRITER "Asl.NoWriter" warning "Without a `ResultWriter` a Distributed Map gives the results of all children at once: above 256 KiB the execution fails."
}

/// A rule that a definition does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What was found and what is allowed, as a lowercase fragment.
    pub detail: String,
    /// Where.
    pub place: Place,
    /// The action that helps.
    pub hint: Option<String>,
}

impl Finding {
    /// As an error: the code, what was found, where, and the hint.
    pub fn error(&self) -> Error {
        let error = Error::refused(format!("{}: {}", self.rule.code, self.detail)).at(Some(self.place.clone()));
        match &self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}
