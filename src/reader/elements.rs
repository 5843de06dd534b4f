//! [`elements_of`]: the elements of an array that is an object, while the object arrives.

use super::Pointer;
use super::arriving::arriving;
use super::json_array::{ArrayError, elements};
use crate::storage::Storage;
use crate::{Error, Result};

/// Hands each element of the array that the object is to `take`, as compact JSON, on a thread that may block. The object is never in
/// memory.
///
/// # Errors
/// It cannot be read, or is no array; those of `take`.
pub(crate) async fn elements_of(
    storage: &Storage,
    name: &str,
    mut take: impl FnMut(&[u8]) -> Result<()> + Send + 'static,
) -> Result<()> {
    let address = storage.location().address(name);
    let reading = storage.read(name).await?;
    arriving(reading, move |bytes| {
        let wrong = |why: String| Error::surroundings(format!("`{address}` is no list: {why}"));
        match elements(bytes, &Pointer::default(), |element| take(element).map(|()| true)) {
            Ok(()) => Ok(()),
            Err(ArrayError::Taker(error)) => Err(error),
            Err(ArrayError::Syntax(error)) => Err(wrong(error.to_string())),
            Err(ArrayError::NoArray(why)) => Err(wrong(why)),
        }
    })
    .await
}
