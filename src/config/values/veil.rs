//! Hiding secrets in what others say.

use super::Secret;

/// Shorter secrets are found in words that have nothing to do with them.
const SHORTEST: usize = 4;
/// What stands for a secret.
const HIDDEN: &[u8] = b"[redacted]";

/// Secrets that are not to be seen in what a program says: it may have got them in its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Veil {
    secrets: Vec<Secret>,
}

impl Veil {
    /// Over these.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { secrets: secrets.into_iter().filter(|secret| secret.expose().len() >= SHORTEST).collect() }
    }

    /// Over these too.
    #[must_use]
    pub fn and(self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self::new(self.secrets.into_iter().chain(more))
    }

    /// The text with each secret in it as `[redacted]`. Text that is to be shortened is shortened after this: of a
    /// secret that is cut nobody could tell the rest from other words.
    pub fn over(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut hidden = stream.take(text.as_bytes());
        hidden.extend(stream.finish());
        String::from_utf8_lossy(&hidden).into_owned()
    }

    /// The same over what comes in pieces.
    pub fn stream(&self) -> VeilStream {
        VeilStream { veil: self.clone(), held: Vec::new(), hides: 0 }
    }

    /// Of the longest secret that stands at the beginning of `bytes`, the length; 0 where none does.
    fn longest_at(&self, bytes: &[u8]) -> usize {
        let found = self.bytes().filter(|secret| bytes.starts_with(secret)).map(<[u8]>::len);
        found.max().unwrap_or_default()
    }

    /// Whether what stands there may be the beginning of a secret whose rest is still to come.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        self.bytes().any(|secret| secret.len() > bytes.len() && secret.starts_with(bytes))
    }

    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(|secret| secret.expose().as_bytes())
    }
}

/// A [`Veil`] over bytes that come in pieces, cut anywhere. What may be the beginning of a secret is held back until it is
/// known.
#[derive(Debug, Default)]
pub struct VeilStream {
    veil: Veil,
    held: Vec<u8>,
    /// So many of the bytes that come next belong to a secret.
    hides: usize,
}

impl VeilStream {
    /// Takes a piece, and gives what of it and of those before it can be shown.
    pub fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        self.show(false)
    }

    /// What is still held; nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        self.show(true)
    }

    fn show(&mut self, is_all: bool) -> Vec<u8> {
        let (mut shown, mut at) = (Vec::with_capacity(self.held.len()), 0);
        while let Some(byte) = self.held.get(at) {
            let rest = &self.held[at..];
            if !is_all && self.veil.may_begin(rest) {
                break;
            }
            let length = self.veil.longest_at(rest);
            if length > 0 && self.hides == 0 {
                shown.extend_from_slice(HIDDEN);
            }
            // One may be a part of another, or begin in it.
            self.hides = self.hides.max(length);
            if self.hides == 0 {
                shown.push(*byte);
            }
            self.hides = self.hides.saturating_sub(1);
            at += 1;
        }
        self.held.drain(..at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_seen_wherever_it_stands_and_whatever_else_is_a_part_of_it() {
        let veil = Veil::new(["hunter", "hunter22", "abc"].map(Secret::new));
        assert_eq!(veil.over("a=hunter22;b=hunter; abc"), "a=[redacted];b=[redacted]; abc");
        let veil = Veil::new(["abcd", "cdefgh"].map(Secret::new));
        assert_eq!(veil.over("abcdefgh abcdabcd é"), "[redacted] [redacted][redacted] é");
    }

    #[test]
    fn a_secret_is_not_seen_however_it_is_cut_into_pieces() {
        let veil = Veil::new(["two\nlines", "two\u{1b}"].map(Secret::new));
        let text = "a two\nlines, two\u{1b} and two\nlin";
        for size in 1..text.len() {
            let mut stream = veil.stream();
            let mut shown: Vec<u8> =
                text.as_bytes().chunks(size).flat_map(|piece| stream.take(piece)).collect();
            shown.extend(stream.finish());
            assert_eq!(String::from_utf8(shown).unwrap(), "a [redacted], [redacted] and two\nlin", "{size}");
        }
    }
}
