//! [`Window`]: a file read forward, as a slice that grows at its end and is consumed at its start.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// How much is read at once by who reads on.
pub(super) const FORWARD: usize = 256 * 1024;

/// How much is read at once by who reads a part: little of what is behind it.
pub(super) const PART: usize = 64 * 1024;

/// How much is read at once by who wants a single record.
pub(super) const SINGLE: usize = 4 * 1024;

/// A larger buffer than this was needed for one long record, and is given back.
const KEPT: usize = 2 * FORWARD;

/// A part of a file in memory: what was read and not consumed.
#[derive(Debug)]
pub(super) struct Window<R = File> {
    file: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The file offset of `start`.
    offset: u64,
    /// How much is read at once, unless a record is longer.
    chunk: usize,
}

impl<R: Read + Seek> Window<R> {
    pub fn new(mut file: R, offset: u64, chunk: usize) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, buffer: Vec::new(), start: 0, end: 0, offset, chunk })
    }

    /// Goes to another place of the file. What was read of it already is not read again.
    pub fn go_to(&mut self, offset: u64) -> io::Result<()> {
        let ahead = offset.checked_sub(self.offset).and_then(|ahead| usize::try_from(ahead).ok());
        if let Some(ahead) = ahead.filter(|ahead| *ahead < self.end - self.start) {
            self.consume(ahead);
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(offset))?;
        (self.start, self.end, self.offset) = (0, 0, offset);
        if self.buffer.len() > KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// What was read and not consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The file offset of the first of [`Window::bytes`].
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn consume(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
        debug_assert!(self.start <= self.end);
    }

    /// Reads more behind what is there; false at the end of the file.
    pub fn more(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + self.chunk / 2 {
            self.buffer.resize(self.chunk.max(self.buffer.len() * 2), 0);
        }
        loop {
            match self.file.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
