//! [`Window`]: a file read forward, as a slice that grows at its end and is consumed at its start.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// A part of a file in memory: what was read and not consumed.
#[derive(Debug)]
pub(super) struct Window<R = File> {
    file: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The file offset of `start`.
    offset: u64,
}

impl<R: Read + Seek> Window<R> {
    pub fn new(mut file: R, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, buffer: Vec::new(), start: 0, end: 0, offset })
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
        if self.buffer.len() < self.end + CHUNK / 2 {
            self.buffer.resize(CHUNK.max(self.buffer.len() * 2), 0);
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
