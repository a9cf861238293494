//! Hiding secrets in what others say.

use super::Secret;

/// Shorter secrets are found in words that have nothing to do with them.
const SHORTEST: usize = 4;

/// Secrets that are not to be seen in what a program says: it may have got them in its environment.
#[derive(Debug, Clone, Default)]
pub struct Veil {
    secrets: Vec<Secret>,
}

impl Veil {
    /// Over these.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<Secret> =
            secrets.into_iter().filter(|secret| secret.expose().len() >= SHORTEST).collect();
        // One may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// Over these too.
    #[must_use]
    pub fn and(self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self::new(self.secrets.into_iter().chain(more))
    }

    /// The text with each secret in it as `[redacted]`.
    pub fn over(&self, text: &str) -> String {
        let hide = |text: String, secret: &Secret| text.replace(secret.expose(), "[redacted]");
        self.secrets.iter().fold(text.to_owned(), hide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_seen_wherever_it_stands_and_whatever_else_is_a_part_of_it() {
        let veil = Veil::new(["hunter", "hunter22", "abc"].map(Secret::new));
        assert_eq!(veil.over("a=hunter22;b=hunter; abc"), "a=[redacted];b=[redacted]; abc");
    }
}
