use std::collections::BTreeMap;

use super::*;
use crate::prometheus::block::meta::{BlockCompaction, BlockParent, BlockStats};

fn ulid(n: u128) -> Ulid {
    Ulid::from_parts(1, n)
}

fn meta(n: u128, sources: &[u128], parents: &[u128]) -> BlockMeta {
    let parent = |n: &u128| BlockParent { ulid: ulid(*n), min_time: 0, max_time: 1 };
    BlockMeta {
        ulid: ulid(n),
        min_time: 0,
        max_time: 1,
        stats: BlockStats::default(),
        compaction: BlockCompaction {
            level: 1,
            sources: sources.iter().map(|n| ulid(*n)).collect(),
            parents: parents.iter().map(parent).collect(),
            ..BlockCompaction::default()
        },
        version: 1,
    }
}

fn on_disk(metas: &[BlockMeta]) -> Vec<FolderBlock> {
    let block = |meta: &BlockMeta| FolderBlock {
        name: meta.ulid.to_string(),
        meta: Some(meta.clone()),
        bytes: 1,
        foreign_owner: false,
    };
    metas.iter().map(block).collect()
}

fn expected(metas: &[BlockMeta]) -> Expected {
    let block = |meta: &BlockMeta| ExpectedBlock {
        name: meta.ulid.to_string(),
        meta: Some(meta.clone()),
        may_go: false,
        probes: Vec::new(),
    };
    Expected { blocks: metas.iter().map(block).collect() }
}

#[test]
fn a_restored_block_is_there_itself_or_in_what_was_made_from_it() {
    let restored = [meta(1, &[1], &[]), meta(2, &[2], &[]), meta(3, &[3], &[])];
    let missing_in = |disk: &[BlockMeta]| missing(&expected(&restored), &on_disk(disk));
    assert_eq!(missing_in(&restored), [""; 0]);
    assert_eq!(missing_in(&restored[..2]), [ulid(3).to_string()]);
    // Compacted once, with parents; compacted twice, so that only the sources tell.
    assert_eq!(missing_in(&[meta(7, &[], &[1, 2, 3])]), [""; 0]);
    assert_eq!(missing_in(&[meta(8, &[1, 2, 3], &[7])]), [""; 0]);
    assert_eq!(missing_in(&[meta(8, &[1, 2], &[7])]), [ulid(3).to_string()]);
}

#[test]
fn without_a_meta_only_the_name_and_parents_tell() {
    let named = Expected::named(&[ulid(1).to_string()]);
    assert!(missing(&named, &on_disk(&[meta(1, &[1], &[])])).is_empty());
    assert!(missing(&named, &on_disk(&[meta(2, &[1], &[1])])).is_empty());
    assert_eq!(missing(&named, &on_disk(&[meta(2, &[1], &[])])).len(), 1);
    assert_eq!(named.lowest(), None);
}

#[test]
fn a_block_that_prometheus_may_delete_is_not_missed() {
    let mut expected = expected(&[meta(1, &[1], &[])]);
    assert_eq!(missing(&expected, &[]).len(), 1);
    expected.blocks[0].may_go = true;
    assert!(missing(&expected, &[]).is_empty());
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_probe_is_right_only_for_its_own_series_and_its_exact_count() {
    let probe = Probe { labels: labels(&[("__name__", "up"), ("job", "x")]), first: 0, last: 1, samples: 5 };
    let sample = |pairs: &[(&str, &str)], value| Sample { labels: labels(pairs), value };
    let own = |value| vec![sample(&[("job", "x")], value)];
    assert_eq!(verdict("B", &probe, &own(5.0)), None);
    assert_eq!(verdict("B", &probe, &own(4.0)).unwrap(), "block B: up{job=\"x\"} has 4 samples instead of 5");
    assert!(verdict("B", &probe, &own(f64::NAN)).is_some());
    assert!(verdict("B", &probe, &[]).unwrap().contains("is not there"));
    // A series with more labels matches the selector, too.
    let other = sample(&[("job", "x"), ("instance", "y")], 5.0);
    assert!(verdict("B", &probe, std::slice::from_ref(&other)).is_some());
    assert_eq!(verdict("B", &probe, &[other, own(5.0).remove(0)]), None);
}
