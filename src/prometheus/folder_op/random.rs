//! Any two sets of data, any changes of mind, cut anywhere: the live names always show one of the sets.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::exchange::Side;
use super::tests::{Folder, block, write};
use super::{files, shim};

const NAMES: [&str; 7] = [
    "01ARZ3NDEKTSV4RRFFQ69G5FB1",
    "01ARZ3NDEKTSV4RRFFQ69G5FB2",
    "01ARZ3NDEKTSV4RRFFQ69G5FB3",
    "01ARZ3NDEKTSV4RRFFQ69G5FB4",
    "wal",
    "wbl",
    "chunks_head",
];

/// Which of the names a set has.
type Set = Vec<bool>;
type View = BTreeMap<String, String>;

fn fill(side: &Path, set: &Set, text: &str) {
    for (name, _) in NAMES.iter().zip(set).filter(|(_, has)| **has) {
        if files::is_block(name) {
            block(side, name, text);
        } else {
            write(&side.join(name).join("00000000"), text);
        }
    }
}

/// All files of the entries, reached through the live names as Prometheus reaches them.
fn view(root: &Path) -> View {
    let mut view = View::new();
    for name in files::data_names(root).unwrap() {
        for file in ["meta.json", "index", "chunks/000001", "tombstones", "00000000"] {
            if let Ok(text) = std::fs::read_to_string(root.join(&name).join(file)) {
                view.insert(format!("{name}/{file}"), text);
            }
        }
    }
    view
}

fn expected(set: &Set, text: &str) -> View {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), set, text);
    view(dir.path())
}

fn sets() -> impl Strategy<Value = (Set, Set)> {
    let set = || proptest::collection::vec(any::<bool>(), NAMES.len());
    (set(), set())
}

fn drives() -> impl Strategy<Value = Vec<(bool, usize)>> {
    proptest::collection::vec((any::<bool>(), 0_usize..40), 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_sets_and_however_often_cut_one_whole_set_is_seen((old, new) in sets(), drives in drives(), end in any::<bool>()) {
        let folder = Folder::new();
        for place in [folder.root().to_path_buf(), folder.work.join("new")] {
            for name in files::data_names(&place).unwrap() {
                files::remove(&place.join(name)).unwrap();
            }
        }
        fill(folder.root(), &old, "old");
        fill(&folder.work.join("new"), &new, "new");
        let (all_old, all_new) = (expected(&old, "old"), expected(&new, "new"));
        let side = |to_new| if to_new { Side::New } else { Side::Old };
        for (to_new, budget) in drives {
            folder.drive(side(to_new), budget, true);
            let seen = view(folder.root());
            prop_assert!(seen == all_old || seen == all_new, "{:?}", seen);
        }
        prop_assert!(folder.drive(side(end), usize::MAX, true));
        prop_assert_eq!(&view(folder.root()), if end { &all_new } else { &all_old });
        let aside = folder.work.join(if end { "old" } else { "new" });
        prop_assert_eq!(&view(&aside), if end { &all_old } else { &all_new }, "the other set is kept whole");
        for name in files::data_names(folder.root()).unwrap() {
            prop_assert!(!shim::is_shim(&folder.root().join(&name)).unwrap(), "{}", name);
        }
    }
}
