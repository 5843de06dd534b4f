//! [`joined`]: the params of an execution as the workflow knows them.

use serde_json::{Map, Value};

use crate::storage::joined_url;

/// The params with every source put together again that was split, since Step Functions cannot take a URL apart: `{"bucket", "prefix"}`
/// and `{"bucket", "key"}` are `s3://bucket/…`.
pub(super) fn joined(params: &Value) -> Value {
    let Value::Object(params) = params else { return params.clone() };
    let join = |value: &Value| joined_url(value).map_or_else(|| value.clone(), Value::String);
    Value::Object(params.iter().map(|(name, value)| (name.clone(), join(value))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_split_source_is_one_again() {
        let params = json!({
            "source": { "bucket": "photos", "prefix": "2026/" }, "all": { "bucket": "photos", "prefix": "" }, "n": 3, "to": "s3://b/",
            "file": { "bucket": "in", "key": "a/b.csv" },
        });
        let expected =
            json!({ "source": "s3://photos/2026/", "all": "s3://photos/", "n": 3, "to": "s3://b/", "file": "s3://in/a/b.csv" });
        assert_eq!(joined(&params), expected);
        assert_eq!(joined(&json!({})), json!({}));
    }
}
