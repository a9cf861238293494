//! Where chunks lie: compared between chunk files and index without keeping the places.
//!
//! For each segment, each place is mixed to 128 bits and added up, in any order. Two multisets of places with the
//! same count and the same sum are the same but for a chance that damage does not find.

use std::collections::BTreeMap;

use super::findings::Findings;

/// No block has more segments; a damaged index may claim any number.
const MOST_SEGMENTS: usize = 1 << 16;

/// The places of chunks, by segment file.
#[derive(Default)]
pub(super) struct Places {
    segments: BTreeMap<u32, Tally>,
    /// Places in segments beyond the most that is possible.
    beyond: u64,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
struct Tally {
    chunks: u64,
    sum: u128,
}

impl Places {
    /// A segment file is there, with or without chunks.
    pub(super) fn segment(&mut self, segment: u32) {
        self.segments.entry(segment).or_default();
    }

    /// A chunk lies at `offset` of a segment (0 for `chunks/000001`).
    pub(super) fn add(&mut self, segment: u32, offset: u64) {
        if self.segments.len() >= MOST_SEGMENTS && !self.segments.contains_key(&segment) {
            self.beyond += 1;
            return;
        }
        let tally = self.segments.entry(segment).or_default();
        tally.chunks += 1;
        tally.sum = tally.sum.wrapping_add(mixed(offset));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Compares what lies in the files with what the index refers to.
    pub(super) fn compare(&self, referred: &Self, findings: &mut Findings) {
        if referred.beyond > 0 {
            findings
                .note("index", &format!("{} chunks are said to lie in impossible segments", referred.beyond));
        }
        for (segment, wanted) in &referred.segments {
            let file = file_of(*segment);
            match self.segments.get(segment) {
                None => findings.note(
                    &file,
                    &format!("it is missing; the index refers to {} chunks in it", wanted.chunks),
                ),
                Some(found) if found != wanted => findings.note(&file, &difference(*found, *wanted)),
                Some(_) => {}
            }
        }
        for (segment, found) in &self.segments {
            if found.chunks > 0 && !referred.segments.contains_key(segment) {
                let problem = format!("the index refers to none of its {} chunks", found.chunks);
                findings.note(&file_of(*segment), &problem);
            }
        }
    }
}

/// The path of a segment file inside its block.
pub(super) fn file_of(segment: u32) -> String {
    format!("chunks/{:06}", u64::from(segment) + 1)
}

fn difference(found: Tally, wanted: Tally) -> String {
    if found.chunks == wanted.chunks {
        "chunks do not lie where the index says".to_owned()
    } else {
        format!("{} chunks are there, the index refers to {}", found.chunks, wanted.chunks)
    }
}

/// Two rounds of a 64-bit finalizer (splitmix64) with different seeds.
fn mixed(offset: u64) -> u128 {
    const fn mix(mut x: u64) -> u64 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    let high = mix(offset.wrapping_add(0x9e37_79b9_7f4a_7c15));
    let low = mix(offset ^ 0xd6e8_feb8_6659_fd93);
    (u128::from(high) << 64) | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(chunks: &[(u32, u64)]) -> Places {
        let mut places = Places::default();
        for &(segment, offset) in chunks {
            places.add(segment, offset);
        }
        places
    }

    fn compared(found: &[(u32, u64)], referred: &[(u32, u64)]) -> Vec<String> {
        let mut findings = Findings::default();
        places(found).compare(&places(referred), &mut findings);
        findings.into_damage().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_places_in_another_order_are_the_same() {
        assert!(compared(&[(0, 8), (0, 90), (1, 8)], &[(1, 8), (0, 90), (0, 8)]).is_empty());
    }

    #[test]
    fn a_place_that_is_off_is_found_although_count_and_plain_sum_agree() {
        let problem = "chunks/000001: chunks do not lie where the index says";
        assert_eq!(compared(&[(0, 8), (0, 90)], &[(0, 9), (0, 89)]), [problem]);
    }

    #[test]
    fn what_is_only_on_one_side_is_named_with_its_segment() {
        assert_eq!(
            compared(&[(0, 8), (0, 90), (2, 8)], &[(0, 8), (1, 8)]),
            [
                "chunks/000001: 2 chunks are there, the index refers to 1",
                "chunks/000002: it is missing; the index refers to 1 chunks in it",
                "chunks/000003: the index refers to none of its 1 chunks",
            ]
        );
    }
}
