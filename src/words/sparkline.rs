//! Numbers as a picture of one line.

/// From small to large.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar for each number, the largest of them at full height.
pub fn sparkline(numbers: &[u64]) -> String {
    let largest = numbers.iter().max().copied().unwrap_or(0).max(1);
    let bar = |number: &u64| {
        let height = u128::from(*number) * (BARS.len() as u128 - 1) / u128::from(largest);
        BARS[usize::try_from(height).unwrap_or(0)]
    };
    numbers.iter().map(bar).collect()
}

/// A bar for each value, the largest of them at full height; a gap where there is none, or one that is no number. What is
/// below nothing has the lowest bar.
pub fn sparkline_of(values: &[Option<f64>]) -> String {
    let finite = |value: &Option<f64>| value.filter(|value| value.is_finite());
    let largest = values.iter().filter_map(finite).fold(0.0, f64::max);
    let bar = |value: &Option<f64>| {
        let Some(value) = finite(value) else { return ' ' };
        let highest = BARS.len() - 1;
        let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
        // The height whose part of the whole is not more than this one's.
        #[expect(clippy::cast_precision_loss, reason = "eight heights")]
        let height = (0..=highest).rev().find(|height| *height as f64 <= share * highest as f64);
        BARS[height.unwrap_or(0)]
    };
    values.iter().map(bar).collect()
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

    #[test]
    fn where_there_is_no_number_there_is_a_gap() {
        assert_eq!(sparkline_of(&[Some(0.0), None, Some(f64::NAN), Some(0.5), Some(1.0)]), "▁  ▄█");
        assert_eq!(sparkline_of(&[Some(0.0), Some(-1.0)]), "▁▁");
        assert_eq!(sparkline_of(&[Some(f64::INFINITY), Some(3.0)]), " █");
    }
}
