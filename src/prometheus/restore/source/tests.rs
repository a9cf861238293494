use super::*;

const A: &str = "01HF0Z1K2M3N4P5Q6R7S8T9V0W";

#[test]
fn a_path_is_split_at_its_block_however_deep_it_lies() {
    let deep = format!("prometheus_backup_X/snapshots/20261123T0-ab/{A}/chunks/000001");
    assert_eq!(split(&deep), Some(("prometheus_backup_X/snapshots/20261123T0-ab", (A, "chunks/000001"))));
    assert_eq!(split(&format!("{A}/index")), Some(("", (A, "index"))));
    assert_eq!(split(A), Some(("", (A, ""))));
    assert_eq!(split("wal/00000001"), None);
}

#[test]
fn only_canonical_ulids_are_blocks() {
    assert!(is_block_name(A));
    let wrong =
        [&A.to_lowercase(), &A[1..], "snapshots", "01HF0Z1K2M3N4P5Q6R7S8T9V0U", "", &format!("{A}.tmp")];
    for wrong in wrong {
        assert!(!is_block_name(wrong), "{wrong}");
    }
}

#[test]
fn only_what_belongs_to_a_block_is_taken() {
    for file in ["meta.json", "index", "tombstones", "chunks/000001", "chunks/123456"] {
        assert!(is_block_file(file), "{file}");
    }
    for file in
        ["", "chunks", "chunks/1", "chunks/00000a", "chunks/000001.tmp", "x/meta.json", "index~", "lock"]
    {
        assert!(!is_block_file(file), "{file}");
    }
}
