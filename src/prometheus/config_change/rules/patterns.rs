//! The patterns of `rule_files`: where a file would be loaded from, and what must not lie there.

use globset::GlobBuilder;

use crate::prometheus::folder::absolute;

/// The path that a file of this name gets, as the server sees it: in the folder of the first of `rule_files` that would
/// load it there, where one is already by this name before others. `folder` is that of the configuration.
pub(in crate::prometheus::config_change) fn destinations(
    patterns: &[String],
    folder: &str,
    name: &str,
) -> Vec<String> {
    // Into which of many folders cannot be told.
    let all = folders(patterns, folder).into_iter();
    all.filter(|(_, last)| fits(last, name)).map(|(above, _)| format!("{above}/{name}")).collect()
}

/// The folders that files are loaded from, each with the pattern of their names. Those of which a pattern means many are left
/// out.
pub(in crate::prometheus::config_change) fn folders(
    patterns: &[String],
    folder: &str,
) -> Vec<(String, String)> {
    let parts = |pattern: &String| {
        let pattern = joined(folder, pattern)?;
        let (above, last) = pattern.rsplit_once('/')?;
        (!is_pattern(above)).then(|| (above.to_owned(), last.to_owned()))
    };
    patterns.iter().filter_map(parts).collect()
}

/// Whether one of the patterns would have the server load this path.
pub(in crate::prometheus::config_change) fn is_covered(
    patterns: &[String],
    folder: &str,
    path: &str,
) -> bool {
    patterns.iter().filter_map(|pattern| joined(folder, pattern)).any(|pattern| fits(&pattern, path))
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// A pattern as the server reads it: from the folder of its configuration on, without `.` and `..`.
fn joined(folder: &str, pattern: &str) -> Option<String> {
    absolute(pattern, Some(folder))
}

/// As Go's `filepath.Match`: a star does not match a slash, two are no more than one, and braces mean nothing.
pub(in crate::prometheus::config_change) fn fits(pattern: &str, name: &str) -> bool {
    let mut pattern = pattern.to_owned();
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    let literal: String =
        pattern.chars().flat_map(|c| if matches!(c, '{' | '}') { vec!['\\', c] } else { vec![c] }).collect();
    let glob = GlobBuilder::new(&literal).literal_separator(true).backslash_escape(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_where_a_pattern_would_load_it() {
        let patterns =
            ["rules/*.yml", "/srv/a?.yaml", "one.yml", "*/x.yml", "./../rules/d*.yaml"].map(str::to_owned);
        let to = |name: &str| destinations(&patterns, "/etc/prometheus", name);
        assert_eq!(to("x.yml"), ["/etc/prometheus/rules/x.yml"]);
        assert_eq!(to("ab.yaml"), ["/srv/ab.yaml"]);
        assert_eq!(to("dots.yaml"), ["/etc/rules/dots.yaml"]);
        assert_eq!(to("one.yml"), ["/etc/prometheus/rules/one.yml", "/etc/prometheus/one.yml"]);
        assert!(to("x.rules").is_empty());
        let covered = |path: &str| is_covered(&patterns, "/etc/prometheus", path);
        assert!(covered("/etc/prometheus/rules/x.yml") && !covered("/etc/prometheus/rules/x.yml.bak"));
        assert!(!covered("/etc/prometheus/rules/deep/x.yml") && covered("/etc/rules/dots.yaml"));
        // A star takes names that begin with a dot, too.
        assert!(is_covered(&["rules/*".to_owned()], "/e", "/e/rules/.x.tmp"));
    }
}
