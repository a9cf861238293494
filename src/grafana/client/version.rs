//! Which version a server is.

/// Major and minor of what a server says of its version: `12.1.0-16426244399` is 12 and 1.
pub fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-', '+']).map(|number| number.parse::<u32>().ok());
    Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_whatever_stands_behind_it() {
        assert_eq!(major_and_minor("7.5.5"), Some((7, 5)));
        assert_eq!(major_and_minor("12.1.0-16426244399"), Some((12, 1)));
        assert_eq!(major_and_minor("13"), Some((13, 0)));
        assert_eq!(major_and_minor("main"), None);
    }
}
