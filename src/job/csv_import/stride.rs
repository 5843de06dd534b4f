//! [`Stride`]: how many rows are tried at once, on the way through rows of which the database refuses some.

use std::ops::Range;

/// How many are tried behind one that was refused. Where one is, more often are.
const BEHIND: usize = 16;

/// Begins with all of them; gets shorter where they are refused and longer again where they are not, so that what a refusal costs
/// depends on how many are refused, not on how many there are.
#[derive(Debug)]
pub(super) struct Stride {
    at: usize,
    total: usize,
    size: usize,
    then: Option<usize>,
}

impl Stride {
    pub fn over(total: usize) -> Self {
        Self { at: 0, total, size: total, then: None }
    }

    /// The rows to try next.
    pub fn next(&self) -> Option<Range<usize>> {
        let left = self.total - self.at;
        (left > 0).then(|| self.at..self.at + self.size.clamp(1, left))
    }

    /// They were taken.
    pub fn taken(&mut self, tried: &Range<usize>) {
        self.at = tried.end;
        self.size = self.then.take().unwrap_or(self.size.saturating_mul(2));
    }

    /// One of them is refused, perhaps this one of them. If it can be no other, it is told, and passed.
    pub fn refused(&mut self, tried: &Range<usize>, which: Option<usize>) -> Option<usize> {
        self.then = None;
        if tried.len() == 1 {
            self.at = tried.end;
            self.size = BEHIND;
            return Some(tried.start);
        }
        match which {
            Some(row) if row > 0 && row < tried.len() => (self.size, self.then) = (row, Some(1)),
            Some(0) => self.size = 1,
            _ => self.size = tried.len() / 4,
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through rows; a try is refused if a bad one is among them. Says which were found, and how many rows were tried.
    fn walk(total: usize, bad: &[usize], tells: bool) -> (Vec<usize>, usize, usize) {
        let (mut stride, mut found, mut tries, mut rows) = (Stride::over(total), Vec::new(), 0, 0);
        let mut taken = 0;
        while let Some(range) = stride.next() {
            (tries, rows) = (tries + 1, rows + range.len());
            assert_eq!(range.start, taken, "in order, none left out");
            match bad.iter().find(|row| range.contains(row)) {
                None => {
                    stride.taken(&range);
                    taken = range.end;
                }
                Some(row) => {
                    if let Some(row) = stride.refused(&range, tells.then_some(row - range.start)) {
                        found.push(row);
                        taken = row + 1;
                    }
                }
            }
        }
        assert_eq!(taken, total);
        (found, tries, rows)
    }

    #[test]
    fn exactly_the_bad_ones_are_found_whatever_is_told() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..500 {
            let total = random.usize(0..300);
            let one_in = random.usize(1..40);
            let bad: Vec<usize> = (0..total).filter(|_| random.usize(0..one_in) == 0).collect();
            for tells in [false, true] {
                assert_eq!(walk(total, &bad, tells).0, bad);
            }
        }
        assert_eq!(walk(1, &[], false), (vec![], 1, 1));
    }

    #[test]
    fn what_a_bad_row_costs_does_not_grow_with_the_rows() {
        for total in [2_000, 200_000] {
            let bad: Vec<usize> = (0..total).filter(|row| row % 20 == 7).collect();
            let (_, tries, rows) = walk(total, &bad, true);
            assert!(tries < bad.len() * 5 && rows < total * 5, "{tries} tries, {rows} rows for {total}");
            let (_, tries, rows) = walk(total, &bad, false);
            assert!(tries < bad.len() * 10 && rows < total * 5, "{tries} tries, {rows} rows for {total}");
        }
    }
}
