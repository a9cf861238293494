//! Go's variable-length integers, read from a slice.

/// Reads values off the front of a slice. `None` means that the slice does not hold what was asked for.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    /// An unsigned LEB128 integer of at most ten bytes.
    pub(super) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (i, &byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && byte > 1 {
                return None;
            }
            value |= bits << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Some(value);
            }
        }
        None
    }

    /// A signed integer in zigzag form.
    pub(super) fn varint(&mut self) -> Option<i64> {
        let raw = self.uvarint()?;
        Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_go_writes_them() {
        assert_eq!(Cursor(&[0x96, 0x01, 7]).uvarint(), Some(150));
        assert_eq!(Cursor(&[0x03]).varint(), Some(-2));
        assert_eq!(Cursor(&[0x04]).varint(), Some(2));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Cursor(&most).uvarint(), Some(u64::MAX));
        assert_eq!(Cursor(&most).varint(), Some(i64::MIN));
    }

    #[test]
    fn a_value_that_is_cut_or_too_long_is_none() {
        assert_eq!(Cursor(&[0x80]).uvarint(), None);
        assert_eq!(Cursor(&[0xff; 11]).uvarint(), None);
        assert_eq!(Cursor(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).uvarint(), None);
        assert_eq!(Cursor(&[]).varint(), None);
    }
}
