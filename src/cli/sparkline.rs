//! Numbers as a picture of one line.

/// From small to large.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar for each number, the largest of them at full height.
pub(super) fn sparkline(numbers: &[u64]) -> String {
    let largest = numbers.iter().max().copied().unwrap_or(0).max(1);
    let bar = |number: &u64| {
        let height = u128::from(*number) * (BARS.len() as u128 - 1) / u128::from(largest);
        BARS[usize::try_from(height).unwrap_or(0)]
    };
    numbers.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_has_the_highest_bar_and_nothing_has_the_lowest() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), "▁▁▄█");
        assert_eq!(sparkline(&[7, 7]), "██");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[u64::MAX, 0]), "█▁");
        assert_eq!(sparkline(&[]), "");
    }
}
