//! [`Arriving`]: an object that comes in pieces over the network, as a file for a thread that may block.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{Receiver, channel};

use super::freeze::blocking;
use crate::Result;
use crate::storage::{Reading, StorageError};

/// Pieces that wait for the thread that reads them.
const WAITING: usize = 8;

/// Its bytes. Ends with an error unless every byte came.
#[derive(Debug)]
pub(super) struct Arriving {
    /// An empty piece is the end.
    pieces: Receiver<Result<Bytes, StorageError>>,
    piece: Bytes,
    ended: bool,
}

/// Does file work with an object while it arrives. What `work` leaves of it is not fetched.
pub(super) async fn arriving<T: Send + 'static>(
    mut reading: Reading,
    work: impl FnOnce(Arriving) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, pieces) = channel(WAITING);
    let fetch = async move {
        loop {
            let next = tokio::select! {
                next = reading.next() => next,
                () = sender.closed() => return,
            };
            let last = !matches!(next, Ok(Some(_)));
            if sender.send(next.map(Option::unwrap_or_default)).await.is_err() || last {
                return;
            }
        }
    };
    let arriving = Arriving { pieces, piece: Bytes::new(), ended: false };
    let (done, ()) = tokio::join!(blocking(move || work(arriving)), fetch);
    done
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            self.piece = match self.pieces.blocking_recv() {
                Some(piece) => piece.map_err(io::Error::other)?,
                None => return Err(io::Error::other("nobody fetches it any more")),
            };
            self.ended = self.piece.is_empty();
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
